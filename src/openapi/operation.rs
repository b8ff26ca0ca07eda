//! One operation: what its handler says of it, completed by what the gate adds.

use axum::http::StatusCode;
use serde_json::{Map, Value, json};

use super::{
    examples, headers,
    refusals::{self, Refusals},
};
use crate::error::catalogue::Code;

/// The header that asks a sandbox for an error.
pub(super) const FORCE: &str = "X-Sandbox-Force";

/// What an operation has to pass.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    /// Nothing: it needs no key.
    Open,
    /// The gate, as a read.
    Read,
    /// The gate, as a write that needs no key, because once and twice are the same.
    Replace,
    /// The gate, as a write under an Idempotency-Key, which may bring a body.
    Post,
    /// The gate, as a write under an Idempotency-Key, whose body is ignored.
    Delete,
}

impl Kind {
    /// Every kind.
    pub(super) const ALL: [Self; 5] = [
        Self::Open,
        Self::Read,
        Self::Replace,
        Self::Post,
        Self::Delete,
    ];

    /// Takes the kind of a gated operation from its method.
    pub(super) fn of(method: &str) -> Self {
        match method {
            "post" => Self::Post,
            "delete" => Self::Delete,
            "put" => Self::Replace,
            _ => Self::Read,
        }
    }

    /// Says whether it comes under an Idempotency-Key.
    pub(super) fn takes_key(self) -> bool {
        matches!(self, Self::Post | Self::Delete)
    }

    /// Returns the end of the names of shared responses.
    pub(super) fn as_str(self) -> &'static str {
        match self {
            Self::Open => "open",
            Self::Read => "read",
            Self::Replace => "replace",
            Self::Post => "post",
            Self::Delete => "delete",
        }
    }
}

/// Completes an operation.
pub(super) fn complete(operation: &mut Value, kind: Kind) {
    let Some(operation) = operation.as_object_mut() else {
        return;
    };
    if kind == Kind::Open {
        operation.insert("security".to_owned(), json!([]));
    }
    let parameters = add_parameters(operation, kind);
    let has = |name: &str| {
        let mut named = parameters.iter().filter_map(|it| it.get("name"));
        named.any(|it| it == name)
    };
    add_body_example(operation);
    let told = operation.get("responses").and_then(Value::as_object);
    let told = told.cloned().unwrap_or_default();
    let mut refused = refusals::of_gate(kind);
    if has("cursor") {
        refused.entry(400).or_default().push(Code::InvalidCursor);
    }
    let mut responses = Map::new();
    for (status, response) in told {
        match status.as_str() {
            success if success.starts_with('2') => {
                let response = succeed(response, kind, success, &has);
                responses.insert(status, response);
            }
            _ => own_refusals(&mut refused, &status, &response),
        }
    }
    if kind.takes_key() {
        add_replay(&mut responses);
    }
    if has("If-None-Match") {
        responses.insert("304".to_owned(), not_modified(kind, responses.get("200")));
    }
    refuse(&mut responses, kind, refused);
    operation.insert("responses".to_owned(), responses.into());
}

/// Adds the parameters that the gate reads, and returns those of the handler.
fn add_parameters(operation: &mut Map<String, Value>, kind: Kind) -> Vec<Value> {
    let own = operation.get("parameters").and_then(Value::as_array);
    let own = own.cloned().unwrap_or_default();
    let shared: &[&str] = match kind {
        Kind::Open => &[],
        Kind::Read | Kind::Replace => &["X-User-Id"],
        Kind::Post | Kind::Delete => &["Idempotency-Key", "X-User-Id"],
    };
    let reference = |name: &&str| json!({"$ref": format!("#/components/parameters/{name}")});
    let all: Vec<Value> = own
        .iter()
        .cloned()
        .chain(shared.iter().map(reference))
        .collect();
    if !all.is_empty() {
        operation.insert("parameters".to_owned(), all.into());
    }
    own
}

/// Adds the parameter by which a sandbox is asked for an error.
pub(super) fn let_force(operation: &mut Value) {
    let reference = json!({"$ref": format!("#/components/parameters/{FORCE}")});
    if let Some(Value::Array(parameters)) = operation.get_mut("parameters") {
        parameters.push(reference);
    }
}

