//! A proxy that misbehaves: between a partner and the service, with a fault for each of the first attempts.

use std::{
    collections::{BTreeSet, HashMap},
    io,
    sync::{Arc, Mutex},
    time::Duration,
};

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
    time::sleep,
};

/// What happens to an attempt.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Fault {
    /// It never reaches the service, and the connection is cut.
    CutBefore,
    /// The service has done it, and the connection is cut before a byte of the answer.
    CutAfter,
    /// The service has done it, and the answer is cut in the middle of its body.
    Half,
    /// The service has done it, and the answer comes when nobody waits for it any more.
    Late,
    /// The service has done it, and the answer comes after a while.
    Slow,
    /// It never reaches the service: 502, in HTML.
    BadGateway,
    /// The service has done it, and somebody in between says 502.
    BadGatewayAfter,
    /// It never reaches the service: 503, and when to come back.
    Busy,
    /// It never reaches the service: 429 of somebody in between, which says nothing more.
    TooMany,
    /// The service has done it, and the answer is a page that says 200.
    Page,
    /// The service has done it, and the answer is JSON of somebody else, who names requests too.
    Stranger,
    /// It never reaches the service: 404 of somebody in between.
    Nowhere,
    /// It never reaches the service: 301, to where the service is.
    Moved,
    /// The service has done it, and the answer comes byte by byte, each of them in time.
    Drip,
    /// The service has done it, and the answer is one of LMN's to something else.
    Another,
    /// The service has done it, and somebody in between says to come back when nobody waits any more.
    Never,
    /// The service is asked under a key that it does not know.
    WrongKey,
}

/// Every fault that an order recovers from by being sent again. The last one can be told in an order's answer alone.
///
/// An order that `Slow` or `Another` strikes is known without another attempt, so each is the last of three.
pub const FAULTS: [Fault; 15] = [
    Fault::CutBefore,
    Fault::CutAfter,
    Fault::Slow,
    Fault::Half,
    Fault::Late,
    Fault::BadGateway,
    Fault::BadGatewayAfter,
    Fault::Busy,
    Fault::TooMany,
    Fault::Page,
    Fault::Stranger,
    Fault::Nowhere,
    Fault::Moved,
    Fault::Drip,
    Fault::Another,
];

/// How many attempts of a request fail before one is let through.
const FAULTS_A_REQUEST: usize = 3;

/// The proxy.
pub struct Proxy {
    pub url: String,
    state: Arc<Mutex<State>>,
}

struct State {
    service: String,
    /// Attempts so far, by what is asked for and under which key.
    attempts: HashMap<String, usize>,
    /// How many attempts of a request fail before one is let through.
    faults: usize,
    /// How many faults there were, of orders and of all else, and which of them struck what kind of request.
    counts: [usize; 2],
    struck: BTreeSet<(String, Fault)>,
    /// What happens to the attempts of the first order, the last of it ever after, and its key.
    never: &'static [Fault],
    unlucky: Option<String>,
}

impl Proxy {
    /// Starts one before a service, with every fault there is; the first order is never answered.
    pub async fn start(service: &str) -> Self {
        let never = &[Fault::CutAfter, Fault::CutAfter, Fault::Never];
        Self::with(service, FAULTS_A_REQUEST, never).await
    }

    /// Starts one that does nothing to requests but `fault` to the first order, always.
    pub async fn with_one(service: &str, fault: &'static [Fault; 1]) -> Self {
        Self::with(service, 0, fault).await
    }

    async fn with(service: &str, faults: usize, never: &'static [Fault]) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let state = Arc::new(Mutex::new(State {
            service: service.trim_start_matches("http://").to_owned(),
            attempts: HashMap::new(),
            faults,
            counts: [0; 2],
            struck: BTreeSet::new(),
            never,
            unlucky: None,
        }));
        let shared = state.clone();
        tokio::spawn(async move {
            loop {
                let (client, _) = listener.accept().await.unwrap();
                let state = shared.clone();
                // A caller that goes away is what this is about.
                tokio::spawn(async move { carry(client, &state).await });
            }
        });
        Self { url, state }
    }

    /// Returns which faults have struck requests whose first line begins like this.
    pub fn struck(&self, beginning: &str) -> BTreeSet<Fault> {
        let state = self.state.lock().unwrap();
        let struck = state.struck.iter();
        let alike = struck.filter(|(line, _)| line.starts_with(beginning));
        alike.map(|(_, fault)| *fault).collect()
    }

    /// Returns the key of the order that was never answered.
    pub fn never_answered(&self) -> Option<String> {
        self.state.lock().unwrap().unlucky.clone()
    }
}

impl State {
    /// Says what happens to an attempt.
    fn fate(&mut self, request: &Request) -> Option<Fault> {
        let is_order = request.line.starts_with("POST /v1/orders ");
        // Orders fail each for itself; other requests fail by what they ask for, so that a secret is shown at last.
        let key = Some(&request.key).filter(|_| is_order);
        let attempts = format!("{} {key:?}", request.line);
        let attempts = self.attempts.entry(attempts).or_default();
        *attempts += 1;
        if is_order && *self.unlucky.get_or_insert(request.key.clone()) == request.key {
            return self.never.get(*attempts - 1).or(self.never.last()).copied();
        }
        if *attempts > self.faults {
            return None;
        }
        let faults = &FAULTS[..FAULTS.len() - usize::from(!is_order)];
        let count = &mut self.counts[usize::from(is_order)];
        let fault = faults[*count % faults.len()];
        *count += 1;
        self.struck.insert((request.line.clone(), fault));
        Some(fault)
    }
}

