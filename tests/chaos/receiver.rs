//! A partner's receiver that fails in every way there is: drawn from a seed, and counted.

use std::{
    collections::{BTreeMap, HashMap},
    net::SocketAddr,
    sync::{Arc, Mutex},
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use axum::http::{HeaderMap, HeaderName, HeaderValue};
use rand::{RngExt, rngs::StdRng};
use serde_json::Value;
use standardwebhooks::Webhook;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
    task::{JoinHandle, JoinSet},
    time::sleep,
};

use crate::verify::is_from_lmn;

/// How often an event fails after it was read; then it is taken, so that none is given up.
const FAULTS_MAX: usize = 4;
/// Connections of a thousand that are closed before the request is read.
const UNREAD_PERMILLE: u32 = 25;
/// How slow an answer may be and still be in time, and how slow one is that is not.
const SLOW: Duration = Duration::from_millis(1_000);
const TOO_SLOW: Duration = Duration::from_millis(2_400);

/// What can happen, for the table.
pub const NAMES: [&str; 9] = [
    "taken",
    "taken, slowly",
    "taken, too slowly",
    "taken, and hung up",
    "hung up unread",
    "500",
    "429 with Retry-After",
    "503 with Retry-After",
    "redirected",
];

/// What became of an event that arrived.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fate {
    /// Acknowledged at once.
    Taken,
    /// Acknowledged after a while.
    Slowly(Duration),
    /// Acknowledged, but nobody waited for it.
    TooSlowly,
    /// Taken without a word.
    HungUp,
    /// Refused with a status, and perhaps a wish.
    Refused(u16, Option<u32>),
    /// Sent elsewhere.
    Redirected,
}

impl Fate {
    fn draw(chance: &mut StdRng) -> Self {
        match chance.random_range(0..1000) {
            0..120 => Self::Refused(500, None),
            120..180 => Self::Refused(429, Some(chance.random_range(0..400))),
            180..240 => Self::Refused(503, Some(chance.random_range(0..400))),
            240..280 => Self::Redirected,
            280..340 => Self::HungUp,
            340..343 => Self::TooSlowly,
            343..351 => Self::Slowly(SLOW.mul_f64(chance.random())),
            _ => Self::Taken,
        }
    }

    fn name(self) -> &'static str {
        match self {
            Self::Taken => "taken",
            Self::Slowly(_) => "taken, slowly",
            Self::TooSlowly => "taken, too slowly",
            Self::HungUp => "taken, and hung up",
            Self::Refused(429, _) => "429 with Retry-After",
            Self::Refused(503, _) => "503 with Retry-After",
            Self::Refused(..) => "500",
            Self::Redirected => "redirected",
        }
    }
}

/// An event that arrived.
#[derive(Debug, Clone)]
pub struct Arrival {
    pub event: String,
    pub order: String,
    pub sequence: i64,
    pub fate: Fate,
}

/// What a receiver knows.
struct Seen {
    chance: StdRng,
    secret: String,
    arrivals: Vec<Arrival>,
    faults: HashMap<String, usize>,
    counts: BTreeMap<&'static str, u64>,
    unverified: u64,
}

/// The receiver.
pub struct Receiver {
    pub address: SocketAddr,
    /// How often it went down.
    pub downs: u32,
    /// Where those are sent who follow a redirect.
    trap: SocketAddr,
    seen: Arc<Mutex<Seen>>,
    listening: Option<JoinHandle<()>>,
}

impl Receiver {
    /// Starts one.
    pub async fn start(chance: StdRng, trap: SocketAddr) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let mut receiver = Self {
            address: listener.local_addr().unwrap(),
            downs: 0,
            trap,
            seen: Arc::new(Mutex::new(Seen {
                chance,
                secret: String::new(),
                arrivals: Vec::new(),
                faults: HashMap::new(),
                counts: BTreeMap::new(),
                unverified: 0,
            })),
            listening: None,
        };
        receiver.listen(listener);
        receiver
    }

    /// Verifies with this secret.
    pub fn trusts(&self, secret: &str) {
        self.seen.lock().unwrap().secret = secret.to_owned();
    }

    /// Says whether connections are refused.
    pub fn is_down(&self) -> bool {
        self.listening.is_none()
    }

    /// Goes down: connections are refused, those that are open are cut.
    pub async fn goes_down(&mut self) {
        if let Some(listening) = self.listening.take() {
            listening.abort();
            let _ = listening.await;
            self.downs += 1;
        }
    }

    /// Comes up again where it was.
    pub async fn comes_up(&mut self) {
        let listener = TcpListener::bind(self.address).await.unwrap();
        self.listen(listener);
    }

    /// Returns what arrived, in this order.
    pub fn arrivals(&self) -> Vec<Arrival> {
        self.seen.lock().unwrap().arrivals.clone()
    }

    /// Counts what happened.
    pub fn counts(&self) -> BTreeMap<&'static str, u64> {
        self.seen.lock().unwrap().counts.clone()
    }

    /// Counts what was not LMN's.
    pub fn unverified(&self) -> u64 {
        self.seen.lock().unwrap().unverified
    }

    fn listen(&mut self, listener: TcpListener) {
        let (seen, trap) = (self.seen.clone(), self.trap);
        self.listening = Some(tokio::spawn(async move {
            let mut serving = JoinSet::new();
            loop {
                let (stream, _) = listener.accept().await.unwrap();
                while serving.try_join_next().is_some() {}
                serving.spawn(serve(stream, seen.clone(), trap));
            }
        }));
    }
}

