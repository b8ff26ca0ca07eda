//! Steps of `lmn certify` about the webhook endpoint, and about the deliveries that LMN makes to it.

use std::time::Duration;

use serde_json::{Value, json};
use tokio::time::{Instant, sleep};
use url::Url;

use super::{
    api::{Api, number, rows, text},
    report::{Flaw, Verdict},
};

/// The path of the endpoint.
const ENDPOINT: &str = "/v1/webhook_endpoint";
/// The event type by which an integration learns the status of its orders.
const NEEDED_TYPE: &str = "order.status_changed";
/// The longest wait for an attempt: it starts within 2 seconds, may wait for others, and takes at most 10.
const ATTEMPT_MAX: Duration = Duration::from_secs(25);
/// The pause between two looks at an event.
const POLL: Duration = Duration::from_millis(250);
/// The time after which an acknowledgment is late enough to mention.
const SLOW: Duration = Duration::from_secs(5);
/// The maximum number of orders that are tried until one can be moved.
const ORDERS_MAX: usize = 10;

/// Checks that the endpoint exists, is enabled and gets the events about orders. Finds its URL.
pub(super) async fn endpoint(api: &Api<'_>) -> Verdict<Url> {
    let endpoint = match api.get(ENDPOINT).await {
        Err(problem) if problem.is("webhook_endpoint_not_found") => {
            return Err(Flaw::Failed(
                "There is no webhook endpoint; create one with PUT /v1/webhook_endpoint."
                    .to_owned(),
            ));
        }
        found => found?,
    };
    if endpoint.get("enabled") != Some(&json!(true)) {
        let cause = match text(&endpoint, "disabled_reason") {
            "" => "it was paused".to_owned(),
            reason => format!("the reason is `{reason}`"),
        };
        return Err(Flaw::Failed(format!(
            "The webhook endpoint is disabled, {cause}; repair the receiver, and enable it with PUT \
             /v1/webhook_endpoint."
        )));
    }
    let types = endpoint.get("event_types").and_then(Value::as_array);
    if types.is_some_and(|it| !it.iter().any(|it| it == NEEDED_TYPE)) {
        return Err(Flaw::Failed(format!(
            "The webhook endpoint does not get `{NEEDED_TYPE}`; add it to `event_types`, or make that null for all \
             types."
        )));
    }
    let url = Url::parse(text(&endpoint, "url")).map_err(|error| {
        Flaw::Failed(format!(
            "The URL of the webhook endpoint is invalid: {error}."
        ))
    })?;
    let note = match url.scheme() {
        "https" => "",
        _ => "; in production it must be https",
    };
    // Path and query may contain a secret of the receiver.
    let origin = url.origin().ascii_serialization();
    let message = format!("The webhook endpoint at {origin} is enabled{note}.");
    Ok((message, url))
}

/// Checks that the receiver acknowledges a test event at the first attempt. Finds the event.
pub(super) async fn test_event(api: &Api<'_>) -> Verdict<Value> {
    let started = Instant::now();
    let event = api.post(&format!("{ENDPOINT}/test"), &json!({})).await?;
    let event = wait_for_attempt(api, &event).await?;
    let duration = acknowledged(&event, "The test event", started)?;
    let message = format!("The test event was acknowledged at the first attempt{duration}.");
    Ok((message, event))
}

/// Checks that the receiver also acknowledges an event that it knows.
pub(super) async fn redelivery(api: &Api<'_>, event: &Value) -> Verdict {
    let started = Instant::now();
    let path = format!("/v1/events/{}/redeliver", text(event, "id"));
    api.post(&path, &json!({})).await?;
    let event = wait_for_attempt(api, event).await?;
    let duration = acknowledged(&event, "The second delivery of the same event", started)?;
    let message = format!("A second delivery of the same event was acknowledged{duration}.");
    Ok((message, ()))
}

