//! The three forms of an error, which share status and headers and differ in the body.

use std::collections::BTreeMap;

use lmn_partner_api::errors::catalogue::Code;
use reqwest::Method;
use serde_json::{Value, json};

use crate::support::{Document, Partner, Reply, Service, Vehicle, key};

/// The media type of each form.
pub const FORMS: [&str; 3] = [
    "application/json",
    "application/problem+json",
    "application/vnd.lendfoundry.error+json",
];

/// Headers whose values differ between responses.
const VARIABLE: [&str; 7] = [
    "x-request-id",
    "date",
    "ratelimit",
    "x-ratelimit-remaining",
    "x-ratelimit-reset",
    "retry-after",
    "content-type",
];

/// Returns the headers of a response, those that vary without their values.
fn fixed(reply: &Reply) -> BTreeMap<String, String> {
    let headers = reply.headers.keys().map(|name| {
        let value = match VARIABLE.contains(&name.as_str()) {
            true => "",
            false => reply.header(name.as_str()),
        };
        (name.to_string(), value.to_owned())
    });
    headers
        .filter(|(name, _)| name != "content-length")
        .collect()
}

/// Checks that three responses are the same error in the three forms; returns its code.
#[track_caller]
pub fn same_in_all_forms(document: &Document, replies: &[Reply; 3]) -> Code {
    let [envelope, problem, lendfoundry] = replies;
    let expected = envelope.json()["error"].clone();
    let code = Code::parse(expected["code"].as_str().unwrap()).unwrap();
    let details = envelope.refused(envelope.status, code);
    for (reply, form) in replies.iter().zip(FORMS) {
        assert_eq!(reply.status, envelope.status);
        assert_eq!(reply.header("content-type"), form);
        assert_eq!(reply.header("vary"), "Accept");
        assert_eq!(fixed(reply), fixed(envelope));
    }
    let schema = |name: &str| json!({"$ref": format!("#/components/schemas/{name}")});
    let valid = |name: &str, body: &Value| {
        let validator = document.validator(&schema(name));
        if let Err(error) = validator.validate(body) {
            panic!("{name}: {error} at {} in {body:#}", error.instance_path());
        }
    };

    let body = problem.json();
    valid("Problem", &body);
    assert_eq!(body["status"], problem.status);
    assert_eq!(body["instance"], problem.header("x-request-id"));
    assert_eq!(body["detail"], expected["message"]);
    assert_eq!(body["title"], code.entry().title);
    assert_eq!(body["code"], code.as_str());
    let kind = body["type"].as_str().unwrap();
    assert!(kind.ends_with(&format!("/v1/errors/{}", code.as_str())));
    for name in details.as_object().into_iter().flatten().map(|it| it.0) {
        // Only presence is compared: the responses are made at different times.
        assert!(body.get(name).is_some(), "{name}: {body}");
    }
    assert_eq!(
        body.as_object().unwrap().len(),
        6 + details.as_object().map_or(0, serde_json::Map::len)
    );

    let body = lendfoundry.json();
    valid("LendFoundryError", &body);
    let mut more = body.clone();
    let details = &mut more["error"]["details"];
    if let Some(rows) = details.as_array_mut() {
        rows.push(json!({"additional": null}));
    } else {
        details["additional"] = Value::Null;
    }
    let validator = document.validator(&schema("LendFoundryError"));
    assert!(
        !validator.is_valid(&more),
        "an additional member is invalid: {more}"
    );
    let error = &body["error"];
    assert_eq!(error["lmn_code"], code.as_str());
    assert_eq!(error["message"], expected["message"]);
    assert_eq!(error["trace_id"], lendfoundry.header("x-request-id"));
    check_details(error);
    code
}

/// Checks the shape of the details that LendFoundry's documentation shows for a code.
#[track_caller]
fn check_details(error: &Value) {
    let (code, details) = (error["code"].as_str().unwrap(), &error["details"]);
    let keys = |it: &Value| -> Vec<String> {
        it.as_object()
            .map(|it| it.keys().cloned().collect())
            .unwrap_or_default()
    };
    let object: &[&str] = match code {
        "RESOURCE_NOT_FOUND" => &["resource_id", "resource_type"],
        "DUPLICATE_RESOURCE" => &["existing_id", "resource_type"],
        "WORKFLOW_STATE_INVALID" => &["current_state", "requested_action", "valid_actions"],
        "RATE_LIMIT_EXCEEDED" => &["limit", "remaining", "reset_at", "retry_after"],
        "INVALID_REQUEST" | "VALIDATION_ERROR" | "BUSINESS_RULE_VIOLATION" => {
            let rows = details.as_array().unwrap();
            assert!(!rows.is_empty(), "{error}");
            for row in rows {
                let names = keys(row);
                let has = |name: &str| names.iter().any(|it| it == name) && row[name].is_string();
                match code {
                    "BUSINESS_RULE_VIOLATION" => assert!(has("rule"), "{error}"),
                    _ => assert!(has("field") && has("issue"), "{error}"),
                }
            }
            return;
        }
        _ => return assert_eq!(details, &json!([]), "{error}"),
    };
    assert_eq!(keys(details), object, "{error}");
    if code == "RATE_LIMIT_EXCEEDED" {
        assert!(details["retry_after"].as_u64().is_some_and(|it| it >= 1));
        assert!(details["limit"].is_u64() && details["remaining"] == 0);
        assert!(details["reset_at"].as_str().unwrap().ends_with('Z'));
    }
}

