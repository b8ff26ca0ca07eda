//! Error responses: the codes that an operation can return, and their bodies, all from the error catalogue.

use std::collections::BTreeMap;

use axum::http::StatusCode;
use serde_json::{Map, Value, json};

use super::{forms, headers, operation::Kind};
use crate::{errors::catalogue::Code, values::string_enum::StringEnum};

/// Error codes by status.
pub(super) type Refusals = BTreeMap<u16, Vec<Code>>;

/// The errors of every gated operation.
const GATE: &[(u16, Code)] = &[
    (400, Code::ValidationError),
    (401, Code::MissingApiKey),
    (401, Code::InvalidApiKey),
    (403, Code::IpNotAllowed),
    (429, Code::RateLimited),
    (500, Code::InternalError),
    (503, Code::ServiceUnavailable),
];
/// The errors of operations that take an Idempotency-Key.
const KEYED: &[(u16, Code)] = &[
    (400, Code::MissingIdempotencyKey),
    (422, Code::IdempotencyKeyReused),
];
/// The errors of operations that have a body.
const BODY: &[(u16, Code)] = &[
    (408, Code::RequestTimeout),
    (413, Code::PayloadTooLarge),
    (415, Code::UnsupportedMediaType),
];
/// The errors of every operation, even an open one.
const OPEN: &[(u16, Code)] = &[(500, Code::InternalError), (503, Code::ServiceUnavailable)];

/// Returns the errors that the layers of an operation can return.
pub(super) fn of_gate(kind: Kind) -> Refusals {
    let rows = match kind {
        Kind::Open => vec![OPEN],
        Kind::Read => vec![GATE],
        Kind::Replace => vec![GATE, BODY],
        Kind::Post => vec![GATE, KEYED, BODY],
        Kind::Delete => vec![GATE, KEYED],
    };
    let mut refusals = Refusals::new();
    for (status, code) in rows.into_iter().flatten() {
        refusals.entry(*status).or_default().push(*code);
    }
    refusals
}

/// Returns the response for some codes under a status.
pub(super) fn response(kind: Kind, status: StatusCode, codes: &[Code]) -> Value {
    let schemas: Vec<Value> = codes.iter().map(|code| reference(*code)).collect();
    let schema = match schemas.as_slice() {
        [one] => one.clone(),
        _ => json!({"oneOf": schemas}),
    };
    let lines: Vec<String> = codes.iter().map(|code| line(*code)).collect();
    json!({
        "description": lines.join("\n"),
        "headers": headers::of_answer(kind, status),
        "content": forms::content(&schema, status.as_u16(), codes),
    })
}

fn line(code: Code) -> String {
    let entry = code.entry();
    let (code, meaning, when, retry) =
        (entry.code, entry.meaning, entry.when, entry.retry.as_str());
    format!("- `{code}` ({retry}): {meaning} {when}")
}

/// Returns the name of the shared response for a status whose errors come from the layers alone.
pub(super) fn shared_name(kind: Kind, status: StatusCode) -> String {
    let reason = status.canonical_reason().unwrap_or_default();
    format!("{}.{}", reason.replace(' ', ""), kind.as_str())
}

/// Returns `components.responses`: the errors of the layers, and those of unknown routes and methods.
pub(super) fn components() -> Map<String, Value> {
    let mut responses = Map::new();
    for kind in Kind::ALL {
        for (status, codes) in of_gate(kind) {
            if let Ok(status) = StatusCode::from_u16(status) {
                let name = shared_name(kind, status);
                responses.insert(name, response(kind, status, &codes));
            }
        }
    }
    for code in [Code::NotFound, Code::MethodNotAllowed] {
        let status = code.entry().statuses.first().copied().unwrap_or_default();
        let Ok(status) = StatusCode::from_u16(status) else {
            continue;
        };
        let mut response = response(Kind::Open, status, &[code]);
        if let Some(Value::Object(headers)) = response.get_mut("headers") {
            headers.extend(["Idempotency-Status", "Idempotent-Replayed"].map(headers::sometimes));
            if code == Code::MethodNotAllowed {
                headers::add(headers, "Allow");
            }
        }
        responses.insert(format!("{code:?}"), response);
    }
    responses
}

fn reference(code: Code) -> Value {
    json!({"$ref": format!("#/components/schemas/{code:?}")})
}

/// Returns the schema of the envelope of every code, by name.
pub(super) fn schemas() -> impl Iterator<Item = (String, Value)> {
    Code::ALL
        .into_iter()
        .map(|code| (format!("{code:?}"), envelope(code)))
}

