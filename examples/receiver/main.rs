//! A receiver to try: it makes itself the webhook endpoint of the sandbox of `lmn dev`, and says what arrives.
//!
//! ```sh
//! cargo run                        # in one terminal: the sandbox
//! cargo run --example receiver     # in another one
//! ```
//!
//! Arguments, all optional: the API's URL, the file of the key, the port to listen on. What it does is what a receiver
//! should do: verify, answer at once, take every event once, and mind the sequence of each order.

#![allow(clippy::print_stdout, reason = "a person watches it")]
#![allow(
    clippy::indexing_slicing,
    reason = "a JSON value without a member is null there"
)]

mod verify;

use std::{
    collections::{HashMap, HashSet},
    env,
    error::Error,
    fs,
    sync::{Arc, Mutex, PoisonError},
    time::{SystemTime, UNIX_EPOCH},
};

use axum::{
    Router,
    body::Bytes,
    extract::State,
    http::{HeaderMap, StatusCode},
    routing::post,
};
use reqwest::{Client, Method};
use serde_json::{Value, json};
use tokio::net::TcpListener;
use uuid::Uuid;

/// What the receiver knows.
struct Receiver {
    secret: String,
    seen: Mutex<Seen>,
}

/// What it has taken. A real one keeps this in its database, in the transaction of what it does with an event.
#[derive(Default)]
struct Seen {
    events: HashSet<String>,
    last_sequence: HashMap<String, i64>,
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let mut arguments = env::args().skip(1);
    let api = arguments
        .next()
        .unwrap_or_else(|| "http://127.0.0.1:8080".into());
    let key_file = arguments.next().unwrap_or_else(|| ".lmn/api_key".into());
    let port = arguments.next().unwrap_or_else(|| "9999".into());
    let listener = TcpListener::bind(format!("127.0.0.1:{port}")).await?;
    let url = format!("http://{}/lmn", listener.local_addr()?);
    let secret = introduce(&api, fs::read_to_string(key_file)?.trim(), &url).await?;
    println!("Events of {api} are sent to {url}.");
    let receiver = Receiver {
        secret,
        seen: Mutex::default(),
    };
    let routes = Router::new().route("/lmn", post(receive));
    axum::serve(listener, routes.with_state(Arc::new(receiver))).await?;
    Ok(())
}

/// Makes `url` the partner's endpoint, and returns its secret: a new one, if the first was shown to somebody else.
async fn introduce(api: &str, key: &str, url: &str) -> Result<String, Box<dyn Error>> {
    let ask = async |method: Method, path: &str, body: Value| -> Result<Value, Box<dyn Error>> {
        let request = Client::new().request(method, format!("{api}{path}"));
        let request = request
            .header("x-api-key", key)
            .header("idempotency-key", Uuid::new_v4().to_string())
            .header("content-type", "application/json");
        let answer = request.body(body.to_string()).send().await?;
        let status = answer.status();
        let text = answer.text().await?;
        match status.is_success() {
            true => Ok(serde_json::from_str(&text)?),
            false => Err(format!("{path} answers {status}: {text}").into()),
        }
    };
    let mut endpoint = ask(Method::PUT, "/v1/webhook_endpoint", json!({"url": url})).await?;
    if endpoint["secret"].is_null() {
        let rotate = "/v1/webhook_endpoint/rotate_secret";
        endpoint = ask(Method::POST, rotate, json!({})).await?;
    }
    let secret = endpoint["secret"].as_str();
    Ok(secret.ok_or("there is no secret")?.to_owned())
}

/// Takes a delivery. What takes longer than a moment belongs behind the answer, not before it.
async fn receive(
    State(receiver): State<Arc<Receiver>>,
    headers: HeaderMap,
    body: Bytes,
) -> StatusCode {
    let signature = headers.get("x-lmn-signature");
    let signature = signature
        .and_then(|it| it.to_str().ok())
        .unwrap_or_default();
    if !verify::is_from_lmn(&receiver.secret, signature, &body, now()) {
        println!("refused: not from LMN");
        return StatusCode::UNAUTHORIZED;
    }
    let Ok(event) = serde_json::from_slice::<Value>(&body) else {
        return StatusCode::BAD_REQUEST;
    };
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let (id, order) = (text(&event["id"]), &event["data"]["order"]);
    let (order, status) = (text(&order["id"]), text(&order["status"]));
    let mut seen = receiver.seen.lock().unwrap_or_else(PoisonError::into_inner);
    if !seen.events.insert(id.clone()) {
        println!("again     {id}");
        return StatusCode::NO_CONTENT;
    }
    let kind = text(&event["type"]);
    let Some(sequence) = event["sequence"].as_i64() else {
        println!("verified  {id}  {kind}");
        return StatusCode::NO_CONTENT;
    };
    let last = seen.last_sequence.entry(order.clone()).or_default();
    let place = match sequence.cmp(&(*last + 1)) {
        std::cmp::Ordering::Equal => "in order",
        std::cmp::Ordering::Less => "late: older than what is known",
        std::cmp::Ordering::Greater => "earlier ones came before this receiver began",
    };
    *last = sequence.max(*last);
    println!("verified  {id}  {kind}  order {order} #{sequence} ({place}): {status}");
    StatusCode::NO_CONTENT
}

#[allow(
    clippy::disallowed_methods,
    reason = "a receiver has no clock but its machine's"
)]
fn now() -> i64 {
    let elapsed = SystemTime::now().duration_since(UNIX_EPOCH);
    elapsed.map_or(0, |it| it.as_secs().cast_signed())
}