#[tokio::test]
async fn status_and_headers_are_the_same_in_all_forms_of_every_error() {
    let service = Service::with(&[("PUBLIC_URL", "https://api.example.com/")]).await;
    let acme = service.partner("acme").await;
    let document = Document::read();
    for code in Code::ALL {
        for status in code.entry().statuses {
            let force = format!("{};status={status}", code.as_str());
            let ask = async |form: &str| {
                let ask = acme.ask(Method::POST, "/v1/orders").key(&key());
                let ask = ask.header("x-sandbox-force", &force).header("accept", form);
                ask.json(&json!({})).send().await
            };
            let replies = [
                ask(FORMS[0]).await,
                ask(FORMS[1]).await,
                ask(FORMS[2]).await,
            ];
            assert_eq!(replies[0].status, *status);
            assert_eq!(same_in_all_forms(&document, &replies), code);
            let name = code.entry().lendfoundry_code(*status);
            assert_eq!(replies[2].json()["error"]["code"], json!(name));
        }
    }
}

/// Sends a request that accepts LendFoundry's form; returns the error.
async fn lendfoundry(acme: &Partner, method: Method, path: &str, body: &Value) -> Value {
    let ask = acme.ask(method, path).key(&key()).json(body);
    let reply = ask.header("accept", FORMS[2]).send().await;
    assert_eq!(reply.header("content-type"), FORMS[2], "{reply:?}");
    reply.json()["error"].take()
}

/// An id that does not exist.
const UNKNOWN: &str = "01ARZ3NDEKTSV4RRFFQ69G5FAV";

/// Requests for resources that do not exist: method, path, resource type, resource id.
const MISSING: &str = "
    GET    /v1/vehicles/nobodys                 vehicle           nobodys
    GET    /v1/vehicles/no%21body               vehicle           no!body
    POST   /v1/sandbox/vehicles/nobodys/withdraw vehicle          nobodys
    GET    /v1/orders/UNKNOWN                   order             UNKNOWN
    GET    /v1/orders/lower                     order             lower
    DELETE /v1/orders/UNKNOWN                   order             UNKNOWN
    GET    /v1/orders/UNKNOWN/vehicle           order             UNKNOWN
    GET    /v1/orders/UNKNOWN/events            order             UNKNOWN
    GET    /v1/orders/UNKNOWN/history           order             UNKNOWN
    GET    /v1/events/evt_UNKNOWN               event             evt_UNKNOWN
    GET    /v1/events/evt_UNKNOWN/attempts      event             evt_UNKNOWN
    GET    /v1/events?after=evt_UNKNOWN         event             evt_UNKNOWN
    GET    /v1/events?after=x                   event             x
    POST   /v1/events/evt_UNKNOWN/redeliver     event             evt_UNKNOWN
    GET    /v1/webhook_endpoint                 webhook_endpoint  null
    POST   /v1/webhook_endpoint/test            webhook_endpoint  null
    GET    /v1/nothing?api_key=secret           route             /v1/nothing
    GET    /v1/errors/nonsense                  route             /v1/errors/nonsense
";

#[tokio::test]
async fn lendfoundry_details_name_the_missing_resource() {
    let service = Service::start().await;
    let acme = service.partner("acme").await;
    let nothing = json!({});
    let check_missing = async |method: &str, path: &str, body: &Value, kind: &str, id: Value| {
        let error = lendfoundry(&acme, method.parse().unwrap(), path, body).await;
        assert_eq!(error["code"], "RESOURCE_NOT_FOUND", "{path}");
        let details = json!({"resource_type": kind, "resource_id": id});
        assert_eq!(error["details"], details, "{path}");
    };
    let table = MISSING.replace("UNKNOWN", UNKNOWN);
    for row in table.lines().filter(|it| !it.trim().is_empty()) {
        let row: Vec<_> = row.split_whitespace().collect();
        let id = Some(row[3]).filter(|it| *it != "null");
        check_missing(row[0], row[1], &nothing, row[2], json!(id)).await;
    }
    let long = "x".repeat(100);
    let path = format!("/v1/vehicles/{long}");
    check_missing("GET", &path, &nothing, "vehicle", json!(long[..64])).await;
    let body = json!({"vehicle_id": "no such vehicle", "max_bid_amount_usd": 12_000});
    let vehicle = body["vehicle_id"].clone();
    check_missing("POST", "/v1/orders", &body, "vehicle", vehicle).await;
    service.vehicle(Vehicle::no_bid("sold")).await;
    service.withdraw_vehicle("sold").await;
    let body = json!({"vehicle_id": "sold"});
    check_missing("POST", "/v1/orders", &body, "vehicle", json!("sold")).await;
}

