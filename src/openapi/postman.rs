//! A Postman collection (v2.1) made from the OpenAPI document: a folder for each tag, and in it a request for each
//! operation, with the values of the document's examples.
//!
//! Optional headers, and optional parameters without an example, are listed but not sent. `{{base_url}}` and
//! `{{api_key}}` are variables of the collection.

use form_urlencoded::byte_serialize;
use serde_json::{Map, Value, json};

/// The format of the collection.
const SCHEMA: &str = "https://schema.getpostman.com/json/collection/v2.1.0/collection.json";
/// The variable that is a new UUID v4 in every request.
const NEW_KEY: &str = "{{$guid}}";
/// The maximum depth of a body that is made from its schema.
const DEPTH_MAX: usize = 8;

/// Makes the collection from an OpenAPI document.
pub(crate) fn collection(document: &Value) -> Value {
    let source = Source { document };
    let tags = document.get("tags").and_then(Value::as_array);
    let folders = tags.into_iter().flatten();
    let folders: Vec<_> = folders.map(|it| source.folder(it)).collect();
    let info = document.get("info").cloned().unwrap_or_default();
    let base_url = document.pointer("/servers/0/url").cloned();
    json!({
        "info": {
            "name": info.get("title"),
            "description": info.get("description"),
            "version": info.get("version"),
            "schema": SCHEMA,
        },
        "auth": {"type": "apikey", "apikey": [
            {"key": "in", "value": "header", "type": "string"},
            {"key": "key", "value": "x-api-key", "type": "string"},
            {"key": "value", "value": "{{api_key}}", "type": "string"},
        ]},
        "variable": [
            {"key": "base_url", "value": base_url, "type": "string"},
            {"key": "api_key", "value": "", "type": "string"},
        ],
        "item": folders,
    })
}

/// The document from which the collection is made.
#[derive(Clone, Copy)]
struct Source<'a> {
    document: &'a Value,
}

/// The parameters of an operation, by place.
#[derive(Default)]
struct Parameters {
    path: Vec<Value>,
    query: Vec<Value>,
    header: Vec<Value>,
}

impl<'a> Source<'a> {
    /// Makes the folder of a tag.
    fn folder(self, tag: &Value) -> Value {
        let name = tag.get("name");
        let has_tag = |operation: &Value| {
            let first = operation.pointer("/tags/0");
            first.is_some() && first == name
        };
        let paths = self.document.get("paths").and_then(Value::as_object);
        let items = paths.into_iter().flatten().flat_map(|(path, item)| {
            let operations = item.as_object().into_iter().flatten();
            let operations = operations.filter(move |&(_, operation)| has_tag(operation));
            operations.map(move |(method, operation)| self.request(path, method, operation))
        });
        let items: Vec<_> = items.collect();
        json!({"name": name, "description": tag.get("description"), "item": items})
    }

    /// Makes the request of an operation.
    fn request(self, path: &str, method: &str, operation: &'a Value) -> Value {
        let Parameters {
            path: variables,
            query,
            mut header,
        } = self.parameters(operation);
        let body = self.body(operation);
        if body.is_some() {
            header.push(json!({"key": "Content-Type", "value": "application/json"}));
        }
        let path = path
            .trim_start_matches('/')
            .replace('{', ":")
            .replace('}', "");
        let sent = query.iter().filter(|it| it.get("disabled").is_none());
        let sent: Vec<_> = sent
            .map(|it| format!("{}={}", text(it, "key"), text(it, "value")))
            .collect();
        let question_mark = if sent.is_empty() { "" } else { "?" };
        let mut request = json!({
            "method": method.to_uppercase(),
            "description": operation.get("description"),
            "header": header,
            "url": {
                "raw": format!("{{{{base_url}}}}/{path}{question_mark}{}", sent.join("&")),
                "host": ["{{base_url}}"],
                "path": path.split('/').collect::<Vec<_>>(),
                "query": query,
                "variable": variables,
            },
        });
        if let Some(members) = request.as_object_mut() {
            members.extend(body.map(|it| ("body".to_owned(), it)));
            let is_open = operation.get("security").is_some_and(|it| *it == json!([]));
            let no_auth = is_open.then(|| ("auth".to_owned(), json!({"type": "noauth"})));
            members.extend(no_auth);
        }
        json!({"name": operation.get("summary"), "request": request, "response": []})
    }

