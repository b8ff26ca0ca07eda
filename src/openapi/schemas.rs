//! Makes the schemas that utoipa derives as exact as the JSON of this API.
//!
//! In a response every member is present, a member without a value is null, and there are no other members. The derived
//! schemas are looser: optional members may be absent, objects are open, and a flattened part is a separate schema.

use serde_json::{Map, Value, json};

/// Schemas by name.
type Schemas = Map<String, Value>;

/// Closes the schemas of responses; those named in `requests` stay open.
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

/// Merges the parts of an `allOf` into one object: two closed objects can never both match.
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

/// Returns the target of a reference.
fn resolve<'a>(schema: &Value, schemas: &'a Schemas) -> Option<&'a Value> {
    let name = schema.get("$ref")?.as_str()?;
    schemas.get(name.strip_prefix("#/components/schemas/")?)
}

/// Closes an object and the objects inside it.
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

/// Replaces every nullable reference to a string or number by one schema with both types.
pub(super) fn allow_null(schemas: &mut Schemas) {
    let known = schemas.clone();
    schemas
        .values_mut()
        .for_each(|schema| allow_null_in(schema, &known));
}

fn allow_null_in(value: &mut Value, known: &Schemas) {
    if let Some(merged) = nullable_schema(value, known) {
        *value = merged;
    }
    match value {
        Value::Array(items) => items.iter_mut().for_each(|it| allow_null_in(it, known)),
        Value::Object(members) => members.values_mut().for_each(|it| allow_null_in(it, known)),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
    }
}

/// Returns the schema with both types of a reference or null, if the reference is not to an object.
fn nullable_schema(schema: &Value, known: &Schemas) -> Option<Value> {
    let [one, other] = schema.get("oneOf")?.as_array()?.as_slice() else {
        return None;
    };
    let null = json!({"type": "null"});
    let reference = match (one == &null, other == &null) {
        (true, false) => other,
        (false, true) => one,
        _ => return None,
    };
    let mut merged = resolve(reference, known)?.as_object()?.clone();
    let kind = merged.get("type")?.as_str().filter(|it| *it != "object")?;
    merged.insert("type".to_owned(), json!([kind, "null"]));
    if let Some(Value::Array(words)) = merged.get_mut("enum") {
        words.push(Value::Null);
    }
    if let Some(description) = schema.get("description").or(reference.get("description")) {
        merged.insert("description".to_owned(), description.clone());
    }
    Some(merged.into())
}

/// Removes schemas without references.
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
