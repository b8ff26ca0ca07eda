//! A receiver that fails in every way, at random from a seed, and counts its failures.

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

/// Largest number of failures of an event after it was read, so that no event is given up.
const FAULTS_MAX: usize = 4;
/// Connections per thousand that are closed before the request is read.
const UNREAD_PERMILLE: u32 = 25;
/// Longest delay of a response that is in time, and the delay of one that is not.
const SLOW: Duration = Duration::from_millis(1_000);
const TOO_SLOW: Duration = Duration::from_millis(2_400);

/// Names of everything that can happen, for the printed table.
pub const NAMES: [&str; 9] = [
    "accepted",
    "accepted, slowly",
    "accepted, too slowly",
    "accepted, and hung up",
    "hung up unread",
    "500",
    "429 with Retry-After",
    "503 with Retry-After",
    "redirected",
];

/// The response of the receiver to an event.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Response {
    /// It acknowledges the event at once.
    Accepted,
    /// It acknowledges the event after a delay.
    Slow(Duration),
    /// It acknowledges the event after the timeout of the attempt.
    TooSlow,
    /// It closes the connection without a response.
    HungUp,
    /// It refuses the event with a status and possibly `Retry-After` in seconds.
    Refused(u16, Option<u32>),
    /// It redirects the delivery to another address.
    Redirected,
}

impl Response {
    fn draw(rng: &mut StdRng) -> Self {
        match rng.random_range(0..1000) {
            0..120 => Self::Refused(500, None),
            120..180 => Self::Refused(429, Some(rng.random_range(0..400))),
            180..240 => Self::Refused(503, Some(rng.random_range(0..400))),
            240..280 => Self::Redirected,
            280..340 => Self::HungUp,
            340..343 => Self::TooSlow,
            343..351 => Self::Slow(SLOW.mul_f64(rng.random())),
            _ => Self::Accepted,
        }
    }

