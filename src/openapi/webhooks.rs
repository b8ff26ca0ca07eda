//! The `webhooks` of the OpenAPI document: one delivery for each type of event.

use serde_json::{Map, Value, json};

use crate::{
    events::model::EventType,
    values::string_enum::StringEnum,
    webhooks::signature::{EVENT_ID, SIGNATURE, TIMESTAMP},
};

/// The headers of a delivery, with their descriptions.
const HEADERS: &[(&str, &str)] = &[
    (EVENT_ID, "The event's id, the same in every attempt."),
    (TIMESTAMP, "When this attempt was signed, in unix seconds."),
    (
        SIGNATURE,
        "`t=<timestamp>,v1=<hex>`: HMAC-SHA256 of `<timestamp>.<raw body>`, keyed with the text of the secret. \
         While the secret is being rotated there is a second `v1`.",
    ),
    ("webhook-id", "The event's id (Standard Webhooks)."),
    ("webhook-timestamp", "The timestamp (Standard Webhooks)."),
    ("webhook-signature", "`v1,<base64>` (Standard Webhooks)."),
];

/// Returns the deliveries of all types of events.
pub(super) fn all() -> Map<String, Value> {
    let types = EventType::ALL.iter().map(|it| it.as_str());
    types
        .map(|name| (name.to_owned(), json!({"post": delivery(name)})))
        .collect()
}

fn delivery(name: &str) -> Value {
    let header = |(name, description): &(&str, &str)| {
        json!({
            "name": name, "in": "header", "required": true, "description": description, "schema": {"type": "string"},
        })
    };
    let headers: Vec<Value> = HEADERS.iter().map(header).collect();
    let id = name.replace('.', "_");
    json!({
        "operationId": format!("receive_{id}"),
        "summary": format!("`{name}` is sent to your endpoint."),
        "description": "Delivered at least once, and in sequence for each order. Verify the signature, respond with \
                        2xx within 10 seconds, and process each id once.",
        "tags": ["webhooks"],
        "security": [],
        "parameters": headers,
        "requestBody": {
            "required": true,
            "content": {"application/json": {"schema": {"$ref": "#/components/schemas/Event"}}},
        },
        "responses": {
            "2XX": {"description": "The event was received. Up to 64 KiB of the response body are read and ignored."},
            "410": {"description": "No further events are wanted: the endpoint is disabled."},
            "default": {"description": "It is sent again; `Retry-After` is honored up to twice the usual delay."},
        },
    })
}
