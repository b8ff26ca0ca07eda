//! A webhook receiver: it records the deliveries and answers them by a rule that the test sets.

use std::{
    net::SocketAddr,
    sync::{Arc, Mutex},
    time::Duration,
};

use axum::{
    Router,
    body::{Body, Bytes},
    extract::State,
    http::{HeaderMap, Response, StatusCode, Uri},
};
use serde_json::Value;
use tokio::{net::TcpListener, sync::Semaphore, task::JoinHandle};

/// A delivery that has arrived.
#[derive(Debug, Clone)]
pub struct Received {
    pub headers: HeaderMap,
    pub body: Bytes,
    /// Status of the answer.
    pub answered: u16,
}

impl Received {
    pub fn header(&self, name: &str) -> &str {
        self.headers.get(name).map_or("", |it| it.to_str().unwrap())
    }

    pub fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap()
    }

    /// Returns the id of the event.
    pub fn id(&self) -> String {
        self.header("x-lmn-event-id").to_owned()
    }

    /// Returns the id of the event's order, and its sequence number among the events of the order.
    pub fn place(&self) -> (String, i64) {
        let body = self.json();
        let order = body["data"]["order"]["id"].as_str().unwrap_or_default();
        (
            order.to_owned(),
            body["sequence"].as_i64().unwrap_or_default(),
        )
    }
}

/// The answer to a delivery.
#[derive(Debug, Clone)]
pub struct Answer {
    pub status: u16,
    pub delay: Duration,
    /// Semaphore that is acquired before the answer is sent.
    pub gate: Option<Arc<Semaphore>>,
    pub headers: Vec<(&'static str, String)>,
    pub body: Bytes,
}

impl From<u16> for Answer {
    fn from(status: u16) -> Self {
        Self {
            status,
            delay: Duration::ZERO,
            gate: None,
            headers: Vec::new(),
            body: Bytes::new(),
        }
    }
}

impl Answer {
    pub fn after(self, delay: Duration) -> Self {
        Self { delay, ..self }
    }

    /// Sends the answer only after `gate` has a permit.
    pub fn behind(self, gate: &Arc<Semaphore>) -> Self {
        let gate = Some(gate.clone());
        Self { gate, ..self }
    }

    pub fn with(mut self, name: &'static str, value: &str) -> Self {
        self.headers.push((name, value.to_owned()));
        self
    }
}

type Rule = Box<dyn FnMut(&Received) -> Answer + Send>;

/// A running webhook receiver.
pub struct Sink {
    pub address: SocketAddr,
    inner: Arc<Inner>,
    running: JoinHandle<()>,
}

struct Inner {
    received: Mutex<Vec<Received>>,
    rule: Mutex<Rule>,
}

impl Sink {
    /// Starts a receiver on a free port that answers 200.
    pub async fn start() -> Self {
        Self::at("127.0.0.1:0").await
    }

    /// Starts a receiver at an address that answers 200.
    pub async fn at(address: &str) -> Self {
        let listener = TcpListener::bind(address).await.expect("a port is free");
        let address = listener.local_addr().expect("a listener has an address");
        let inner = Arc::new(Inner {
            received: Mutex::default(),
            rule: Mutex::new(Box::new(|_| 200.into())),
        });
        let routes = Router::new().fallback(receive).with_state(inner.clone());
        let running = tokio::spawn(async move { axum::serve(listener, routes).await.unwrap() });
        Self {
            address,
            inner,
            running,
        }
    }

    /// Returns the URL of an endpoint at this receiver.
    pub fn url(&self) -> String {
        format!("http://{}/lmn?shop=1", self.address)
    }

    /// Gives the same answer to every further delivery.
    pub fn answers(&self, answer: impl Into<Answer>) {
        let answer = answer.into();
        self.decides(move |_| answer.clone());
    }

    /// Answers every further delivery by a rule.
    pub fn decides(&self, rule: impl FnMut(&Received) -> Answer + Send + 'static) {
        *self.inner.rule.lock().unwrap() = Box::new(rule);
    }

    /// Returns the deliveries that have arrived.
    pub fn received(&self) -> Vec<Received> {
        self.inner.received.lock().unwrap().clone()
    }

    /// Returns the number of deliveries that have arrived.
    pub fn count(&self) -> usize {
        self.inner.received.lock().unwrap().len()
    }

    /// Returns the order and sequence number of each delivery that was answered with 2xx, in the order of arrival.
    pub fn taken(&self) -> Vec<(String, i64)> {
        let received = self.received().into_iter();
        let taken = received.filter(|it| it.answered < 300);
        taken.map(|it| it.place()).collect()
    }

    /// Stops the receiver, so that connections are refused; returns its address.
    pub async fn stop(self) -> SocketAddr {
        let address = self.address;
        self.running.abort();
        let _ = self.running.await;
        address
    }
}

async fn receive(
    State(inner): State<Arc<Inner>>,
    uri: Uri,
    headers: HeaderMap,
    body: Bytes,
) -> Response<Body> {
    assert_eq!(uri, "/lmn?shop=1", "the path and the query arrive");
    let mut received = Received {
        headers,
        body,
        answered: 0,
    };
    let answer = {
        let mut rule = inner.rule.lock().unwrap();
        let answer = rule(&received);
        received.answered = answer.status;
        inner.received.lock().unwrap().push(received);
        answer
    };
    tokio::time::sleep(answer.delay).await;
    if let Some(gate) = answer.gate {
        let _ = gate.acquire().await;
    }
    let mut response = Response::builder().status(StatusCode::from_u16(answer.status).unwrap());
    for (name, value) in answer.headers {
        response = response.header(name, value);
    }
    response.body(Body::from(answer.body)).unwrap()
}