    fn name(self) -> &'static str {
        match self {
            Self::Accepted => "accepted",
            Self::Slow(_) => "accepted, slowly",
            Self::TooSlow => "accepted, too slowly",
            Self::HungUp => "accepted, and hung up",
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
    pub response: Response,
}

/// State of a receiver.
struct State {
    rng: StdRng,
    secret: String,
    arrivals: Vec<Arrival>,
    faults: HashMap<String, usize>,
    counts: BTreeMap<&'static str, u64>,
    unverified: u64,
}

/// The receiver.
pub struct Receiver {
    pub address: SocketAddr,
    /// Number of times it went down.
    pub downs: u32,
    /// Address to which it redirects.
    redirect_target: SocketAddr,
    state: Arc<Mutex<State>>,
    listening: Option<JoinHandle<()>>,
}

impl Receiver {
    /// Starts a receiver.
    pub async fn start(rng: StdRng, redirect_target: SocketAddr) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let mut receiver = Self {
            address: listener.local_addr().unwrap(),
            downs: 0,
            redirect_target,
            state: Arc::new(Mutex::new(State {
                rng,
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

    /// Sets the secret with which it verifies.
    pub fn trusts(&self, secret: &str) {
        self.state.lock().unwrap().secret = secret.to_owned();
    }

    /// Returns whether connections are refused.
    pub fn is_down(&self) -> bool {
        self.listening.is_none()
    }

    /// Goes down: closes open connections and refuses new ones.
    pub async fn goes_down(&mut self) {
        if let Some(listening) = self.listening.take() {
            listening.abort();
            let _ = listening.await;
            self.downs += 1;
        }
    }

    /// Comes up again at the same address.
    pub async fn comes_up(&mut self) {
        let listener = TcpListener::bind(self.address).await.unwrap();
        self.listen(listener);
    }

    /// Returns the events that arrived, in order of arrival.
    pub fn arrivals(&self) -> Vec<Arrival> {
        self.state.lock().unwrap().arrivals.clone()
    }

    /// Returns how often each event of [`NAMES`] happened.
    pub fn counts(&self) -> BTreeMap<&'static str, u64> {
        self.state.lock().unwrap().counts.clone()
    }

    /// Returns the number of requests whose signature does not verify.
    pub fn unverified(&self) -> u64 {
        self.state.lock().unwrap().unverified
    }

    fn listen(&mut self, listener: TcpListener) {
        let (state, redirect_target) = (self.state.clone(), self.redirect_target);
        self.listening = Some(tokio::spawn(async move {
            let mut serving = JoinSet::new();
            loop {
                let (stream, _) = listener.accept().await.unwrap();
                while serving.try_join_next().is_some() {}
                serving.spawn(serve(stream, state.clone(), redirect_target));
            }
        }));
    }
}

/// Serves one request, or closes the connection unread.
async fn serve(mut stream: TcpStream, state: Arc<Mutex<State>>, redirect_target: SocketAddr) {
    let is_unread = {
        let mut state = state.lock().unwrap();
        let is_unread = state.rng.random_range(0..1000) < UNREAD_PERMILLE;
        if is_unread {
            *state.counts.entry("hung up unread").or_default() += 1;
        }
        is_unread
    };
    if is_unread {
        return;
    }
    let Some((headers, body)) = read(&mut stream).await else {
        return;
    };
    let response = state.lock().unwrap().record(&headers, &body);
    let more = match response {
        Response::HungUp => return,
        Response::Accepted => String::new(),
        Response::Slow(delay) => {
            sleep(delay).await;
            String::new()
        }
        Response::TooSlow => {
            sleep(TOO_SLOW).await;
            String::new()
        }
        Response::Redirected => format!("location: http://{redirect_target}/lmn\r\n"),
        Response::Refused(_, None) => String::new(),
        Response::Refused(_, Some(seconds)) => format!("retry-after: {seconds}\r\n"),
    };
    let status = match response {
        Response::Refused(status, _) => status,
        Response::Redirected => 307,
        Response::Accepted | Response::Slow(_) | Response::TooSlow | Response::HungUp => 204,
    };
    let answer =
        format!("HTTP/1.1 {status} Status\r\ncontent-length: 0\r\nconnection: close\r\n{more}\r\n");
    let answer = match status {
        204 => answer.replace("content-length: 0\r\n", ""),
        _ => answer,
    };
    // The client may have given up.
    let _ = stream.write_all(answer.as_bytes()).await;
    let _ = stream.shutdown().await;
}

impl State {
    /// Records an event that arrived; returns the response to it.
    fn record(&mut self, headers: &HeaderMap, body: &[u8]) -> Response {
        let event: Value = serde_json::from_slice(body).unwrap();
        let id = event["id"].as_str().unwrap().to_owned();
        if !self.verifies(headers, body) || headers["x-lmn-event-id"] != *id {
            self.unverified += 1;
        }
        let mut response = Response::draw(&mut self.rng);
        let faults = self.faults.entry(id.clone()).or_default();
        if *faults >= FAULTS_MAX {
            response = Response::Accepted;
        }
        *faults += usize::from(!matches!(response, Response::Accepted | Response::Slow(_)));
        *self.counts.entry(response.name()).or_default() += 1;
        self.arrivals.push(Arrival {
            event: id,
            order: event["data"]["order"]["id"].as_str().unwrap().to_owned(),
            sequence: event["sequence"].as_i64().unwrap(),
            response,
        });
        response
    }

    /// Verifies a request in both signature schemes.
    fn verifies(&self, headers: &HeaderMap, body: &[u8]) -> bool {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
        let signature = headers["x-lmn-signature"].to_str().unwrap();
        let stock = Webhook::new(&self.secret).unwrap();
        is_from_lmn(&self.secret, signature, body, now.as_secs().cast_signed())
            && stock.verify(body, headers).is_ok()
    }
}

/// Reads one request; returns `None` if the client hung up.
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
