//! Error responses: the codes that an operation can return, and their bodies, all from the error catalogue.

use std::collections::BTreeMap;

use axum::http::StatusCode;
use serde_json::{Map, Value, json};

use super::{forms, headers, operation::Kind, schemas};
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
    let error = json!({"type": "object", "properties": members, "required": required});
    json!({
        "type": "object",
        "description": code.entry().meaning,
        "properties": {"error": error},
        "required": ["error"],
    })
}

/// Returns the schema of a code's `details`; `None` if it has none.
pub(super) fn details(code: Code) -> Option<Value> {
    let mut details = json!(code.details_schema()?);
    let object = details.as_object_mut()?;
    object.remove("description");
    if let Some(Value::Array(required)) = object.get_mut("required") {
        required.sort_by(|one, other| one.as_str().cmp(&other.as_str()));
    }
    schemas::mark_growing(&mut details);
    Some(details)
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
