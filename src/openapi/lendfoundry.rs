//! Schemas of LendFoundry's representation of an error, with the details that its documentation shows for each code.

use serde_json::{Map, Value, json};

use crate::{
    errors::{catalogue::Code, entry::LendFoundryCode},
    values::string_enum::StringEnum,
};

/// Returns the schema of an error: one alternative for every code.
pub(super) fn error() -> Value {
    let errors: Vec<Value> = LendFoundryCode::ALL.iter().map(|it| of(*it)).collect();
    json!({
        "type": "object",
        "description": "An error as LendFoundry's clients expect it. The schema of `details` depends on `code`.",
        "properties": {"error": {"oneOf": errors}},
        "required": ["error"],
        "additionalProperties": false,
    })
}

/// Returns the schema of an error with one code.
fn of(code: LendFoundryCode) -> Value {
    let lmn_codes = Code::ALL.into_iter().map(Code::entry);
    let lmn_codes = lmn_codes.filter(|entry| entry.lendfoundry.contains(&code));
    let lmn_codes: Vec<&str> = lmn_codes.map(|entry| entry.code).collect();
    let members = json!({
        "code": {"type": "string", "enum": [code.as_str()]},
        "message": {"type": "string"},
        "details": details(code),
        "trace_id": {"type": "string", "pattern": "^req_[0-9a-f]{24}$", "description": "Equals `X-Request-Id`."},
        "timestamp": utc(),
        "lmn_code": {"type": "string", "enum": lmn_codes, "description": "The code in LMN's own representation."},
    });
    let mut error = closed(&members, &[]);
    if let Some(error) = error.as_object_mut() {
        error.insert("title".to_owned(), format!("{code:?}").into());
    }
    error
}

/// Returns the schema of the details of a code.
fn details(code: LendFoundryCode) -> Value {
    let text = json!({"type": "string"});
    let count = json!({"type": "integer", "minimum": 1});
    match code {
        LendFoundryCode::InvalidRequest => rows(&closed(
            &json!({
                "field": text, "issue": schema("IssueKind"), "message": text, "expected": text, "received": text,
                "reason": {"type": "string", "enum": ["malformed", "sort_mismatch", "filter_mismatch"]},
                "min": schema("Usd"), "provided": {"type": ["integer", "null"]},
            }),
            &[
                "message", "expected", "received", "reason", "min", "provided",
            ],
        )),
        LendFoundryCode::ValidationError => rows(&closed(
            &json!({
                "field": text,
                "issue": {"type": "string", "enum": [Code::IdempotencyKeyReused.as_str().to_uppercase()]},
                "original_vehicle_id": or_null("VehicleId"),
            }),
            &[],
        )),
        LendFoundryCode::BusinessRuleViolation => rows(&closed(
            &json!({
                "rule": {"type": "string", "enum": ["ORDER_CUTOFF_PASSED"]}, "cutoff_at": utc(), "now": utc(),
            }),
            &[],
        )),
        LendFoundryCode::ResourceNotFound => {
            let kinds = [
                "vehicle",
                "order",
                "event",
                "webhook_endpoint",
                "order_vehicle_snapshot",
                "route",
            ];
            let id = json!({"type": ["string", "null"], "description": "The id as it was sent, truncated."});
            let kind = json!({"type": "string", "enum": kinds});
            closed(&json!({"resource_type": kind, "resource_id": id}), &[])
        }
        LendFoundryCode::DuplicateResource => {
            let kind = json!({"type": "string", "enum": ["order"]});
            let members = json!({"resource_type": kind, "existing_id": schema("OrderId")});
            closed(&members, &[])
        }
        LendFoundryCode::WorkflowStateInvalid => closed(
            &json!({
                "current_state": or_null("OrderStatus"),
                "requested_action": {"type": ["string", "null"]},
                "valid_actions": {"type": "array", "items": schema("Action")},
            }),
            &[],
        ),
        LendFoundryCode::RateLimitExceeded => closed(
            &json!({
                "limit": count, "remaining": {"type": "integer", "enum": [0]}, "reset_at": utc(), "retry_after": count,
            }),
            &[],
        ),
        LendFoundryCode::Unauthorized
        | LendFoundryCode::Forbidden
        | LendFoundryCode::InternalServerError
        | LendFoundryCode::ServiceUnavailable => {
            json!({"type": "array", "maxItems": 0, "items": text})
        }
    }
}

/// Returns a closed object schema; all members are required except `optional`.
fn closed(members: &Value, optional: &[&str]) -> Value {
    let names = members.as_object().into_iter().flat_map(Map::keys);
    let required: Vec<_> = names
        .filter(|it| !optional.contains(&it.as_str()))
        .collect();
    json!({
        "type": "object", "properties": members, "required": required, "additionalProperties": false,
    })
}

fn rows(row: &Value) -> Value {
    json!({"type": "array", "minItems": 1, "items": row})
}

fn schema(name: &str) -> Value {
    json!({"$ref": format!("#/components/schemas/{name}")})
}

fn or_null(name: &str) -> Value {
    json!({"oneOf": [{"type": "null"}, schema(name)]})
}

fn utc() -> Value {
    json!({"type": "string", "format": "date-time", "pattern": "Z$"})
}
