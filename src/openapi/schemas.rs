//! The schemas of ids, money and times, and the functions that make the schemas of utoipa as exact as this API's JSON.
//!
//! In a response every member is present, and a member without a value is null. The derived schemas are looser: optional
//! members may be absent, and a flattened part is a separate schema. Objects stay open: members are added without a new
//! version, and a client that is generated from the document must not refuse them.

use std::collections::BTreeSet;

use serde_json::{Map, Value, json};
use utoipa::{
    PartialSchema, ToSchema,
    openapi::{KnownFormat, ObjectBuilder, RefOr, Schema, SchemaFormat, Type},
};

use crate::values::{
    id::{EventId, OperatorId, OrderId, PartnerId, RequestId, VehicleId},
    money::Usd,
    timestamp::Timestamp,
};

/// Schemas by name.
pub(super) type Schemas = Map<String, Value>;

/// Makes all members of responses required; members of the schemas named in `partial` may be absent.
pub(super) fn require_members(schemas: &mut Schemas, partial: &[&str]) {
    let flat: Vec<(String, Value)> = schemas
        .iter()
        .filter(|(_, schema)| schema.get("allOf").is_some())
        .map(|(name, schema)| (name.clone(), merge(schema, schemas)))
        .collect();
    schemas.extend(flat);
    for (name, schema) in schemas {
        if !partial.contains(&name.as_str()) {
            require_members_of(schema);
        }
    }
}

/// Merges the parts of an `allOf` into one object, as it is in the JSON.
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
pub(super) fn resolve<'a>(schema: &Value, schemas: &'a Schemas) -> Option<&'a Value> {
    let name = schema.get("$ref")?.as_str()?;
    schemas.get(name.strip_prefix("#/components/schemas/")?)
}

/// Makes all members of an object, and of the objects inside it, required.
fn require_members_of(schema: &mut Value) {
    let Some(object) = schema.as_object_mut() else {
        return;
    };
    let Some(Value::Object(properties)) = object.get_mut("properties") else {
        return;
    };
    properties.values_mut().for_each(require_members_of);
    let names: Vec<Value> = properties.keys().map(|name| name.as_str().into()).collect();
    object.insert("required".to_owned(), names.into());
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

/// Removes components without references from `components` or from the `others`, the other parts of the document.
pub(super) fn drop_unused(components: &mut Map<String, Value>, others: &[&Value]) {
    loop {
        let mut used = BTreeSet::new();
        let parts = others.iter().copied().chain(components.values());
        parts.for_each(|part| find_references(part, &mut used));
        let mut dropped = 0;
        for (kind, named) in components.iter_mut() {
            if let Value::Object(named) = named {
                let before = named.len();
                named.retain(|name, _| used.contains(&format!("#/components/{kind}/{name}")));
                dropped += before - named.len();
            }
        }
        if dropped == 0 {
            return;
        }
    }
}

/// Adds the targets of all references in a part of the document to `found`.
fn find_references(part: &Value, found: &mut BTreeSet<String>) {
    match part {
        Value::Array(items) => items.iter().for_each(|it| find_references(it, found)),
        Value::Object(members) => {
            let target = members.get("$ref").and_then(Value::as_str);
            found.extend(target.map(str::to_owned));
            members.values().for_each(|it| find_references(it, found));
        }
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
    }
}

/// Implements `ToSchema` for a value. The types are pure, so this is not beside them.
macro_rules! value {
    ($name:ident, $object:expr) => {
        impl ToSchema for $name {}

        impl PartialSchema for $name {
            fn schema() -> RefOr<Schema> {
                $object.into()
            }
        }
    };
}

value!(
    OrderId,
    text("The id of an order: a ULID of 26 characters.")
        .pattern(Some("^[0-7][0-9A-HJKMNP-TV-Z]{25}$"))
        .examples(["01KNVD7K402JY0W9P0X3A6T4QB"])
);
value!(
    EventId,
    text("The id of an event: `evt_` and a ULID of 26 characters.")
        .pattern(Some("^evt_[0-7][0-9A-HJKMNP-TV-Z]{25}$"))
        .examples(["evt_01KNVD7K402JY0W9P0X3A6T4QB"])
);
value!(
    RequestId,
    text("The id of a request: `req_` and 24 hexadecimal digits.")
        .pattern(Some("^req_[0-9a-f]{24}$"))
        .examples(["req_5f3a9c0e1b7d42a8c6e04f19"])
);
value!(
    PartnerId,
    text("The id of a partner: a ULID of 26 characters.")
        .pattern(Some("^[0-7][0-9A-HJKMNP-TV-Z]{25}$"))
        .examples(["01KNVD7K40P3R7N8Q2M5V1X9WC"])
);
value!(
    OperatorId,
    text("The id of an operator: a ULID of 26 characters.")
        .pattern(Some("^[0-7][0-9A-HJKMNP-TV-Z]{25}$"))
        .examples(["01KNVD7K40Q9S4T6Y8B1C3D5FG"])
);
value!(
    VehicleId,
    text("The id of a vehicle: an opaque text given by its source.")
        .pattern(Some("^[A-Za-z0-9_-]{1,64}$"))
        .examples(["glovis_20260420_1064_2345"])
);
value!(
    Usd,
    ObjectBuilder::new()
        .schema_type(Type::Integer)
        .format(Some(SchemaFormat::KnownFormat(KnownFormat::Int32)))
        .description(Some("Whole US dollars."))
        .minimum(Some(1))
        .maximum(Some(Usd::MAX.dollars()))
        .examples([15_500])
);
value!(
    Timestamp,
    text(
        "An RFC 3339 time with the offset of its place, never `Z`, and with three fractional digits or none. \
         Korean times, and all times set by LMN, end in `+09:00`."
    )
    .format(Some(SchemaFormat::KnownFormat(KnownFormat::DateTime)))
    .examples(["2026-04-20T13:00:00+09:00"])
);

fn text(description: &str) -> ObjectBuilder {
    ObjectBuilder::new()
        .schema_type(Type::String)
        .description(Some(description))
}
