//! Shapes: what is derived from the types, made as exact as the contract is.
//!
//! Every member is always there, what has no value is null, and nothing else is there. The derivation cannot know that:
//! it lets an optional member be absent, leaves objects open, and puts a flattened part beside the whole.

use serde_json::{Map, Value, json};

/// Schemas by their names.
type Schemas = Map<String, Value>;

/// Closes the shapes that we answer with; `requests` are read, and stay open.
pub(super) fn close(schemas: &mut Schemas, requests: &[&str]) {
    let flat: Vec<(String, Value)> = schemas
        .iter()
        .filter(|(_, schema)| schema.get("allOf").is_some())
        .map(|(name, schema)| (name.clone(), merge(schema, schemas)))
        .collect();
    schemas.extend(flat);
    for (name, schema) in schemas {
        if !requests.contains(&name.as_str()) {
            close_one(schema);
        }
    }
}

/// Puts the parts of an `allOf` together: two closed objects could never both hold.
fn merge(schema: &Value, schemas: &Schemas) -> Value {
    let mut properties = Map::new();
    for part in schema
        .get("allOf")
        .and_then(Value::as_array)
        .into_iter()
        .flatten()
    {
        let part = resolve(part, schemas).unwrap_or(part);
        let members = part.get("properties").and_then(Value::as_object);
        properties.extend(members.cloned().unwrap_or_default());
    }
    let description = schema.get("description");
    json!({"type": "object", "description": description, "properties": properties})
}

/// Returns what a reference refers to.
fn resolve<'a>(schema: &Value, schemas: &'a Schemas) -> Option<&'a Value> {
    let name = schema.get("$ref")?.as_str()?;
    schemas.get(name.strip_prefix("#/components/schemas/")?)
}

/// Closes an object and those inside it.
fn close_one(schema: &mut Value) {
    let Some(object) = schema.as_object_mut() else {
        return;
    };
    let Some(Value::Object(properties)) = object.get_mut("properties") else {
        return;
    };
    properties.values_mut().for_each(close_one);
    let names: Vec<Value> = properties.keys().map(|name| name.as_str().into()).collect();
    object.insert("required".to_owned(), names.into());
    object.insert("additionalProperties".to_owned(), false.into());
}

/// Writes a value that can be null as one schema with both types, wherever it is not an object of its own name.
pub(super) fn allow_null(schemas: &mut Schemas) {
    let known = schemas.clone();
    schemas
        .values_mut()
        .for_each(|schema| allow_null_in(schema, &known));
}

fn allow_null_in(value: &mut Value, known: &Schemas) {
    if let Some(both) = both_types(value, known) {
        *value = both;
    }
    match value {
        Value::Array(items) => items.iter_mut().for_each(|it| allow_null_in(it, known)),
        Value::Object(members) => members.values_mut().for_each(|it| allow_null_in(it, known)),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
    }
}

/// Returns a reference or null as a type array, if the reference is to a text or number.
fn both_types(schema: &Value, known: &Schemas) -> Option<Value> {
    let [one, other] = schema.get("oneOf")?.as_array()?.as_slice() else {
        return None;
    };
    let null = json!({"type": "null"});
    let reference = match (one == &null, other == &null) {
        (true, false) => other,
        (false, true) => one,
        _ => return None,
    };
    let mut both = resolve(reference, known)?.as_object()?.clone();
    let kind = both.get("type")?.as_str().filter(|it| *it != "object")?;
    both.insert("type".to_owned(), json!([kind, "null"]));
    if let Some(Value::Array(words)) = both.get_mut("enum") {
        words.push(Value::Null);
    }
    if let Some(what) = schema.get("description").or(reference.get("description")) {
        both.insert("description".to_owned(), what.clone());
    }
    Some(both.into())
}

/// Drops what nothing refers to.
pub(super) fn drop_unused(schemas: &mut Schemas, others: &[&Value]) {
    loop {
        let mut text: String = others.iter().map(|it| it.to_string()).collect();
        text.extend(schemas.values().map(Value::to_string));
        let before = schemas.len();
        schemas.retain(|name, _| text.contains(&format!("\"#/components/schemas/{name}\"")));
        if schemas.len() == before {
            return;
        }
    }
}