/// Moves an open order to `secured`, and checks that its events are acknowledged at the first attempt, in order.
pub(super) async fn sequence(api: &Api<'_>, advance: bool) -> Verdict {
    if !advance {
        let message = "It changes an order of the integration, and is made with --advance.";
        return Err(Flaw::Skipped(message.to_owned()));
    }
    let list = api
        .get("/v1/orders?status=proceed&sort=created_desc&limit=200")
        .await?;
    let has_bid = |order: &&Value| number(order, "max_bid_amount_usd").is_some();
    for order in rows(&list).iter().filter(has_bid).take(ORDERS_MAX) {
        let id = text(order, "id");
        let events = format!("/v1/orders/{id}/events?limit=1");
        let latest = api.get(&events).await?;
        let latest = rows(&latest).first();
        let before = latest.and_then(|it| number(it, "sequence")).unwrap_or(0);
        let path = format!("/v1/orders/{id}/sandbox-status");
        match api.post(&path, &json!({"status": "acquiring"})).await {
            // The order has just moved on.
            Err(problem) if problem.is("invalid_status_transition") => continue,
            moved => moved?,
        };
        let bid = number(order, "max_bid_amount_usd");
        let secured = json!({"status": "secured", "purchase_price_usd": bid, "auction_fee_usd": 0});
        api.post(&path, &secured).await?;
        return check_sequence(api, id, [before + 1, before + 2]).await;
    }
    Err(Flaw::Skipped(
        "No order with a bid is in `proceed`; let the integration place one.".to_owned(),
    ))
}

/// Checks that the events of an order with these numbers were acknowledged in order.
async fn check_sequence(api: &Api<'_>, order: &str, expected: [i64; 2]) -> Verdict {
    let path = format!("/v1/orders/{order}/events?limit=200");
    let mut last_attempt = String::new();
    for sequence in expected {
        let started = Instant::now();
        let list = api.get(&path).await?;
        let mut events = rows(&list).iter();
        let event = events.find(|it| number(it, "sequence") == Some(sequence));
        let event = event.ok_or_else(|| {
            Flaw::Failed(format!(
                "The order {order} has no event {sequence}; write to integrations@lmnauto.com."
            ))
        })?;
        // An event may have been sent before this look at it.
        let event = match number(event, "attempts") {
            Some(0) => wait_for_attempt(api, event).await?,
            _ => event.clone(),
        };
        let name = format!("The event {sequence} of the order {order}");
        acknowledged(&event, &name, started)?;
        // Times of one clock, all with the same offset, compare as texts.
        let attempt = text(&event, "last_attempt_at");
        if attempt < last_attempt.as_str() {
            return Err(Flaw::Failed(format!(
                "{name} was sent before an earlier one; write to integrations@lmnauto.com."
            )));
        }
        attempt.clone_into(&mut last_attempt);
    }
    let message = format!(
        "The order {order} was moved to `secured`, and its events were acknowledged in order."
    );
    Ok((message, ()))
}

/// Waits until LMN has made another attempt to deliver an event, and returns the event.
async fn wait_for_attempt(api: &Api<'_>, event: &Value) -> Result<Value, Flaw> {
    let (started, before) = (Instant::now(), number(event, "attempts"));
    let path = format!("/v1/events/{}", text(event, "id"));
    loop {
        let event = api.get(&path).await?;
        if number(&event, "attempts") > before {
            return Ok(event);
        }
        if started.elapsed() > ATTEMPT_MAX {
            return Err(Flaw::Failed(format!(
                "LMN has not sent the event {} within {} seconds; earlier events of its order may be waiting for an \
                 acknowledgment, otherwise write to integrations@lmnauto.com.",
                text(&event, "id"),
                ATTEMPT_MAX.as_secs()
            )));
        }
        sleep(POLL).await;
    }
}

/// Checks that the last attempt to deliver an event was successful. Returns a remark on its duration.
fn acknowledged(event: &Value, name: &str, started: Instant) -> Result<String, Flaw> {
    let attempts = number(event, "attempts").unwrap_or(0);
    if text(event, "delivery_status") == "delivered" {
        let seconds = started.elapsed().as_secs();
        return Ok(match started.elapsed() > SLOW {
            true => format!(
                " after about {seconds} seconds, of 10: respond before you process the event"
            ),
            false => String::new(),
        });
    }
    let cause = match (
        number(event, "last_response_code"),
        text(event, "last_error"),
    ) {
        (Some(410), _) => "was answered with 410, which disables the endpoint".to_owned(),
        (Some(code), _) => format!("was answered with {code}"),
        (None, "") => {
            "got no response within 10 seconds, or the endpoint cannot be reached from LMN"
                .to_owned()
        }
        (None, error) => format!("got no response: {error}"),
    };
    Err(Flaw::Failed(format!(
        "{name} {cause} (attempt {attempts}); respond with 2xx within 10 seconds, before you process the event."
    )))
}
