//! [`Document`]: the OpenAPI document, and checks of replies against it.

use std::{
    cell::RefCell,
    collections::{BTreeSet, HashMap},
    rc::Rc,
};

use jsonschema::{Draft, Validator};
use lmn_partner_api::{
    errors::catalogue::Code, router::document, values::environment::Environment,
};
use reqwest::Method;
use serde_json::{Map, Value, json};

use super::{Reply, service::read_settings};

/// Headers of every reply, which no operation documents.
const COMMON_HEADERS: [&str; 4] = [
    "content-type",
    "content-length",
    "date",
    "x-content-type-options",
];

/// Schemas of request bodies, which may have unknown members: they are ignored.
pub const REQUESTS: [&str; 10] = [
    "CreateOrder",
    "ReportStatus",
    "SandboxStep",
    "ShipmentUpdate",
    "SettleAuction",
    "Reschedule",
    "Reprice",
    "Nothing",
    "AdvanceClock",
    "PutEndpoint",
];

/// The reference to the schema of an error in LMN's envelope.
const ERROR: &str = "#/components/schemas/ErrorResponse";
/// Members of a `validation_error`'s details that may be absent.
const OPTIONAL_DETAILS: [&str; 2] = ["field", "reason"];
/// Times of LMN and of Korea: with an offset, and with three fractional digits or none.
const TIME: &str = r"^\d{4}-\d{2}-\d{2}T\d{2}:\d{2}:\d{2}(\.\d{3})?[+-]\d{2}:\d{2}$";

/// The OpenAPI document.
pub struct Document {
    pub text: Value,
    pub operations: Vec<Operation>,
    /// The component schemas, of which those of responses are closed: the document leaves them open, because members and
    /// words may be added, but a member or word that is not documented is a mistake.
    schemas: Value,
    checked: RefCell<BTreeSet<(String, u16)>>,
    compiled: RefCell<HashMap<String, Rc<Validator>>>,
}

/// An operation of the document.
#[derive(Debug, Clone)]
pub struct Operation {
    pub id: String,
    pub method: Method,
    pub template: String,
    pub members: Value,
}

impl Operation {
    /// Returns whether the operation needs no API key.
    pub fn is_open(&self) -> bool {
        self.members["security"] == json!([])
    }

    /// Returns a path that matches the template.
    pub fn path(&self) -> String {
        let id = match self.template.contains("/vehicles/") {
            true => "glovis_1",
            false => "01ARZ3NDEKTSV4RRFFQ69G5FAV",
        };
        self.template
            .replace("{id}", id)
            .replace("{code}", "rate_limited")
    }
}

impl Document {
    /// Generates the document of the sandbox.
    pub fn read() -> Self {
        Self::of(Environment::Sandbox, "http://127.0.0.1:8080")
    }

    /// Generates the document of an environment with a public URL.
    pub fn of(environment: Environment, public_url: &str) -> Self {
        let environment = environment.as_str();
        Self::with(&[("ENVIRONMENT", environment), ("PUBLIC_URL", public_url)])
    }

    /// Generates the document of the sandbox with some settings, most of which [`settings`](super::settings) names.
    pub fn with(settings: &[(&str, &str)]) -> Self {
        let text = document(&read_settings("postgres://nowhere", settings));
        let paths = text["paths"].as_object().expect("it has paths");
        let operation = |template: &String, method: &String, members: &Value| Operation {
            id: members["operationId"]
                .as_str()
                .expect("it has an id")
                .to_owned(),
            method: method.to_uppercase().parse().expect("a method"),
            template: template.clone(),
            members: members.clone(),
        };
        let operations = paths.iter().flat_map(|(template, item)| {
            let methods = item.as_object().expect("a path has methods").iter();
            methods.map(move |(method, members)| operation(template, method, members))
        });
        let operations = operations.collect();
        let mut schemas = text["components"]["schemas"].clone();
        let responses = schemas.as_object_mut().expect("it has schemas").iter_mut();
        responses
            .filter(|(name, _)| !REQUESTS.contains(&name.as_str()))
            .for_each(|(_, schema)| close(schema));
        Self {
            operations,
            schemas,
            text,
            checked: RefCell::default(),
            compiled: RefCell::default(),
        }
    }

    /// Returns an operation by its id.
    #[track_caller]
    pub fn operation(&self, id: &str) -> &Operation {
        let found = self.operations.iter().find(|it| it.id == id);
        found.unwrap_or_else(|| panic!("no operation {id}"))
    }

