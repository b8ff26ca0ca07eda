//! The OpenAPI document of the operator API: the same parts as the partners' document, in LMN's envelope only.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Map, Value, json};
use utoipa::openapi::OpenApi;

use super::{
    document::{GROWING, PARTIAL, REQUESTS, idempotency_key, issue, take},
    refusals, schemas, strictness,
};
use crate::errors::catalogue::Code;

/// The part of all paths that is in the server's URL instead.
const SERVER: &str = "/operator";

/// Error codes by status.
type Refusals = BTreeMap<u16, BTreeSet<&'static str>>;

/// The errors of every operation.
const ALWAYS: &[Code] = &[
    Code::ValidationError,
    Code::MissingOperatorToken,
    Code::InvalidOperatorToken,
    Code::RoleNotAllowed,
    Code::InternalError,
    Code::ServiceUnavailable,
];
/// The errors of operations that take an Idempotency-Key.
const KEYED: &[Code] = &[Code::MissingIdempotencyKey, Code::IdempotencyKeyReused];
/// The errors of operations that have a body.
const BODY: &[Code] = &[
    Code::RequestTimeout,
    Code::PayloadTooLarge,
    Code::UnsupportedMediaType,
];

/// Builds the document of some groups of routes, each with the name of the role that it needs.
pub(crate) fn operator_document(groups: &[(&str, OpenApi)]) -> Value {
    let (mut paths, mut schemas) = (Map::new(), Map::new());
    for (role, routes) in groups {
        // The types of utoipa always serialize.
        let mut routes = serde_json::to_value(routes).unwrap_or_default();
        take(&mut routes, "/components/schemas", &mut schemas);
        let mut found = Map::new();
        take(&mut routes, "/paths", &mut found);
        for (path, mut item) in found {
            for (method, operation) in item.as_object_mut().into_iter().flatten() {
                complete(operation, method, role);
            }
            let path = path.strip_prefix(SERVER).unwrap_or(&path).to_owned();
            let known = paths.entry(path).or_insert_with(|| json!({}));
            if let (Some(known), Value::Object(item)) = (known.as_object_mut(), item) {
                known.extend(item);
            }
        }
    }
    schemas::require_members(&mut schemas, &[REQUESTS, PARTIAL].concat());
    let codes: Vec<_> = Code::ALL.into_iter().chain(Code::OPERATOR).collect();
    schemas.extend(refusals::schemas(&codes));
    schemas.insert("ErrorCode".to_owned(), json!({"type": "string"}));
    schemas.extend(issue());
    for name in GROWING {
        if let Some(words) = schemas.get_mut(*name) {
            strictness::mark_growing(words);
        }
    }
    schemas::allow_null(&mut schemas);
    strictness::separate(&mut schemas, REQUESTS);
    let paths = Value::from(paths);
    let mut components = json!({
        "schemas": schemas,
        "parameters": {"Idempotency-Key": idempotency_key()},
    });
    if let Some(components) = components.as_object_mut() {
        schemas::drop_unused(components, &[&paths]);
        let token = json!({
            "type": "http", "scheme": "bearer",
            "description": "The token that `lmn operator add` printed: `lmn_op_…`.",
        });
        let schemes = json!({"operator_token": token});
        components.insert("securitySchemes".to_owned(), schemes);
    }
    json!({
        "openapi": "3.1.0",
        "info": {
            "title": "LMN operator API",
            "version": env!("CARGO_PKG_VERSION"),
            "summary": "LMN's side of the orders of its partners.",
        },
        "servers": [{"url": SERVER}],
        "security": [{"operator_token": []}],
        "paths": paths,
        "components": components,
    })
}

/// Adds what the layers add to an operation: its role, the key of a write, and the error responses.
fn complete(operation: &mut Value, method: &str, role: &str) {
    let Some(operation) = operation.as_object_mut() else {
        return;
    };
    let description = operation.get("description").and_then(Value::as_str);
    let description = description
        .map(|it| format!("{it}\n\n"))
        .unwrap_or_default();
    let description = format!("{description}Needs the role `{role}`.");
    operation.insert("description".to_owned(), description.into());
    let takes_key = matches!(method, "post" | "delete");
    let mut parameters = operation
        .get("parameters")
        .cloned()
        .unwrap_or_else(|| json!([]));
    let has = |name: &str| {
        let named = parameters.as_array().into_iter().flatten();
        named.into_iter().any(|it| it["name"] == name)
    };
    let (is_list, is_conditional) = (has("cursor"), has("If-None-Match"));
    if let Some(all) = parameters.as_array_mut().filter(|_| takes_key) {
        all.push(json!({"$ref": "#/components/parameters/Idempotency-Key"}));
    }
    operation.insert("parameters".to_owned(), parameters);

    let mut refusals = Refusals::new();
    add(&mut refusals, ALWAYS);
    if takes_key {
        add(&mut refusals, KEYED);
    }
    if method == "post" {
        add(&mut refusals, BODY);
    }
    if is_list {
        add(&mut refusals, &[Code::InvalidCursor]);
    }
    let documented = operation.get("responses").and_then(Value::as_object);
    let mut responses = Map::new();
    for (status, response) in documented.cloned().unwrap_or_default() {
        if status.starts_with('2') {
            responses.insert(status, response);
            continue;
        }
        let named = response.get("description").and_then(Value::as_str);
        let named = named.unwrap_or_default().split_whitespace();
        if let Ok(status) = status.parse() {
            let codes = named.filter_map(Code::find).map(Code::as_str);
            refusals.entry(status).or_default().extend(codes);
        }
    }
    if is_conditional {
        let not_modified = json!({"description": "Your copy is still current. There is no body."});
        responses.insert("304".to_owned(), not_modified);
    }
    for (status, codes) in &refusals {
        responses.insert(status.to_string(), refusal(codes));
    }
    operation.insert("responses".to_owned(), responses.into());
}

/// Adds codes under their statuses.
fn add(refusals: &mut Refusals, codes: &[Code]) {
    for entry in codes.iter().map(|code| code.entry()) {
        for status in entry.statuses {
            refusals.entry(*status).or_default().insert(entry.code);
        }
    }
}

/// Returns the response with one of some codes.
fn refusal(codes: &BTreeSet<&str>) -> Value {
    let codes: Vec<_> = codes.iter().filter_map(|it| Code::find(it)).collect();
    let line = |code: &Code| {
        let entry = code.entry();
        format!("- `{}`: {} {}", entry.code, entry.meaning, entry.when)
    };
    let lines: Vec<_> = codes.iter().map(line).collect();
    json!({
        "description": lines.join("\n"),
        "content": {"application/json": {"schema": {"$ref": "#/components/schemas/ErrorResponse"}}},
    })
}
