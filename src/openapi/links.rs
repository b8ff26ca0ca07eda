//! Links: the operations that can follow a response, so that tools can go from a vehicle to its order and on.

use std::collections::BTreeSet;

use serde_json::{Map, Value, json};

/// Source operation, its status, the expression of the `id` parameter, and the target operations.
type Row = (
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
const ROWS: &[Row] = &[
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

/// Adds the links to the responses of all operations; targets that this environment lacks are left out.
pub(super) fn add(paths: &mut Map<String, Value>) {
    let known: BTreeSet<String> = operations(paths).filter_map(id_of).collect();
    for operation in operations(paths) {
        let Some(id) = id_of(operation) else {
            continue;
        };
        for (status, to, link) in from(&id).filter(|(_, to, _)| known.contains(*to)) {
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
fn from(operation: &str) -> impl Iterator<Item = (&'static str, &'static str, Value)> {
    let of_rows = ROWS.iter().filter(move |row| row.0 == operation);
    let plain = of_rows.flat_map(|(_, status, id, targets)| {
        let parameters = id.map_or_else(|| json!({}), |id| json!({"id": id}));
        let link = move |to: &str| json!({"operationId": to, "parameters": parameters});
        targets.iter().map(move |to| (*status, *to, link(to)))
    });
    let order = (operation == "get_vehicle").then(|| ("200", "create_order", order()));
    plain.chain(order)
}

/// Returns the link from a vehicle to an order for it.
///
/// It describes the body in words: generators take a text alone as `requestBody`, and no text is an object.
fn order() -> Value {
    json!({
        "operationId": "create_order",
        "description": "Send the vehicle's `id` as `vehicle_id`. For an auction vehicle, bid at least its \
                        `pricing.listing_usd` as `max_bid_amount_usd`. For a buy-now vehicle, leave the bid out.",
    })
}