/// Gives an example of the body, if the operation takes one.
fn add_body_example(operation: &mut Map<String, Value>) {
    let body = operation.get_mut("requestBody");
    if let Some(content) = body.and_then(|it| it.pointer_mut("/content/application~1json")) {
        examples::illustrate(content);
    }
}

/// Completes a success with its headers and an example.
fn succeed(mut response: Value, kind: Kind, status: &str, has: &impl Fn(&str) -> bool) -> Value {
    let mut headers = headers::of_answer(kind, StatusCode::OK);
    if has("If-None-Match") {
        headers::add(&mut headers, "ETag");
    }
    if has("cursor") {
        headers.extend([headers::sometimes("Link")]);
    }
    if status == "201" {
        headers::add(&mut headers, "Location");
    }
    let own = response.get("headers").and_then(Value::as_object);
    let own: Vec<String> = own.into_iter().flat_map(Map::keys).cloned().collect();
    // What a handler adds depends on what it finds; the form of its answer on what is asked, always.
    headers.extend(own.iter().map(|name| match name.as_str() {
        "Vary" => headers::always(name),
        name => headers::sometimes(name),
    }));
    if let Some(response) = response.as_object_mut() {
        response.insert("headers".to_owned(), headers.into());
    }
    if let Some(content) = response.pointer_mut("/content/application~1json") {
        examples::illustrate(content);
    }
    response
}

/// Reads the codes that a handler names in the description of a refusal.
fn own_refusals(refused: &mut Refusals, status: &str, response: &Value) {
    let codes = response.get("description").and_then(Value::as_str);
    let codes = codes
        .unwrap_or_default()
        .split_whitespace()
        .filter_map(Code::parse);
    if let Ok(status) = status.parse() {
        refused.entry(status).or_default().extend(codes);
    }
}

/// Tells of the replay: what created once answers 200 ever after, with the same body.
fn add_replay(responses: &mut Map<String, Value>) {
    let replay = "Or a replay: an earlier request with this key did it, and this is its answer, byte for byte.";
    let created = responses.get("201").or(responses.get("202")).cloned();
    let has_location = responses.contains_key("201");
    let other = responses.remove("200");
    let schema = |response: &Option<Value>| {
        let schema = response
            .as_ref()?
            .pointer("/content/application~1json/schema");
        schema.cloned()
    };
    let schemas: Vec<Value> = [&created, &other].into_iter().filter_map(schema).collect();
    let Some(mut response) = other.or(created) else {
        return;
    };
    if let Some(Value::String(text)) = response.get_mut("description") {
        *text = format!("{text} {replay}");
    }
    if let Some(Value::Object(headers)) = response.get_mut("headers").filter(|_| has_location) {
        headers.extend([headers::sometimes("Location")]);
    }
    if let (Some(content), [_, _]) = (
        response.pointer_mut("/content/application~1json"),
        schemas.as_slice(),
    ) {
        *content = json!({"schema": {"anyOf": schemas}});
    }
    responses.insert("200".to_owned(), response);
}

/// Makes the 304 of a 200.
fn not_modified(kind: Kind, ok: Option<&Value>) -> Value {
    let mut headers = headers::of_answer(kind, StatusCode::NOT_MODIFIED);
    let told = ok
        .and_then(|it| it.get("headers"))
        .and_then(Value::as_object);
    headers.extend(told.cloned().unwrap_or_default());
    json!({"description": "You have it already. There is no body.", "headers": headers})
}

/// Adds the refusals: those that are the gate's alone are shared.
fn refuse(responses: &mut Map<String, Value>, kind: Kind, refused: Refusals) {
    let gate = refusals::of_gate(kind);
    for (number, codes) in refused {
        let Ok(status) = StatusCode::from_u16(number) else {
            continue;
        };
        let response = if gate.get(&number) == Some(&codes) {
            let name = refusals::shared_name(kind, status);
            json!({"$ref": format!("#/components/responses/{name}")})
        } else {
            refusals::response(kind, status, &codes)
        };
        responses.insert(number.to_string(), response);
    }
}