#[tokio::test]
async fn lendfoundry_details_name_the_refused_action_and_the_state() {
    let service = Service::start().await;
    let acme = service.partner("acme").await;
    service.vehicle(Vehicle::lot("lot_1")).await;
    service.vehicle(Vehicle::lot("lot_2")).await;
    let order = acme.place_order("lot_1", 12_000).await.id();
    let refused = async |method: Method, path: &str, body: Value, expected: [Value; 3]| {
        let error = lendfoundry(&acme, method, path, &body).await;
        assert_eq!(error["code"], "WORKFLOW_STATE_INVALID", "{error}");
        let [current, action, valid] = expected;
        let state =
            json!({"current_state": current, "requested_action": action, "valid_actions": valid});
        assert_eq!(error["details"], state, "{path}");
    };
    let at = "2026-09-01T10:30:00+01:00";
    for (rest, body, action) in [
        (
            "status",
            json!({"status": "delivered", "occurred_at": at}),
            "delivered",
        ),
        (
            "status",
            json!({"fulfillment_detail": "customs", "occurred_at": at}),
            "customs",
        ),
        ("sandbox-status", json!({"status": "shipping"}), "shipping"),
    ] {
        let path = format!("/v1/orders/{order}/{rest}");
        let expected = [json!("proceed"), json!(action), json!(["cancel"])];
        refused(Method::POST, &path, body, expected).await;
    }
    let path = "/v1/sandbox/vehicles/lot_2/withdraw";
    let expected = [Value::Null, json!("withdraw"), json!([])];
    refused(Method::POST, path, json!({}), expected).await;
    acme.cancel(&order).await.ok();
    let path = format!("/v1/orders/{order}");
    let expected = [json!("cancelled"), json!("cancel"), json!([])];
    refused(Method::DELETE, &path, json!({}), expected).await;
}

#[tokio::test]
async fn lendfoundry_clients_retry_a_request_timeout() {
    let service = Service::start().await;
    let acme = service.partner("acme").await;
    let ask = acme.ask(Method::POST, "/v1/orders").key(&key());
    let ask = ask.header("x-sandbox-force", "request_timeout");
    let reply = ask.header("accept", FORMS[2]).send().await;
    assert_eq!(reply.status, 408);
    let error = reply.json()["error"].take();
    assert_eq!(error["code"], "SERVICE_UNAVAILABLE");
    assert_eq!(error["lmn_code"], "request_timeout");
    assert_eq!(error["details"], json!([]));
}

#[tokio::test]
async fn lendfoundry_details_name_every_issue() {
    let service = Service::start().await;
    let acme = service.partner("acme").await;
    let body = json!({"max_bid_amount_usd": "7"});
    let error = lendfoundry(&acme, Method::POST, "/v1/orders", &body).await;
    let issues = error["details"].as_array().unwrap();
    let fields: Vec<_> = issues.iter().map(|it| &it["field"]).collect();
    assert_eq!(fields, ["vehicle_id", "max_bid_amount_usd"]);
    assert_eq!(issues[0]["issue"], "REQUIRED_FIELD_MISSING");
    assert_eq!(issues[1]["received"], "string");
}

#[tokio::test]
async fn form_refused_by_accept_is_not_used_and_none_is_406() {
    let service = Service::start().await;
    let keyless = service.partner("acme").await.with_key("");
    for (accept, form) in [
        ("text/html", 0),
        ("*/*;q=0", 0),
        ("application/json, application/problem+json", 0),
        ("application/vnd.lendfoundry.error+json, */*", 0),
        ("application/json;q=0, */*", 1),
        ("application/vnd.lendfoundry.error+json, */*;q=0.9", 2),
    ] {
        for path in ["/v1/orders", "/v1/nothing"] {
            let ask = keyless.ask(Method::GET, path).header("accept", accept);
            let reply = ask.send().await;
            assert!([401, 404].contains(&reply.status));
            assert_eq!(reply.header("content-type"), FORMS[form], "{accept}");
        }
    }
    // Successful responses are JSON, whatever the request accepts.
    let acme = service.partner("bravo").await;
    let ask = acme
        .ask(Method::GET, "/v1/orders")
        .header("accept", FORMS[2]);
    let reply = ask.send().await;
    reply.ok();
    assert_eq!(reply.header("content-type"), FORMS[0]);
}
