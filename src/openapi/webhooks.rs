//! The document's `webhooks`: what partners are sent, a type each.

use serde_json::{Map, Value, json};

use crate::{
    events::model::EventType,
    webhooks::signature::{EVENT_ID, SIGNATURE, TIMESTAMP},
    word::Word,
};

/// The headers of a delivery, and what they are.
const HEADERS: &[(&str, &str)] = &[
    (EVENT_ID, "The event's id, the same at every attempt."),
    (TIMESTAMP, "When this attempt was signed, in unix seconds."),
    (
        SIGNATURE,
        "`t=<timestamp>,v1=<hex>`: HMAC-SHA256 of `<timestamp>.<raw body>`, keyed with the secret's text. While the \
         secret is being replaced there is a second `v1`.",
    ),
    ("webhook-id", "The event's id (Standard Webhooks)."),
    ("webhook-timestamp", "The timestamp (Standard Webhooks)."),
    ("webhook-signature", "`v1,<base64>` (Standard Webhooks)."),
];

/// Returns the deliveries of every type.
pub(super) fn all() -> Map<String, Value> {
    let types = EventType::ALL.iter().map(|it| it.as_str());
    types
        .map(|name| (name.to_owned(), json!({"post": delivery(name)})))
        .collect()
}

fn delivery(name: &str) -> Value {
    let header = |(name, what): &(&str, &str)| json!({"name": name, "in": "header", "required": true, "description": what, "schema": {"type": "string"}});
    let headers: Vec<Value> = HEADERS.iter().map(header).collect();
    let id = name.replace('.', "_");
    json!({
        "operationId": format!("receive_{id}"),
        "summary": format!("`{name}` is sent to your endpoint."),
        "description": "At least once, and in order per order. Verify it, answer 2xx within 10 seconds, and take each id once.",
        "tags": ["webhooks"],
        "security": [],
        "parameters": headers,
        "requestBody": {
            "required": true,
            "content": {"application/json": {"schema": {"$ref": "#/components/schemas/Event"}}},
        },
        "responses": {
            "2XX": {"description": "You have it. Whatever else you answer is read to 64 KiB and ignored."},
            "410": {"description": "You want nothing any more: the endpoint is disabled."},
            "default": {"description": "It is sent again; a `Retry-After` is honoured up to twice the gap."},
        },
    })
}
