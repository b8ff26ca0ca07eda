//! A proxy between a partner and the service that injects a fault into each of the first attempts of a request.

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

/// A fault of an attempt.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Fault {
    /// The request does not reach the service, and the connection is closed.
    CutBefore,
    /// The service executes the request, and the connection is closed before the first byte of the response.
    CutAfter,
    /// The service executes the request, and the response is cut in the middle of its body.
    Half,
    /// The service executes the request, and the response arrives after the timeout of the attempt.
    Late,
    /// The service executes the request, and the response arrives late, but within the timeout.
    Slow,
    /// The request does not reach the service: 502, in HTML.
    BadGateway,
    /// The service executes the request, and the proxy answers 502.
    BadGatewayAfter,
    /// The request does not reach the service: 503, with `Retry-After`.
    Busy,
    /// The request does not reach the service: 429 of the proxy, without `Retry-After`.
    TooMany,
    /// The service executes the request, and the response is an HTML page with status 200.
    Page,
    /// The service executes the request, and the response is another server's JSON, with a foreign request id.
    Stranger,
    /// The request does not reach the service: 404 of the proxy.
    Nowhere,
    /// The request does not reach the service: 301, to the address of the service.
    Moved,
    /// The service executes the request, and the response arrives byte by byte, each within the timeout of a read.
    Drip,
    /// The service executes the request, and the response is one of LMN's to another request.
    Another,
    /// The service executes the request, and the proxy answers 503 with a `Retry-After` beyond the total timeout.
    Never,
    /// The request reaches the service with an unknown API key.
    WrongKey,
}

/// Every fault from which an order recovers by being sent again. The last one can be detected only in the response to
/// an order.
///
/// An order hit by `Slow` or `Another` needs no further attempt, so each of them is the last of a group of three.
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

/// Attempts of a request that fail before one succeeds.
const FAULTS_PER_REQUEST: usize = 3;

/// The proxy.
pub struct Proxy {
    pub url: String,
    state: Arc<Mutex<State>>,
}

struct State {
    service: String,
    /// Attempts so far, by request line and, for orders, by key.
    attempts: HashMap<String, usize>,
    /// Attempts of a request that fail before one succeeds.
    faults: usize,
    /// Faults so far: of requests other than orders, and of orders.
    counts: [usize; 2],
    /// The faults that have occurred, each with the line of its request.
    occurred: BTreeSet<(String, Fault)>,
    /// Faults of the attempts of the first order; the last one is repeated for all further attempts.
    first_order_faults: &'static [Fault],
    /// The key of the first order.
    first_order: Option<String>,
}

impl Proxy {
    /// Starts a proxy in front of a service, with every fault of [`FAULTS`]; the first order is never answered.
    pub async fn start(service: &str) -> Self {
        let first_order_faults = &[Fault::CutAfter, Fault::CutAfter, Fault::Never];
        Self::with(service, FAULTS_PER_REQUEST, first_order_faults).await
    }

    /// Starts a proxy that injects `fault` into every attempt of the first order, and no other fault.
    pub async fn with_one(service: &str, fault: &'static [Fault; 1]) -> Self {
        Self::with(service, 0, fault).await
    }

    async fn with(service: &str, faults: usize, first_order_faults: &'static [Fault]) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let state = Arc::new(Mutex::new(State {
            service: service.trim_start_matches("http://").to_owned(),
            attempts: HashMap::new(),
            faults,
            counts: [0; 2],
            occurred: BTreeSet::new(),
            first_order_faults,
            first_order: None,
        }));
        let shared = state.clone();
        tokio::spawn(async move {
            loop {
                let (client, _) = listener.accept().await.unwrap();
                let state = shared.clone();
                // An error of the connection is expected: callers hang up.
                tokio::spawn(async move { carry(client, &state).await });
            }
        });
        Self { url, state }
    }

    /// Returns the faults that have occurred in requests whose line begins with `beginning`.
    pub fn occurred(&self, beginning: &str) -> BTreeSet<Fault> {
        let state = self.state.lock().unwrap();
        let occurred = state.occurred.iter();
        let matching = occurred.filter(|(line, _)| line.starts_with(beginning));
        matching.map(|(_, fault)| *fault).collect()
    }

    /// Returns the key of the order that was never answered.
    pub fn never_answered(&self) -> Option<String> {
        self.state.lock().unwrap().first_order.clone()
    }
}

impl State {
    /// Returns the fault of an attempt, if it has one.
    fn next_fault(&mut self, request: &Request) -> Option<Fault> {
        let is_order = request.line.starts_with("POST /v1/orders ");
        // Orders are counted by key. Other requests are counted by their line alone, so that creating the webhook
        // endpoint succeeds at last.
        let key = Some(&request.key).filter(|_| is_order);
        let attempts = format!("{} {key:?}", request.line);
        let attempts = self.attempts.entry(attempts).or_default();
        *attempts += 1;
        if is_order && *self.first_order.get_or_insert(request.key.clone()) == request.key {
            return self
                .first_order_faults
                .get(*attempts - 1)
                .or(self.first_order_faults.last())
                .copied();
        }
        if *attempts > self.faults {
            return None;
        }
        let faults = &FAULTS[..FAULTS.len() - usize::from(!is_order)];
        let count = &mut self.counts[usize::from(is_order)];
        let fault = faults[*count % faults.len()];
        *count += 1;
        self.occurred.insert((request.line.clone(), fault));
        Some(fault)
    }
}

/// A request as received, with its line and idempotency key.
struct Request {
    line: String,
    key: String,
    bytes: Vec<u8>,
}

/// Forwards one request, and closes the connection.
async fn carry(mut client: TcpStream, state: &Mutex<State>) -> io::Result<()> {
    let Some(mut request) = read(&mut client).await? else {
        return Ok(());
    };
    let (fault, service) = {
        let mut state = state.lock().unwrap();
        (state.next_fault(&request), state.service.clone())
    };
    let own = |status: &str, headers: &str, body: &str| {
        let length = body.len();
        format!(
            "HTTP/1.1 {status}\r\n{headers}content-length: {length}\r\nconnection: close\r\n\r\n{body}"
        )
    };
    let (html, page) = ("content-type: text/html\r\n", "<html>Hello.</html>");
    // Faults with which the request does not reach the service.
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
        request.bytes[place.expect("the request has a key")..][..4].copy_from_slice(b"AAAA");
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

/// Sends a response byte by byte, until the client hangs up.
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
    // The service closes the connection after its response, which shows where the response ends.
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