    /// Returns the target of a reference; any other value is returned as it is.
    #[track_caller]
    pub fn resolve<'a>(&'a self, value: &'a Value) -> &'a Value {
        let Some(reference) = value.get("$ref").and_then(Value::as_str) else {
            return value;
        };
        let pointer = reference.strip_prefix('#').expect("references are local");
        let found = self.text.pointer(pointer);
        found.unwrap_or_else(|| panic!("{reference} leads nowhere"))
    }

    /// Compiles a schema of the document, closed. Compiled schemas are cached, as compilation is the slowest part of a
    /// check.
    pub fn validator(&self, schema: &Value) -> Rc<Validator> {
        let mut compiled = self.compiled.borrow_mut();
        let text = schema.to_string();
        let compile = |text: &str| {
            // The component schemas are compiled too, so they are left out if nothing refers to them.
            let schemas = text.contains("$ref").then_some(&self.schemas);
            let mut schema = schema.clone();
            close(&mut schema);
            let whole = json!({"allOf": [schema], "components": {"schemas": schemas}});
            let options = jsonschema::options().with_draft(Draft::Draft202012);
            Rc::new(options.build(&whole).expect("the schema is one"))
        };
        let known = compiled
            .entry(text)
            .or_insert_with_key(|text| compile(text));
        known.clone()
    }

    /// Checks that the status, headers and body of a reply are documented for an operation.
    #[track_caller]
    pub fn check(&self, id: &str, reply: &Reply) {
        let status = reply.status;
        let documented = &self.operation(id).members["responses"][status.to_string()];
        assert!(
            documented.is_object(),
            "{id} does not document {status}: {reply:?}"
        );
        self.check_response(&format!("{id} {status}"), self.resolve(documented), reply);
        self.checked.borrow_mut().insert((id.to_owned(), status));
    }

    /// Checks a reply against a response of the document.
    #[track_caller]
    pub fn check_response(&self, what: &str, documented: &Value, reply: &Reply) {
        let none = Map::new();
        let headers = documented["headers"].as_object().unwrap_or(&none);
        for (name, header) in headers {
            let header = self.resolve(header);
            let present = reply.headers.contains_key(name.as_str());
            assert!(
                present || header["required"] == false,
                "{what}: {name} is missing in {reply:?}"
            );
            if present {
                let text = reply.header(name);
                let number = text
                    .parse::<i64>()
                    .ok()
                    .filter(|_| header["schema"]["type"] == "integer");
                let value = number.map_or(Value::from(text), Value::from);
                let validator = self.validator(&header["schema"]);
                assert!(validator.is_valid(&value), "{what}: {name}: {text}");
            }
        }
        for name in reply.headers.keys().map(|name| name.as_str()) {
            let is_documented = headers.keys().any(|it| it.eq_ignore_ascii_case(name));
            assert!(
                is_documented || COMMON_HEADERS.contains(&name),
                "{what}: {name} is not documented"
            );
        }
        let Some(schema) = documented.pointer("/content/application~1json/schema") else {
            assert!(reply.body.is_empty(), "{what}: a body is not documented");
            return;
        };
        assert_eq!(reply.header("content-type"), "application/json");
        let body = reply.json();
        let validator = match schema["$ref"] == ERROR {
            true => self.validator(&self.error_schema(what, documented, &body)),
            false => self.validator(schema),
        };
        if let Err(error) = validator.validate(&body) {
            panic!("{what}: {error} at {} in {body:#}", error.instance_path());
        }
        if schema["type"] != "object" {
            check_objects(what, &validator, &body);
        }
    }