/// Serves one request, or does not.
async fn serve(mut stream: TcpStream, seen: Arc<Mutex<Seen>>, trap: SocketAddr) {
    let is_unread = {
        let mut seen = seen.lock().unwrap();
        let is_unread = seen.chance.random_range(0..1000) < UNREAD_PERMILLE;
        if is_unread {
            *seen.counts.entry("hung up unread").or_default() += 1;
        }
        is_unread
    };
    if is_unread {
        return;
    }
    let Some((headers, body)) = read(&mut stream).await else {
        return;
    };
    let fate = seen.lock().unwrap().take(&headers, &body);
    let more = match fate {
        Fate::HungUp => return,
        Fate::Taken => String::new(),
        Fate::Slowly(delay) => {
            sleep(delay).await;
            String::new()
        }
        Fate::TooSlowly => {
            sleep(TOO_SLOW).await;
            String::new()
        }
        Fate::Redirected => format!("location: http://{trap}/lmn\r\n"),
        Fate::Refused(_, None) => String::new(),
        Fate::Refused(_, Some(seconds)) => format!("retry-after: {seconds}\r\n"),
    };
    let status = match fate {
        Fate::Refused(status, _) => status,
        Fate::Redirected => 307,
        Fate::Taken | Fate::Slowly(_) | Fate::TooSlowly | Fate::HungUp => 204,
    };
    let answer = format!(
        "HTTP/1.1 {status} As Told\r\ncontent-length: 0\r\nconnection: close\r\n{more}\r\n"
    );
    let answer = match status {
        204 => answer.replace("content-length: 0\r\n", ""),
        _ => answer,
    };
    // Who does not wait any more is not there.
    let _ = stream.write_all(answer.as_bytes()).await;
    let _ = stream.shutdown().await;
}

impl Seen {
    /// Takes what arrived, and says what becomes of it.
    fn take(&mut self, headers: &HeaderMap, body: &[u8]) -> Fate {
        let event: Value = serde_json::from_slice(body).unwrap();
        let id = event["id"].as_str().unwrap().to_owned();
        if !self.verifies(headers, body) || headers["x-lmn-event-id"] != *id {
            self.unverified += 1;
        }
        let mut fate = Fate::draw(&mut self.chance);
        let faults = self.faults.entry(id.clone()).or_default();
        if *faults >= FAULTS_MAX {
            fate = Fate::Taken;
        }
        *faults += usize::from(!matches!(fate, Fate::Taken | Fate::Slowly(_)));
        *self.counts.entry(fate.name()).or_default() += 1;
        self.arrivals.push(Arrival {
            event: id,
            order: event["data"]["order"]["id"].as_str().unwrap().to_owned(),
            sequence: event["sequence"].as_i64().unwrap(),
            fate,
        });
        fate
    }

    /// Verifies in both schemes.
    fn verifies(&self, headers: &HeaderMap, body: &[u8]) -> bool {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
        let signature = headers["x-lmn-signature"].to_str().unwrap();
        let stock = Webhook::new(&self.secret).unwrap();
        is_from_lmn(&self.secret, signature, body, now.as_secs().cast_signed())
            && stock.verify(body, headers).is_ok()
    }
}

/// Reads one request; nothing if its sender left.
async fn read(stream: &mut TcpStream) -> Option<(HeaderMap, Vec<u8>)> {
    let mut bytes = Vec::new();
    loop {
        if let Some(end) = bytes.windows(4).position(|it| it == b"\r\n\r\n") {
            let head = std::str::from_utf8(&bytes[..end]).unwrap();
            let mut lines = head.split("\r\n");
            assert_eq!(lines.next(), Some("POST /lmn HTTP/1.1"));
            let headers: HeaderMap = lines
                .map(|line| line.split_once(": ").unwrap())
                .map(|(name, value)| {
                    (
                        name.parse::<HeaderName>().unwrap(),
                        value.parse::<HeaderValue>().unwrap(),
                    )
                })
                .collect();
            let length: usize = headers["content-length"].to_str().unwrap().parse().unwrap();
            if bytes.len() >= end + 4 + length {
                return Some((headers, bytes[end + 4..].to_vec()));
            }
        }
        if stream.read_buf(&mut bytes).await.ok()? == 0 {
            return None;
        }
    }
}