    /// Returns the parameters of an operation. Optional headers, and optional parameters without an example, are
    /// disabled.
    fn parameters(self, operation: &'a Value) -> Parameters {
        let mut all = Parameters::default();
        let parameters = operation.get("parameters").and_then(Value::as_array);
        for parameter in parameters.into_iter().flatten() {
            let parameter = self.resolve(parameter);
            let (name, place) = (text(parameter, "name"), text(parameter, "in"));
            let given = explicit_example(parameter);
            let is_required = parameter.get("required") == Some(&json!(true));
            let is_sent = is_required || (place == "query" && given.is_some());
            let value = match name {
                "Idempotency-Key" => json!(NEW_KEY),
                _ => given
                    .cloned()
                    .unwrap_or_else(|| self.parameter_value(parameter)),
            };
            let entry = |value: &str| {
                let mut entry = Map::new();
                entry.insert("key".to_owned(), name.into());
                entry.insert("value".to_owned(), value.into());
                let description = parameter.get("description").cloned();
                entry.insert("description".to_owned(), description.into());
                if !is_sent {
                    entry.insert("disabled".to_owned(), true.into());
                }
                Value::from(entry)
            };
            match place {
                "path" => all.path.push(entry(&plain(&value))),
                "header" => all.header.push(entry(&plain(&value))),
                // Values of a list are repeated parameters.
                _ => {
                    let values = value.as_array().cloned().unwrap_or_else(|| vec![value]);
                    let encoded = values.iter().map(|it| encode(&plain(it)));
                    all.query.extend(encoded.map(|it| entry(&it)));
                }
            }
        }
        all
    }

    /// Returns a value for a parameter that has no example: its default, or an example of its schema.
    fn parameter_value(self, parameter: &'a Value) -> Value {
        let schema = parameter.get("schema").map(|it| self.resolve(it));
        let known = schema.and_then(|it| it.get("default").or_else(|| it.pointer("/examples/0")));
        let first = schema.and_then(|it| it.pointer("/enum/0"));
        known.or(first).cloned().unwrap_or_else(|| json!(""))
    }

    /// Returns the body of an operation: its first example, or one made from its schema.
    fn body(self, operation: &'a Value) -> Option<Value> {
        let content = operation.pointer("/requestBody/content/application~1json")?;
        let body = match explicit_example(content) {
            Some(example) => example.clone(),
            None => self.sample(content.get("schema")?, DEPTH_MAX),
        };
        let raw = format!("{body:#}");
        Some(json!({"mode": "raw", "raw": raw, "options": {"raw": {"language": "json"}}}))
    }

    /// Makes a value that matches a schema, with the required members only.
    fn sample(self, schema: &'a Value, depth: usize) -> Value {
        let schema = self.resolve(schema);
        let given = ["example", "default"].iter().find_map(|it| schema.get(it));
        let given = given.or_else(|| schema.pointer("/examples/0"));
        if let Some(given) = given.or_else(|| schema.pointer("/enum/0")) {
            return given.clone();
        }
        let kind = schema.get("type");
        let kind = kind.and_then(|it| it.as_str().or_else(|| it.pointer("/0")?.as_str()));
        match kind {
            Some("object") if depth > 0 => {
                let required = schema.get("required").and_then(Value::as_array);
                let names = required.into_iter().flatten().filter_map(Value::as_str);
                let member = |name: &str| {
                    let member = schema.get("properties")?.get(name)?;
                    Some((name.to_owned(), self.sample(member, depth - 1)))
                };
                names.filter_map(member).collect::<Map<_, _>>().into()
            }
            Some("object") => json!({}),
            Some("array") if depth > 0 => {
                let items = schema.get("items");
                items.map_or_else(|| json!([]), |it| json!([self.sample(it, depth - 1)]))
            }
            Some("array") => json!([]),
            Some("integer" | "number") => {
                schema.get("minimum").cloned().unwrap_or_else(|| 1.into())
            }
            Some("boolean") => json!(true),
            _ => json!(""),
        }
    }

    /// Returns the target of a reference; any other value is returned as it is.
    fn resolve(self, value: &'a Value) -> &'a Value {
        let reference = value.get("$ref").and_then(Value::as_str);
        let pointer = reference.and_then(|it| it.strip_prefix('#'));
        let target = pointer.and_then(|it| self.document.pointer(it));
        target.unwrap_or(value)
    }
}

/// Returns the example of a parameter or a media type: `example`, or the first of `examples`.
fn explicit_example(described: &Value) -> Option<&Value> {
    let examples = described.get("examples").and_then(Value::as_object);
    let first = examples.and_then(|it| it.values().next()?.get("value"));
    described.get("example").or(first)
}

/// Returns the text of a value in a path, a query or a header.
fn plain(value: &Value) -> String {
    let text = value.as_str().map(str::to_owned);
    text.unwrap_or_else(|| value.to_string())
}

fn encode(text: &str) -> String {
    byte_serialize(text.as_bytes()).collect()
}

fn text<'a>(value: &'a Value, name: &str) -> &'a str {
    value.get(name).and_then(Value::as_str).unwrap_or_default()
}
