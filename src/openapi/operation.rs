//! Completes the description of one operation with everything that the layers add, and links operations.

use std::collections::BTreeSet;

use axum::http::StatusCode;
use serde_json::{Map, Value, json};

use super::{
    examples, headers,
    refusals::{self, Refusals},
};
use crate::errors::catalogue::Code;

/// The header that requests an error in a sandbox.
pub(super) const FORCE: &str = "X-Sandbox-Force";

/// The layers that an operation's requests pass.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    /// An open operation, which needs no API key.
    Open,
    /// A gated read.
    Read,
    /// A gated write that needs no Idempotency-Key, because it is idempotent by itself.
    Replace,
    /// A gated write with an Idempotency-Key, which may have a body.
    Post,
    /// A gated write with an Idempotency-Key, whose body is ignored.
    Delete,
}

impl Kind {
    /// All kinds.
    pub(super) const ALL: [Self; 5] = [
        Self::Open,
        Self::Read,
        Self::Replace,
        Self::Post,
        Self::Delete,
    ];

    /// Returns the kind of a gated operation with this method.
    pub(super) fn of(method: &str) -> Self {
        match method {
            "post" => Self::Post,
            "delete" => Self::Delete,
            "put" => Self::Replace,
            _ => Self::Read,
        }
    }

    /// Returns whether the operation takes an Idempotency-Key.
    pub(super) fn takes_key(self) -> bool {
        matches!(self, Self::Post | Self::Delete)
    }

    /// Returns the suffix of the names of shared responses.
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

/// Adds parameters, responses, headers and examples to an operation.
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
    let documented = operation.get("responses").and_then(Value::as_object);
    let documented = documented.cloned().unwrap_or_default();
    let mut codes_by_status = refusals::of_gate(kind);
    if has("cursor") {
        codes_by_status
            .entry(400)
            .or_default()
            .push(Code::InvalidCursor);
    }
    let mut responses = Map::new();
    for (status, response) in documented {
        match status.as_str() {
            success if success.starts_with('2') => {
                let response = complete_success(response, kind, success, &has);
                responses.insert(status, response);
            }
            _ => add_own_codes(&mut codes_by_status, &status, &response),
        }
    }
    if kind.takes_key() {
        add_replay(&mut responses);
    }
    if has("If-None-Match") {
        responses.insert("304".to_owned(), not_modified(kind, responses.get("200")));
    }
    add_error_responses(&mut responses, kind, codes_by_status);
    operation.insert("responses".to_owned(), responses.into());
}

