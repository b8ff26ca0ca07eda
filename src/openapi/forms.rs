//! The representations of an error that `Accept` can select: their content, and the schemas of those other than LMN's
//! envelope.

use serde_json::{Map, Value, json};

use super::{examples, refusals, strictness};
use crate::{
    errors::{Representation, catalogue::Code, entry::LendFoundryCode, payloads::CursorReason},
    values::string_enum::StringEnum,
};

/// Returns the `content` of an error with one of some codes under a status.
pub(super) fn content(status: u16, codes: &[Code]) -> Value {
    let content = Representation::ALL.map(|representation| {
        let schema = match representation {
            Representation::Envelope => schema("ErrorResponse"),
            Representation::Problem => schema("Problem"),
            Representation::LendFoundry => schema("LendFoundryError"),
        };
        let examples = examples::references(status, codes, representation);
        let media_type = json!({"schema": schema, "examples": examples});
        (representation.media_type().to_owned(), media_type)
    });
    Map::from_iter(content).into()
}

/// Returns the schemas of the representations other than the envelope, by name.
pub(super) fn schemas() -> impl Iterator<Item = (String, Value)> {
    let shapes = [("Problem", problem()), ("LendFoundryError", lendfoundry())];
    shapes
        .into_iter()
        .map(|(name, shape)| (name.to_owned(), shape))
}

fn codes() -> Value {
    let description = "Branch on this and on nothing else.";
    growing(
        json!({"type": "string", "enum": Code::ALL.map(Code::as_str), "description": description}),
    )
}

/// Marks a list of words that may grow.
fn growing(mut list: Value) -> Value {
    strictness::mark_growing(&mut list);
    list
}

/// Returns the schema of a problem: the members of RFC 9457 and the members that details of any code can have.
fn problem() -> Value {
    let mut members = refusals::members_of_details(&Code::ALL);
    let standard = [
        (
            "type",
            json!({"type": "string", "format": "uri", "description": "The URL of the code's row in the catalogue."}),
        ),
        ("title", json!({"type": "string"})),
        (
            "status",
            json!({"type": "integer", "minimum": 400, "maximum": 599}),
        ),
        (
            "detail",
            json!({"type": "string", "description": "One sentence for human readers. It may change."}),
        ),
        (
            "instance",
            json!({"type": "string", "pattern": "^req_[0-9a-f]{24}$", "description": "Equals `X-Request-Id`."}),
        ),
        ("code", codes()),
    ];
    let required = standard.each_ref().map(|(name, _)| *name);
    members.extend(standard.map(|(name, schema)| (name.to_owned(), schema)));
    json!({
        "type": "object",
        "description": "An error as in RFC 9457. The envelope's `error.details` are extension members here.",
        "properties": members,
        "required": required,
    })
}

/// Returns the schema of an error in LendFoundry's representation: one alternative for every code of LendFoundry.
fn lendfoundry() -> Value {
    let errors: Vec<Value> = LendFoundryCode::ALL
        .iter()
        .map(|it| lendfoundry_error(*it))
        .collect();
    json!({
        "type": "object",
        "description": "An error as LendFoundry's clients expect it. The schema of `details` depends on `code`.",
        "properties": {"error": {"anyOf": errors}},
        "required": ["error"],
    })
}

/// Returns the schema of an error with one of LendFoundry's codes.
fn lendfoundry_error(code: LendFoundryCode) -> Value {
    let lmn_codes = Code::ALL.into_iter().map(Code::entry);
    let lmn_codes = lmn_codes.filter(|entry| entry.lendfoundry.contains(&code));
    let lmn_codes: Vec<&str> = lmn_codes.map(|entry| entry.code).collect();
    let description = "The code in LMN's own representation.";
    let lmn_code = json!({"type": "string", "enum": lmn_codes, "description": description});
    let members = json!({
        "code": {"type": "string", "enum": [code.as_str()]},
        "message": {"type": "string"},
        "details": lendfoundry_details(code),
        "trace_id": {"type": "string", "pattern": "^req_[0-9a-f]{24}$", "description": "Equals `X-Request-Id`."},
        "timestamp": utc(),
        "lmn_code": growing(lmn_code),
    });
    let mut error = object(&members, &[]);
    if let Some(error) = error.as_object_mut() {
        error.insert("title".to_owned(), format!("{code:?}").into());
    }
    error
}

/// Returns the schema of the details that LendFoundry's documentation shows for one of its codes.
fn lendfoundry_details(code: LendFoundryCode) -> Value {
    let text = json!({"type": "string"});
    let count = json!({"type": "integer", "minimum": 1});
    match code {
        LendFoundryCode::InvalidRequest => rows(&object(
            &json!({
                "field": text, "issue": schema("IssueKind"), "message": text, "expected": text, "received": text,
                "reason": growing(json!({"type": "string", "enum": CursorReason::ALL})),
                "min": schema("Usd"), "provided": {"type": ["integer", "null"]},
            }),
            &[
                "message", "expected", "received", "reason", "min", "provided",
            ],
        )),
        LendFoundryCode::ValidationError => rows(&object(
            &json!({
                "field": text,
                "issue": {"type": "string", "enum": [Code::IdempotencyKeyReused.as_str().to_uppercase()]},
                "original_vehicle_id": or_null("VehicleId"),
            }),
            &[],
        )),
        LendFoundryCode::BusinessRuleViolation => rows(&object(
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
            object(&json!({"resource_type": kind, "resource_id": id}), &[])
        }
        LendFoundryCode::DuplicateResource => {
            let kind = json!({"type": "string", "enum": ["order"]});
            let members = json!({"resource_type": kind, "existing_id": schema("OrderId")});
            object(&members, &[])
        }
        LendFoundryCode::WorkflowStateInvalid => object(
            &json!({
                "current_state": or_null("OrderStatus"),
                "requested_action": {"type": ["string", "null"]},
                "valid_actions": {"type": "array", "items": schema("Action")},
            }),
            &[],
        ),
        LendFoundryCode::RateLimitExceeded => object(
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

/// Returns an object schema; all members are required except `optional`.
fn object(members: &Value, optional: &[&str]) -> Value {
    let names = members.as_object().into_iter().flat_map(Map::keys);
    let required: Vec<_> = names
        .filter(|it| !optional.contains(&it.as_str()))
        .collect();
    json!({"type": "object", "properties": members, "required": required})
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
    json!({"type": "string", "format": "date-time", "description": "In UTC, with `Z`."})
}
