//! Examples of the OpenAPI document. They are real responses: a test recreates the situation and compares.

use serde_json::{Map, Value, json};

use crate::{
    errors::{ApiError, ErrorContext, Representation, catalogue::Code, docs::ErrorList, render},
    values::{id::RequestId, string_enum::StringEnum, timestamp::Timestamp},
    vehicles::model::Source,
};

/// The request id of the examples: `req_5f3a9c0e1b7d42a8c6e04f19`.
const REQUEST: [u8; 12] = [
    0x5f, 0x3a, 0x9c, 0x0e, 0x1b, 0x7d, 0x42, 0xa8, 0xc6, 0xe0, 0x4f, 0x19,
];

/// The time of the errors in the examples.
const NOW: &str = "2026-04-19T09:30:00+09:00";

/// Example bodies by the name of their schema.
const BODIES: &[(&str, &str)] = &[
    (
        "CreateOrder",
        include_str!("../../docs/examples/CreateOrder.json"),
    ),
    ("Order", include_str!("../../docs/examples/Order.json")),
    (
        "OrderList",
        include_str!("../../docs/examples/OrderList.json"),
    ),
    (
        "OrderStepList",
        include_str!("../../docs/examples/OrderStepList.json"),
    ),
    ("Clock", include_str!("../../docs/examples/Clock.json")),
    (
        "EventDelivery",
        include_str!("../../docs/examples/EventDelivery.json"),
    ),
    (
        "EventDeliveryList",
        include_str!("../../docs/examples/EventDeliveryList.json"),
    ),
    (
        "DeliveryAttemptList",
        include_str!("../../docs/examples/DeliveryAttemptList.json"),
    ),
    (
        "ServiceStatus",
        include_str!("../../docs/examples/ServiceStatus.json"),
    ),
    (
        "ErrorEntry",
        include_str!("../../docs/examples/ErrorEntry.json"),
    ),
    (
        "LoggedRequest",
        include_str!("../../docs/examples/LoggedRequest.json"),
    ),
    (
        "LoggedRequestList",
        include_str!("../../docs/examples/LoggedRequestList.json"),
    ),
    ("Facets", include_str!("../../docs/examples/Facets.json")),
    (
        "PutEndpoint",
        include_str!("../../docs/examples/PutEndpoint.json"),
    ),
    (
        "WebhookEndpoint",
        include_str!("../../docs/examples/WebhookEndpoint.json"),
    ),
    (
        "AdvanceClock",
        include_str!("../../docs/examples/AdvanceClock.json"),
    ),
    (
        "PlacedOrder",
        include_str!("../../docs/examples/Order.json"),
    ),
    (
        "ReportStatus",
        include_str!("../../docs/examples/ReportStatus.json"),
    ),
    ("Reprice", include_str!("../../docs/examples/Reprice.json")),
    (
        "Reschedule",
        include_str!("../../docs/examples/Reschedule.json"),
    ),
    (
        "SandboxStep",
        include_str!("../../docs/examples/SandboxStep.json"),
    ),
    (
        "SettleAuction",
        include_str!("../../docs/examples/SettleAuction.json"),
    ),
    ("Vehicle", include_str!("../../docs/examples/Vehicle.json")),
    (
        "VehicleSummaryList",
        include_str!("../../docs/examples/VehicleSummaryList.json"),
    ),
];

/// Adds the example of its schema to a media type object.
pub(super) fn add_example(content: &mut Value) {
    let Some(content) = content.as_object_mut() else {
        return;
    };
    let name = content
        .get("schema")
        .and_then(|it| it.get("$ref"))
        .and_then(Value::as_str);
    let name = name.and_then(|it| it.strip_prefix("#/components/schemas/"));
    let known = BODIES.iter().find(|(known, _)| Some(*known) == name);
    let example = match name {
        Some("ErrorList") => serde_json::to_value(ErrorList::all()).ok(),
        _ => known.and_then(|(_, text)| serde_json::from_str(text).ok()),
    };
    if let Some(example) = example {
        content.insert("example".to_owned(), example);
    }
}

/// Adds an example to a path parameter, and to the query parameters of a list that every partner can read.
pub(super) fn add_parameter_example(operation: &str, parameter: &mut Value) {
    let name = parameter.get("name").and_then(Value::as_str);
    let example = match (operation, name) {
        ("list_vehicles", Some("source")) => Some(auction_houses()),
        ("list_vehicles", Some("orderable")) => Some("true".into()),
        _ if parameter.get("in").is_some_and(|it| it == "path") => {
            parameter.pointer("/schema/examples/0").cloned()
        }
        _ => None,
    };
    if let (Some(example), Some(parameter)) = (example, parameter.as_object_mut()) {
        parameter.insert("example".to_owned(), example);
    }
}

/// Returns the sources whose vehicles can be listed without a make.
fn auction_houses() -> Value {
    let sources = Source::ALL.iter().filter(|it| **it != Source::Dealer);
    sources.map(|it| it.as_str()).collect()
}

/// Renders the error with a code and a status in a representation.
fn error_body(
    code: Code,
    status: u16,
    representation: Representation,
    public_url: &str,
) -> Option<Value> {
    let now = Timestamp::parse(NOW).ok()?;
    let error = ApiError::example(code, status, now)?;
    let context = ErrorContext {
        error: &error,
        request_id: RequestId::from(REQUEST),
        allow: (code == Code::MethodNotAllowed).then_some("GET,HEAD,POST"),
        now: now.instant(),
        public_url,
    };
    serde_json::from_slice(&render(&context, representation)).ok()
}

/// Returns references to the examples of some codes under a status, in a representation.
pub(super) fn references(status: u16, codes: &[Code], representation: Representation) -> Value {
    let reference = |code: &Code| {
        let name = name(*code, status, representation);
        let reference = json!({"$ref": format!("#/components/examples/{name}")});
        (code.as_str().to_owned(), reference)
    };
    codes.iter().map(reference).collect::<Map<_, _>>().into()
}

/// Returns the name of an example; it contains the status only if the code has several.
fn name(code: Code, status: u16, representation: Representation) -> String {
    let name = match code.entry().statuses {
        [_] => code.as_str().to_owned(),
        _ => format!("{}.{status}", code.as_str()),
    };
    match representation {
        Representation::Envelope => name,
        Representation::Problem => format!("{name}.problem"),
        Representation::LendFoundry => format!("{name}.lendfoundry"),
    }
}

/// Returns `components.examples`: a response for every code under each of its statuses, in every representation.
pub(super) fn components(public_url: &str) -> Map<String, Value> {
    let example = |(code, status, representation): (Code, u16, Representation)| {
        let summary = code.entry().title;
        let value = error_body(code, status, representation, public_url)?;
        let name = name(code, status, representation);
        Some((name, json!({"summary": summary, "value": value})))
    };
    let statuses = |code: Code| code.entry().statuses.iter().map(move |it| (code, *it));
    let representations =
        |(code, status)| Representation::ALL.map(|representation| (code, status, representation));
    let all = Code::ALL
        .into_iter()
        .flat_map(statuses)
        .flat_map(representations);
    all.filter_map(example).collect()
}
