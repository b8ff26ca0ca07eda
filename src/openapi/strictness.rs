//! Values that requests describe more strictly than responses: lists of words, such as statuses, and times.
//!
//! A request takes only the words that exist, so its schema lists them as `enum`. A response may contain words that are
//! added later, and the decoders of many generated clients fail at a word that an `enum` lacks. So there such a list is a
//! plain string, with the known words in its description and in an extension.
//!
//! A time in a response has the format `date-time`, which clients decode. In a request it is a string with a pattern:
//! clients write the times of their languages with `Z`, which is refused. No time has both: some generators make code of
//! that which does not compile.

use serde_json::Value;

use super::schemas::{Schemas, resolve};
use crate::http::describe::TIME;

/// The extension that marks a list of words that may grow. Its value is the list.
const EXTENSIBLE: &str = "x-extensible-enum";
/// The format of a time.
const DATE_TIME: &str = "date-time";

/// Marks the lists of words in a schema, and in its members and items, as lists that may grow.
pub(super) fn mark_growing(schema: &mut Value) {
    let Some(object) = schema.as_object_mut() else {
        return;
    };
    let words = object.get("enum").and_then(Value::as_array).cloned();
    if let Some(words) = words.filter(|words| words.iter().all(Value::is_string)) {
        object.insert(EXTENSIBLE.to_owned(), words.into());
    }
    if let Some(Value::Object(properties)) = object.get_mut("properties") {
        properties.values_mut().for_each(mark_growing);
    }
    if let Some(items) = object.get_mut("items") {
        mark_growing(items);
    }
}

/// Returns one marked list with the words of all of `lists`; `None` if one of them is not marked.
pub(super) fn union(lists: &[Value]) -> Option<Value> {
    let mut words = Vec::new();
    for list in lists {
        let more = list.get(EXTENSIBLE)?.as_array()?;
        for word in more {
            if !words.contains(word) {
                words.push(word.clone());
            }
        }
    }
    let mut union = lists.first()?.clone();
    let object = union.as_object_mut()?;
    object.insert("enum".to_owned(), words.clone().into());
    object.insert(EXTENSIBLE.to_owned(), words.into());
    Some(union)
}

/// Makes the schemas named in `requests` strict, and all others tolerant.
pub(super) fn separate(schemas: &mut Schemas, requests: &[&str]) {
    let differs = |schema: &Value| schema.get(EXTENSIBLE).is_some() || is_time(schema);
    let values = schemas.iter().filter(|(_, schema)| differs(schema));
    let values: Schemas = values
        .map(|(name, it)| (name.clone(), it.clone()))
        .collect();
    for (name, schema) in schemas {
        if requests.contains(&name.as_str()) {
            make_strict(schema, &values);
        } else {
            make_tolerant(schema);
        }
    }
}

fn is_time(schema: &Value) -> bool {
    schema.get("format").is_some_and(|it| it == DATE_TIME)
}

/// Replaces references to `values` by their schemas, removes the marks of lists, and gives times a pattern.
fn make_strict(schema: &mut Value, values: &Schemas) {
    if let Some(value) = referenced(schema, values) {
        *schema = value;
    }
    let is_time = is_time(schema);
    match schema {
        Value::Array(items) => items.iter_mut().for_each(|it| make_strict(it, values)),
        Value::Object(members) => {
            members.remove(EXTENSIBLE);
            if is_time {
                members.remove("format");
                members.insert("pattern".to_owned(), TIME.into());
            }
            members.values_mut().for_each(|it| make_strict(it, values));
        }
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
    }
}

/// Returns the schema that a reference leads to, with the description that stands beside the reference.
fn referenced(reference: &Value, values: &Schemas) -> Option<Value> {
    let mut value = resolve(reference, values)?.clone();
    if let Some(description) = reference.get("description") {
        let members = value.as_object_mut()?;
        members.insert("description".to_owned(), description.clone());
    }
    Some(value)
}

/// Makes the marked lists plain strings that are described by their known words.
fn make_tolerant(schema: &mut Value) {
    match schema {
        Value::Array(items) => items.iter_mut().for_each(make_tolerant),
        Value::Object(members) => {
            let words = members.get(EXTENSIBLE);
            let text = words.map(|words| describe(members.get("description"), words));
            if let Some(text) = text {
                members.insert("description".to_owned(), text.into());
                members.remove("enum");
            }
            members.values_mut().for_each(make_tolerant);
        }
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
    }
}

/// Returns a description that names all known words.
fn describe(description: Option<&Value>, words: &Value) -> String {
    let text = description.and_then(Value::as_str).unwrap_or_default();
    let words = words.as_array().into_iter().flatten();
    let words: Vec<String> = words
        .filter_map(Value::as_str)
        .map(|word| format!("`{word}`"))
        .collect();
    let known = match words.iter().all(|word| text.contains(word.as_str())) {
        true => "Values may be added.".to_owned(),
        false => format!("Known values: {}. Values may be added.", words.join(", ")),
    };
    match text {
        "" => known,
        text => format!("{text}\n\n{known}"),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn list_is_an_enum_in_requests_and_open_in_responses() {
        let mut status =
            json!({"type": "string", "enum": ["a", "b"], "description": "`a` or `b`."});
        mark_growing(&mut status);
        let reference =
            json!({"$ref": "#/components/schemas/Status", "description": "Its status."});
        let wish = json!({"properties": {"status": reference}});
        let mut reason = json!({"type": ["string", "null"], "enum": ["c"]});
        mark_growing(&mut reason);
        reason["enum"] = json!(["c", null]);
        let reply = json!({"properties": {"status": reference, "reason": reason}});
        let all = [("Status", status), ("Wish", wish), ("Reply", reply)];
        let mut schemas = Schemas::from_iter(all.map(|(name, it)| (name.to_owned(), it)));
        separate(&mut schemas, &["Wish"]);
        let closed = json!({"type": "string", "enum": ["a", "b"], "description": "Its status."});
        assert_eq!(schemas["Wish"]["properties"]["status"], closed);
        let open = json!({
            "type": "string", "x-extensible-enum": ["a", "b"], "description": "`a` or `b`.\n\nValues may be added.",
        });
        assert_eq!(schemas["Status"], open);
        let open = json!({
            "type": ["string", "null"], "x-extensible-enum": ["c"],
            "description": "Known values: `c`. Values may be added.",
        });
        assert_eq!(schemas["Reply"]["properties"]["reason"], open);
        assert_eq!(schemas["Reply"]["properties"]["status"], reference);
    }

    #[test]
    fn time_has_a_pattern_in_requests_and_a_format_in_responses() {
        let time = json!({"type": "string", "format": "date-time"});
        let reference = json!({"$ref": "#/components/schemas/Time"});
        let wish = json!({"properties": {"at": reference}});
        let all = [("Time", time.clone()), ("Wish", wish)];
        let mut schemas = Schemas::from_iter(all.map(|(name, it)| (name.to_owned(), it)));
        separate(&mut schemas, &["Wish"]);
        let strict = json!({"type": "string", "pattern": TIME});
        assert_eq!(schemas["Wish"]["properties"]["at"], strict);
        assert_eq!(schemas["Time"], time);
    }
}