fn envelope(code: Code) -> Value {
    let mut members = json!({
        "code": {"type": "string", "enum": [code.as_str()], "description": "Branch on this and on nothing else."},
        "message": {"type": "string", "description": "One sentence for human readers. It may change."},
        "request_id": {"type": "string", "pattern": "^req_[0-9a-f]{24}$", "description": "Equals `X-Request-Id`."},
    });
    let mut required = vec!["code", "message", "request_id"];
    if let (Some(details), Some(members)) = (details(code), members.as_object_mut()) {
        members.insert("details".to_owned(), details);
        required.push("details");
    }
    let error = json!({
        "type": "object", "properties": members, "required": required, "additionalProperties": false,
    });
    json!({
        "type": "object",
        "description": code.entry().meaning,
        "properties": {"error": error},
        "required": ["error"],
        "additionalProperties": false,
    })
}

/// Returns the schema of a code's `details`; `None` if it has none.
pub(super) fn details(code: Code) -> Option<Value> {
    let schema = |name: &str| json!({"$ref": format!("#/components/schemas/{name}")});
    let or_null = |name: &str| json!({"oneOf": [{"type": "null"}, schema(name)]});
    let count = json!({"type": "integer", "minimum": 1});
    let members = match code {
        Code::ValidationError => json!({
            "issues": {"type": "array", "minItems": 1, "items": schema("Issue")},
            "field": {"type": "string", "description": "The field to look at first, if there is one."},
            "reason": {
                "type": "string", "enum": ["address_not_public"],
                "description": "Present if a URL does not lead to public addresses only.",
            },
        }),
        Code::InvalidCursor => {
            json!({"reason": {"type": "string", "enum": ["malformed", "sort_mismatch", "filter_mismatch"]}})
        }
        Code::MissingMaxBid => {
            json!({"listing_usd": schema("Usd"), "received": {"type": ["integer", "null"]}})
        }
        Code::InvalidApiKey => {
            json!({"reason": {"type": "string", "enum": ["unknown", "revoked", "expired", "wrong_environment"]}})
        }
        Code::IpNotAllowed => {
            json!({"client_ip": {"type": "string", "description": "The address that the request came from."}})
        }
        Code::InvalidStatusTransition => json!({
            "reason": {"type": "string", "enum": ["partner_not_authorized", "out_of_sequence", "vehicle_shared"]},
            "current_status": or_null("OrderStatus"),
            "current_fulfillment_detail": or_null("FulfillmentDetail"),
            "allowed_actions": {"type": "array", "items": schema("Action")},
        }),
        Code::MethodNotAllowed => json!({"allow": {"type": "array", "items": {"type": "string"}}}),
        Code::PastOrderCutoff => {
            json!({"cutoff_at": schema("Timestamp"), "now": schema("Timestamp")})
        }
        Code::DuplicateOrder => json!({"existing_order_id": schema("OrderId")}),
        Code::VehicleUnavailable => json!({"vehicle_id": schema("VehicleId")}),
        Code::IdempotencyKeyReused => json!({
            "original_vehicle_id": or_null("VehicleId"),
            "mismatch": {"type": "array", "minItems": 1, "items": {"type": "string", "enum":
                ["method", "path", "query", "vehicle_id", "max_bid_amount_usd", "body"]}},
        }),
        Code::RateLimited => json!({
            "policy": {"type": "string", "enum": ["read", "write", "unknown_key"]},
            "limit": count, "window_seconds": count, "burst": count, "retry_after": count,
            "remaining": {"type": "integer", "enum": [0]},
            "reset_at": schema("Timestamp"),
        }),
        Code::ServiceUnavailable => json!({"retry_after": count}),
        Code::MissingIdempotencyKey
        | Code::MissingApiKey
        | Code::VehicleNotFound
        | Code::OrderNotFound
        | Code::EventNotFound
        | Code::WebhookEndpointNotFound
        | Code::OrderVehicleSnapshotNotFound
        | Code::NotFound
        | Code::PayloadTooLarge
        | Code::UnsupportedMediaType
        | Code::RequestTimeout
        | Code::InternalError => return None,
    };
    let names = members.as_object().into_iter().flat_map(Map::keys);
    // Only a search without `make` sets `field`, and only a URL sets `reason`.
    let is_optional = |name: &str| code == Code::ValidationError && name != "issues";
    let required: Vec<_> = names.filter(|name| !is_optional(name)).collect();
    Some(json!({
        "type": "object", "properties": members, "required": required, "additionalProperties": false,
    }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn details_schemas_have_the_members_listed_in_the_catalogue() {
        for code in Code::ALL {
            let details_of = code.entry().details.iter();
            let mut expected: Vec<_> = details_of.map(|detail| detail.name).collect();
            expected.sort_unstable();
            let details = details(code).unwrap_or_default();
            let members = details["properties"].as_object();
            let members: Vec<_> = members.into_iter().flat_map(Map::keys).collect();
            assert_eq!(members, expected, "{code:?}");
        }
    }

    #[test]
    fn layer_errors_have_statuses_listed_in_the_catalogue() {
        for (status, code) in [GATE, KEYED, BODY, OPEN].concat() {
            assert!(code.entry().statuses.contains(&status), "{code:?}");
        }
    }
}