/// A request as it came, and what tells it from others.
struct Request {
    line: String,
    key: String,
    bytes: Vec<u8>,
}

/// Carries one request, and closes.
async fn carry(mut client: TcpStream, state: &Mutex<State>) -> io::Result<()> {
    let Some(mut request) = read(&mut client).await? else {
        return Ok(());
    };
    let (fault, service) = {
        let mut state = state.lock().unwrap();
        (state.fate(&request), state.service.clone())
    };
    let own = |status: &str, headers: &str, body: &str| {
        let length = body.len();
        format!(
            "HTTP/1.1 {status}\r\n{headers}content-length: {length}\r\nconnection: close\r\n\r\n{body}"
        )
    };
    let (html, page) = ("content-type: text/html\r\n", "<html>Hello.</html>");
    // What never reaches the service.
    let answer = match fault {
        Some(Fault::CutBefore) => return Ok(()),
        Some(Fault::BadGateway) => Some(own("502 Bad Gateway", html, page)),
        Some(Fault::Busy) => Some(own("503 Service Unavailable", "retry-after: 0\r\n", "")),
        Some(Fault::Moved) => {
            let path = request.line.split(' ').nth(1).unwrap_or_default();
            let location = format!("location: http://{service}{path}\r\n");
            Some(own("301 Moved Permanently", &location, ""))
        }
        Some(Fault::TooMany) => Some(own(
            "429 Too Many Requests",
            "",
            "{\"error\":\"slow down\"}",
        )),
        Some(Fault::Nowhere) => Some(own("404 Not Found", html, page)),
        _ => None,
    };
    if let Some(answer) = answer {
        return client.write_all(answer.as_bytes()).await;
    }
    if fault == Some(Fault::WrongKey) {
        let place = find(&request.bytes, b"lmn_stg_").map(|it| it + 8);
        request.bytes[place.expect("it has a key")..][..4].copy_from_slice(b"AAAA");
    }
    let mut answer = forward(&service, &request.bytes).await?;
    let (request_id, traced) = (
        "x-request-id: req_5f3a9c0e1b7d42a8c6e04f19\r\n",
        "x-request-id: 4bf92f3577b34da6a3ce929d0e0e4736\r\n",
    );
    match fault {
        Some(Fault::CutAfter) => return Ok(()),
        Some(Fault::Half) => answer.truncate(answer.len() - 20),
        Some(Fault::Late) => sleep(Duration::from_millis(800)).await,
        Some(Fault::Slow) => sleep(Duration::from_millis(100)).await,
        Some(Fault::BadGatewayAfter) => answer = own("502 Bad Gateway", html, page).into(),
        Some(Fault::Page) => answer = own("200 OK", html, page).into(),
        Some(Fault::Stranger) => {
            answer = own("200 OK", traced, "{\"id\":\"1\",\"data\":[]}").into();
        }
        Some(Fault::Another) => {
            let list = "{\"data\":[],\"next_cursor\":null}";
            answer = own("200 OK", request_id, list).into();
        }
        Some(Fault::Never) => {
            answer = own("503 Service Unavailable", "retry-after: 3600\r\n", "").into();
        }
        Some(Fault::Drip) => return drip(&mut client, &answer).await,
        _ => {}
    }
    client.write_all(&answer).await
}

/// Answers byte by byte, until nobody listens any more.
async fn drip(client: &mut TcpStream, answer: &[u8]) -> io::Result<()> {
    for byte in answer {
        client.write_all(&[*byte]).await?;
        sleep(Duration::from_millis(20)).await;
    }
    Ok(())
}

/// Reads a request to its end.
async fn read(client: &mut TcpStream) -> io::Result<Option<Request>> {
    let mut bytes = Vec::new();
    let head = loop {
        if let Some(end) = find(&bytes, b"\r\n\r\n") {
            break end;
        }
        if client.read_buf(&mut bytes).await? == 0 {
            return Ok(None);
        }
    };
    let text = String::from_utf8_lossy(&bytes[..head]).into_owned();
    let header = |name: &str| {
        let mut lines = text.lines().skip(1).filter_map(|it| it.split_once(':'));
        let found = lines.find(|(it, _)| it.eq_ignore_ascii_case(name));
        found.map_or("", |(_, value)| value.trim()).to_owned()
    };
    let length = header("content-length").parse().unwrap_or(0);
    while bytes.len() < head + 4 + length {
        if client.read_buf(&mut bytes).await? == 0 {
            return Ok(None);
        }
    }
    let line = text.lines().next().unwrap_or_default().to_owned();
    let body = bytes.split_off(head + 4);
    // The service closes behind its answer, so that its end is seen.
    let lines = text
        .lines()
        .filter(|it| !it.to_lowercase().starts_with("connection:"));
    let mut bytes = lines
        .flat_map(|it| [it, "\r\n"])
        .collect::<String>()
        .into_bytes();
    bytes.extend_from_slice(b"connection: close\r\n\r\n");
    bytes.extend(body);
    let key = header("idempotency-key");
    Ok(Some(Request { line, key, bytes }))
}

async fn forward(service: &str, request: &[u8]) -> io::Result<Vec<u8>> {
    let mut service = TcpStream::connect(service).await?;
    service.write_all(request).await?;
    let mut answer = Vec::new();
    service.read_to_end(&mut answer).await?;
    Ok(answer)
}

fn find(bytes: &[u8], what: &[u8]) -> Option<usize> {
    bytes.windows(what.len()).position(|it| it == what)
}