    /// Returns the exact schema of an error, whose details are those of its code. The response must document the code.
    #[track_caller]
    fn error_schema(&self, what: &str, documented: &Value, body: &Value) -> Value {
        let code = body["error"]["code"].as_str().expect("an error has a code");
        let examples = &documented["content"]["application/json"]["examples"];
        assert!(
            examples[code].is_object(),
            "{what}: {code} is not documented"
        );
        let code = Code::parse(code).expect("a code of the catalogue");
        let schemas = &self.text["components"]["schemas"];
        let properties = schemas["ErrorBody"]["properties"].as_object();
        let mut members = properties.expect("it has members").clone();
        members["code"] = json!({"type": "string", "enum": [code.as_str()]});
        let names = code.entry().details.iter().map(|it| it.name);
        let details = names.clone().map(|name| {
            let schema = schemas["ErrorDetails"]["properties"][name].clone();
            (name.to_owned(), schema)
        });
        let may_lack =
            |name: &&str| code == Code::ValidationError && OPTIONAL_DETAILS.contains(name);
        let required: Vec<_> = names.filter(|name| !may_lack(name)).collect();
        if required.is_empty() {
            members.remove("details");
        } else {
            let details = Map::from_iter(details);
            members["details"] =
                json!({"type": "object", "properties": details, "required": required});
        }
        let required: Vec<_> = members.keys().cloned().collect();
        let error = json!({"type": "object", "properties": members, "required": required});
        json!({"type": "object", "properties": {"error": error}, "required": ["error"]})
    }

    /// Returns the documented operations and statuses for which no reply was checked.
    pub fn unchecked(&self) -> Vec<(String, u16)> {
        let documented = self.operations.iter().flat_map(|operation| {
            let statuses = operation.members["responses"]
                .as_object()
                .into_iter()
                .flatten();
            statuses.map(|(status, _)| (operation.id.clone(), status.parse().expect("a status")))
        });
        documented
            .filter(|it| !self.checked.borrow().contains(it))
            .collect()
    }
}

/// Closes the objects in a schema that name their members, and the lists of words; and makes times exact.
fn close(schema: &mut Value) {
    match schema {
        Value::Object(members) => {
            members.values_mut().for_each(close);
            if members.get("properties").is_some_and(Value::is_object) {
                members.insert("additionalProperties".to_owned(), false.into());
            }
            if let Some(words) = members.get("x-extensible-enum").and_then(Value::as_array) {
                let mut words = words.clone();
                if members["type"].is_array() {
                    words.push(Value::Null);
                }
                members.insert("enum".to_owned(), words.into());
            }
            // Only the times in LendFoundry's form, which end in `Z`, have no example.
            if members.get("format").is_some_and(|it| it == "date-time")
                && members.contains_key("examples")
            {
                members.insert("pattern".to_owned(), TIME.into());
            }
        }
        Value::Array(items) => items.iter_mut().for_each(close),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
    }
}

/// Checks that the closed schema refuses an additional and a missing member in every object of a body.
#[track_caller]
fn check_objects(what: &str, validator: &Validator, body: &Value) {
    let mut objects = Vec::new();
    find_objects(body, String::new(), &mut objects);
    // The details of a logged request depend on its code.
    let is_free = |pointer: &str| {
        let is_details = pointer.ends_with("/details") || pointer.contains("/details/issues/");
        is_details && !pointer.starts_with("/error/")
    };
    objects.retain(|(pointer, _)| !is_free(pointer));
    for (pointer, members) in objects {
        let with = |change: &dyn Fn(&mut Map<String, Value>)| {
            let mut body = body.clone();
            change(
                body.pointer_mut(&pointer)
                    .and_then(Value::as_object_mut)
                    .expect("it was there"),
            );
            validator.is_valid(&body)
        };
        let more = with(&|members| drop(members.insert("surprise".into(), Value::Null)));
        assert!(
            !more,
            "{what}: a member too many at `{pointer}` is not noticed"
        );
        for name in members {
            // Some members are optional: those of issues, and two of a `validation_error`.
            let less = with(&|members| drop(members.remove(&name)));
            let may_lack = match name.as_str() {
                "expected" | "received" => pointer.contains("/issues/"),
                name if OPTIONAL_DETAILS.contains(&name) => {
                    pointer.ends_with("/error/details")
                        && body["error"]["code"] == "validation_error"
                }
                // Of the data of an event, the order alone is there in each type.
                name if pointer.ends_with("/payload/data") => name != "order",
                // `models` has one member for each make.
                _ => pointer == "/models",
            };
            assert_eq!(less, may_lack, "{what}: `{pointer}` without `{name}`");
        }
    }
}

fn find_objects(value: &Value, pointer: String, found: &mut Vec<(String, Vec<String>)>) {
    match value {
        Value::Object(members) => {
            for (name, member) in members {
                find_objects(member, format!("{pointer}/{name}"), found);
            }
            found.push((pointer, members.keys().cloned().collect()));
        }
        Value::Array(items) => {
            for (n, item) in items.iter().enumerate() {
                find_objects(item, format!("{pointer}/{n}"), found);
            }
        }
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
    }
}
