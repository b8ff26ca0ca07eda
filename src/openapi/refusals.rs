//! Error responses: the codes that an operation can return, and their bodies, all from the error catalogue.

use std::collections::BTreeMap;

use axum::http::StatusCode;
use serde_json::{Map, Value, json};

use super::{forms, headers, operation::Kind, strictness};
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
/// The errors of open operations. Without one `Host`, any request is refused.
const OPEN: &[(u16, Code)] = &[
    (400, Code::ValidationError),
    (500, Code::InternalError),
    (503, Code::ServiceUnavailable),
];

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
    let lines: Vec<String> = codes.iter().map(|code| line(*code)).collect();
    json!({
        "description": lines.join("\n"),
        "headers": headers::of_answer(kind, status),
        "content": forms::content(status.as_u16(), codes),
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

/// Returns `components.responses`: the errors of the layers.
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
    responses
}

/// Returns the schemas of the envelope of some codes, by name. They are the same for every code: a client that is generated from them
/// needs one type for all errors, and reads a code that it does not know.
pub(super) fn schemas(codes: &[Code]) -> impl Iterator<Item = (String, Value)> + use<> {
    let reference = |name: &str| json!({"$ref": format!("#/components/schemas/{name}")});
    let envelope = json!({
        "type": "object",
        "description": "An error. The response's examples show the details of each of its codes.",
        "properties": {"error": reference("ErrorBody")},
        "required": ["error"],
    });
    let body = json!({
        "type": "object",
        "description": "What is wrong. `details` is present if the code has any.",
        "properties": {
            "code": {"$ref": "#/components/schemas/ErrorCode", "description": "Branch on this and on nothing else."},
            "message": {"type": "string", "description": "One sentence for human readers. It may change."},
            "request_id": {"type": "string", "pattern": "^req_[0-9a-f]{24}$", "description": "Equals `X-Request-Id`."},
            "details": reference("ErrorDetails"),
        },
        "required": ["code", "message", "request_id"],
    });
    let details = json!({
        "type": "object",
        "description": "The members that details can have. Those of one code are always the same.",
        "properties": members_of_details(codes),
    });
    let all = [
        ("ErrorResponse", envelope),
        ("ErrorBody", body),
        ("ErrorDetails", details),
    ];
    all.into_iter()
        .map(|(name, schema)| (name.to_owned(), schema))
}

/// Returns the members that details of some codes can have.
pub(super) fn members_of_details(codes: &[Code]) -> Map<String, Value> {
    let mut members = BTreeMap::<String, Vec<Value>>::new();
    for details in codes.iter().copied().filter_map(details) {
        let properties = details.get("properties").and_then(Value::as_object);
        for (name, schema) in properties.into_iter().flatten() {
            let known = members.entry(name.clone()).or_default();
            if !known.contains(schema) {
                known.push(schema.clone());
            }
        }
    }
    let any = |(name, all): (String, Vec<Value>)| {
        let mut schema = match all.as_slice() {
            [one] => one.clone(),
            _ => strictness::union(&all).unwrap_or_else(|| json!({"anyOf": all})),
        };
        if let Some(schema) = schema.as_object_mut() {
            schema.insert("description".to_owned(), meanings(&name, codes).into());
        }
        (name, schema)
    };
    members.into_iter().map(any).collect()
}

/// Returns the meanings of a member of details, one for each of the codes that has it.
fn meanings(name: &str, codes: &[Code]) -> String {
    let with = |code: Code| {
        let details = code.entry().details.iter();
        let mut meanings = details.filter(|it| it.name == name).map(|it| it.meaning);
        let meaning = meanings.next()?;
        Some(format!("- `{}`: {meaning}", code.as_str()))
    };
    let lines: Vec<String> = codes.iter().copied().filter_map(with).collect();
    lines.join("\n")
}

/// Returns the schema of a code's `details`; `None` if it has none.
fn details(code: Code) -> Option<Value> {
    let mut details = json!(code.details_schema()?);
    let object = details.as_object_mut()?;
    object.remove("description");
    if let Some(Value::Array(required)) = object.get_mut("required") {
        required.sort_by(|one, other| one.as_str().cmp(&other.as_str()));
    }
    strictness::mark_growing(&mut details);
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
