//! Examples: what the server really answers. A test sets the same scene and compares.

use chrono::DateTime;
use serde_json::{Map, Value, json};

use crate::{
    error::{ApiError, Representation, Told, catalogue::Code, render, view::ErrorList},
    id::RequestId,
};

/// The request of the examples: `req_5f3a9c0e1b7d42a8c6e04f19`.
const REQUEST: [u8; 12] = [
    0x5f, 0x3a, 0x9c, 0x0e, 0x1b, 0x7d, 0x42, 0xa8, 0xc6, 0xe0, 0x4f, 0x19,
];

/// Bodies by the names of their schemas.
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
        "ErrorEntry",
        include_str!("../../docs/examples/ErrorEntry.json"),
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
    ("Vehicle", include_str!("../../docs/examples/Vehicle.json")),
    (
        "VehicleSummaryList",
        include_str!("../../docs/examples/VehicleSummaryList.json"),
    ),
];

/// Gives a content the example of its schema.
pub(super) fn illustrate(content: &mut Value) {
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

/// Returns an answer with a code, as it is rendered.
pub(super) fn of(code: Code) -> Option<Value> {
    let status = code.entry().statuses.last().copied()?;
    let error = ApiError::example(code, status)?;
    let told = Told {
        error: &error,
        request_id: RequestId::from(REQUEST),
        allow: (code == Code::MethodNotAllowed).then_some("GET,HEAD,POST"),
        now: DateTime::UNIX_EPOCH,
        public_url: "",
    };
    serde_json::from_slice(&render(&told, Representation::Envelope)).ok()
}

/// Refers to the example of a code.
pub(super) fn reference(code: Code) -> (String, Value) {
    let code = code.as_str();
    (
        code.to_owned(),
        json!({"$ref": format!("#/components/examples/{code}")}),
    )
}

/// Returns `components.examples`: an answer for every code.
pub(super) fn components() -> Map<String, Value> {
    let example = |code: Code| {
        let summary = code.entry().title;
        Some((
            code.as_str().to_owned(),
            json!({"summary": summary, "value": of(code)?}),
        ))
    };
    Code::ALL.into_iter().filter_map(example).collect()
}