/// Adds the parameters that the layers read, and returns those of the handler.
fn add_parameters(operation: &mut Map<String, Value>, kind: Kind) -> Vec<Value> {
    let own = operation.get("parameters").and_then(Value::as_array);
    let mut own = own.cloned().unwrap_or_default();
    let id = operation.get("operationId").and_then(Value::as_str);
    for parameter in &mut own {
        examples::add_parameter_example(id.unwrap_or_default(), parameter);
    }
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

/// Adds the header that requests an error in a sandbox.
pub(super) fn add_force_parameter(operation: &mut Value) {
    let reference = json!({"$ref": format!("#/components/parameters/{FORCE}")});
    if let Some(Value::Array(parameters)) = operation.get_mut("parameters") {
        parameters.push(reference);
    }
}

/// Adds an example of the request body, if there is one.
fn add_body_example(operation: &mut Map<String, Value>) {
    let body = operation.get_mut("requestBody");
    if let Some(content) = body.and_then(|it| it.pointer_mut("/content/application~1json")) {
        examples::add_example(content);
    }
}

/// Adds headers and an example to a success response.
fn complete_success(
    mut response: Value,
    kind: Kind,
    status: &str,
    has: &impl Fn(&str) -> bool,
) -> Value {
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
    // Headers added by a handler are optional, except `Vary`, which every response of such an operation has.
    headers.extend(own.iter().map(|name| match name.as_str() {
        "Vary" => headers::always(name),
        name => headers::sometimes(name),
    }));
    if let Some(response) = response.as_object_mut() {
        response.insert("headers".to_owned(), headers.into());
    }
    if let Some(content) = response.pointer_mut("/content/application~1json") {
        examples::add_example(content);
    }
    response
}

/// Adds the codes that a handler names in the description of an error response.
fn add_own_codes(codes_by_status: &mut Refusals, status: &str, response: &Value) {
    let codes = response.get("description").and_then(Value::as_str);
    let codes = codes
        .unwrap_or_default()
        .split_whitespace()
        .filter_map(Code::parse);
    if let Ok(status) = status.parse() {
        codes_by_status.entry(status).or_default().extend(codes);
    }
}

/// Adds the replay: a repeated request that created something gets 200 with the body of the first response.
fn add_replay(responses: &mut Map<String, Value>) {
    let replay = "Or a replay: an earlier request with this key succeeded, and this is the body of its response, \
                  byte for byte.";
    let created = responses.get("201").or(responses.get("202")).cloned();
    let has_location = responses.contains_key("201");
    let Some(mut response) = responses.remove("200").or(created) else {
        return;
    };
    if let Some(Value::String(text)) = response.get_mut("description") {
        *text = format!("{text} {replay}");
    }
    if let Some(Value::Object(headers)) = response.get_mut("headers").filter(|_| has_location) {
        headers.extend([headers::sometimes("Location")]);
    }
    responses.insert("200".to_owned(), response);
}

/// Builds the 304 response that belongs to a 200.
fn not_modified(kind: Kind, ok: Option<&Value>) -> Value {
    let mut headers = headers::of_answer(kind, StatusCode::NOT_MODIFIED);
    let documented = ok
        .and_then(|it| it.get("headers"))
        .and_then(Value::as_object);
    headers.extend(documented.cloned().unwrap_or_default());
    json!({"description": "Your copy is still current. There is no body.", "headers": headers})
}

/// Adds the error responses; those that come from the layers alone are shared components.
fn add_error_responses(responses: &mut Map<String, Value>, kind: Kind, codes_by_status: Refusals) {
    let gate = refusals::of_gate(kind);
    for (number, codes) in codes_by_status {
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

/// A row of [`LINKS`]: source operation, its status, the expression of the `id` parameter, and the target operations.
type LinkRow = (
    &'static str,
    &'static str,
    Option<&'static str>,
    &'static [&'static str],
);

/// The id of a response that is a single resource.
const ID: Option<&str> = Some("$response.body#/id");
/// The first id of a response that is a list.
const FIRST: Option<&str> = Some("$response.body#/data/0/id");
/// The first request id of a response that is a list of requests.
const FIRST_REQUEST: Option<&str> = Some("$response.body#/data/0/request_id");
/// The vehicle id of a response that is an order.
const VEHICLE: Option<&str> = Some("$response.body#/vehicle_id");

/// All links except the one to the order for a vehicle.
const LINKS: &[LinkRow] = &[
    ("list_vehicles", "200", FIRST, &["get_vehicle"]),
    ("create_order", "201", ID, OF_AN_ORDER),
    ("create_order", "201", VEHICLE, OF_A_VEHICLE),
    ("list_orders", "200", FIRST, &["get_order"]),
    ("list_events", "200", FIRST, OF_AN_EVENT),
    ("list_requests", "200", FIRST_REQUEST, &["get_request"]),
    ("put_webhook_endpoint", "201", None, OF_AN_ENDPOINT),
    ("test_webhook_endpoint", "202", ID, OF_AN_EVENT),
];
const OF_AN_ORDER: &[&str] = &[
    "get_order",
    "get_order_vehicle",
    "list_order_history",
    "list_order_events",
    "cancel_order",
    "set_sandbox_status",
    "report_status",
];
const OF_A_VEHICLE: &[&str] = &[
    "get_vehicle",
    "record_auction_result",
    "reschedule_auction",
    "change_price",
    "withdraw_vehicle",
];
const OF_AN_EVENT: &[&str] = &["get_event", "list_event_attempts", "redeliver_event"];
const OF_AN_ENDPOINT: &[&str] = &[
    "get_webhook_endpoint",
    "test_webhook_endpoint",
    "rotate_webhook_secret",
    "delete_webhook_endpoint",
];

/// Adds links to the responses of all operations: the operations that can follow a response, so that tools can go from a
/// vehicle to its order and on. Targets that this environment lacks are left out.
pub(super) fn add_links(paths: &mut Map<String, Value>) {
    let known: BTreeSet<String> = operations(paths).filter_map(id_of).collect();
    for operation in operations(paths) {
        let Some(id) = id_of(operation) else {
            continue;
        };
        for (status, to, link) in links_from(&id).filter(|(_, to, _)| known.contains(*to)) {
            let links = operation.pointer_mut(&format!("/responses/{status}"));
            if let Some(Value::Object(response)) = links {
                let links = response.entry("links").or_insert_with(|| json!({}));
                links[to] = link;
            }
        }
    }
}

fn operations(paths: &mut Map<String, Value>) -> impl Iterator<Item = &mut Value> {
    let items = paths.values_mut().filter_map(Value::as_object_mut);
    items.flat_map(|item| item.values_mut())
}

fn id_of(operation: &mut Value) -> Option<String> {
    Some(operation.get("operationId")?.as_str()?.to_owned())
}

/// Returns the links of an operation: status, target and link object.
fn links_from(operation: &str) -> impl Iterator<Item = (&'static str, &'static str, Value)> {
    let of_rows = LINKS.iter().filter(move |row| row.0 == operation);
    let plain = of_rows.flat_map(|(_, status, id, targets)| {
        let parameters = id.map_or_else(|| json!({}), |id| json!({"id": id}));
        let link = move |to: &str| json!({"operationId": to, "parameters": parameters});
        targets.iter().map(move |to| (*status, *to, link(to)))
    });
    let order = (operation == "get_vehicle").then(|| ("200", "create_order", link_to_order()));
    plain.chain(order)
}

/// Returns the link from a vehicle to an order for it.
///
/// It describes the body in words: generators take a text alone as `requestBody`, and no text is an object.
fn link_to_order() -> Value {
    json!({
        "operationId": "create_order",
        "description": "Send the vehicle's `id` as `vehicle_id`. For an auction vehicle, bid at least its \
                        `pricing.listing_usd` as `max_bid_amount_usd`. For a buy-now vehicle, leave the bid out.",
    })
}
