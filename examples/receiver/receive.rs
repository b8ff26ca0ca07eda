//! The receiver: it takes every event once and checks the sequence of each order.

use std::{
    collections::{HashMap, HashSet},
    sync::{Arc, Mutex, PoisonError},
};

use axum::{
    Router,
    body::Bytes,
    extract::State,
    http::{HeaderMap, StatusCode},
    routing::post,
};
use serde_json::Value;

/// Returns whether a delivery with these headers and this raw body is signed with a secret.
type Verify = fn(secret: &str, headers: &HeaderMap, body: &[u8]) -> bool;

/// The state of the receiver.
struct Receiver {
    secret: String,
    is_from_lmn: Verify,
    seen: Mutex<Seen>,
}

/// The events taken so far. A real receiver stores them in its database, in the transaction that processes the event.
#[derive(Default)]
struct Seen {
    events: HashSet<String>,
    last_sequence: HashMap<String, i64>,
}

/// Returns the route `/lmn` for deliveries, which `secret` signs and `is_from_lmn` verifies.
pub(crate) fn routes(secret: String, is_from_lmn: Verify) -> Router {
    let receiver = Receiver {
        secret,
        is_from_lmn,
        seen: Mutex::default(),
    };
    let routes = Router::new().route("/lmn", post(receive));
    routes.with_state(Arc::new(receiver))
}

/// Takes a delivery. Long processing belongs after the response, not before it.
async fn receive(
    State(receiver): State<Arc<Receiver>>,
    headers: HeaderMap,
    body: Bytes,
) -> StatusCode {
    if !(receiver.is_from_lmn)(&receiver.secret, &headers, &body) {
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
        std::cmp::Ordering::Less => "late: older than the last one",
        std::cmp::Ordering::Greater => "earlier ones preceded this receiver",
    };
    *last = sequence.max(*last);
    println!("verified  {id}  {kind}  order {order} #{sequence} ({place}): {status}");
    StatusCode::NO_CONTENT
}
