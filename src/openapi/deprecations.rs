//! Deprecated operations: their marks and the headers of their responses.

use std::collections::BTreeMap;

use axum::http::Method;
use serde_json::{Map, Value, json};

use super::refusals;
use crate::config::Deprecation;

/// The descriptions of the headers, in the order of [`Deprecation::headers`].
const DESCRIPTIONS: [&str; 3] = [
    "The time from which the operation is deprecated: `@` and unix seconds (RFC 9745).",
    "The time after which the operation may stop (RFC 8594).",
    "The announcement, as `<URL>; rel=\"deprecation\"`. A page of a list has another one before it: the next page, as \
     `<relative URL>; rel=\"next\"`.",
];

/// Returns the id, the method and the path of every operation in a document.
pub(crate) fn operations(document: &Value) -> impl Iterator<Item = (&str, Method, &str)> {
    let paths = document.get("paths").and_then(Value::as_object);
    paths.into_iter().flatten().flat_map(|(path, item)| {
        let operations = item.as_object().into_iter().flatten();
        operations.filter_map(move |(method, operation)| {
            let id = operation.get("operationId")?.as_str()?;
            let method: Method = method.to_uppercase().parse().ok()?;
            Some((id, method, path.as_str()))
        })
    })
}

/// Marks an operation and describes the headers of all its responses, if it is deprecated.
pub(super) fn mark(operation: &mut Value, deprecations: &BTreeMap<String, Deprecation>) {
    let id = operation.get("operationId").and_then(Value::as_str);
    let Some(deprecation) = id.and_then(|id| deprecations.get(id)) else {
        return;
    };
    let shared = refusals::components();
    let responses = operation.get_mut("responses");
    let responses = responses.and_then(Value::as_object_mut).into_iter();
    for (status, response) in responses.flatten() {
        // Shared responses are those of operations that are not deprecated as well.
        let reference = response.get("$ref").and_then(Value::as_str);
        let name = reference.and_then(|it| it.rsplit('/').next());
        if let Some(shared) = name.and_then(|name| shared.get(name)) {
            *response = shared.clone();
        }
        if let Some(Value::Object(headers)) = response.get_mut("headers") {
            // A request can be refused with these before its route is known.
            let is_certain = !matches!(status.as_str(), "400" | "503");
            headers.extend(describe(deprecation, is_certain));
        }
    }
    if let Some(operation) = operation.as_object_mut() {
        operation.insert("deprecated".to_owned(), true.into());
    }
}

/// Describes the headers of a deprecation.
fn describe(deprecation: &Deprecation, is_certain: bool) -> Map<String, Value> {
    let headers = deprecation.headers().into_iter().zip(DESCRIPTIONS);
    let described = headers.map(|((name, value), description)| {
        let header = json!({
            "description": description,
            "required": is_certain,
            "schema": {"type": "string"},
            "example": value,
        });
        (name.to_owned(), header)
    });
    described.collect()
}
