//! The representations of an error that `Accept` can select: their content and schemas.

use std::collections::BTreeMap;

use serde_json::{Map, Value, json};

use super::{examples, lendfoundry, refusals};
use crate::errors::{Representation, catalogue::Code};

/// Returns the `content` of an error with one of some codes under a status, given the schema of its envelope.
pub(super) fn content(envelope: &Value, status: u16, codes: &[Code]) -> Value {
    let reference = |name: &str| json!({"$ref": format!("#/components/schemas/{name}")});
    let content = Representation::ALL.map(|representation| {
        let schema = match representation {
            Representation::Envelope => envelope.clone(),
            Representation::Problem => reference("Problem"),
            Representation::LendFoundry => reference("LendFoundryError"),
        };
        let examples = examples::references(status, codes, representation);
        let media_type = json!({"schema": schema, "examples": examples});
        (representation.media_type().to_owned(), media_type)
    });
    Map::from_iter(content).into()
}

/// Returns the schemas of the representations other than the envelope, by name.
pub(super) fn schemas() -> impl Iterator<Item = (String, Value)> {
    let shapes = [
        ("Problem", problem()),
        ("LendFoundryError", lendfoundry::error()),
    ];
    shapes
        .into_iter()
        .map(|(name, shape)| (name.to_owned(), shape))
}

fn codes() -> Value {
    json!({"type": "string", "enum": Code::ALL.map(Code::as_str), "description": "Branch on this and on nothing else."})
}

/// Returns the schema of a problem: the members of RFC 9457 and the members that details of any code can have.
fn problem() -> Value {
    let mut members = more();
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
        "additionalProperties": false,
    })
}

/// Returns the members that details can have, each with all of its schemas.
fn more() -> Map<String, Value> {
    let mut members = BTreeMap::<String, Vec<Value>>::new();
    for details in Code::ALL.into_iter().filter_map(refusals::details) {
        let properties = details.get("properties").and_then(Value::as_object);
        for (name, schema) in properties.into_iter().flatten() {
            let known = members.entry(name.clone()).or_default();
            if !known.contains(schema) {
                known.push(schema.clone());
            }
        }
    }
    let any = |(name, all): (String, Vec<Value>)| match all.as_slice() {
        [one] => (name, one.clone()),
        _ => (name, json!({"anyOf": all})),
    };
    members.into_iter().map(any).collect()
}
