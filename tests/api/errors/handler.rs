//! The retry handler printed in LendFoundry's documentation works with this API unchanged.

use std::{
    io::Write,
    process::{Command, Stdio},
};

use lmn_partner_api::errors::catalogue::Code;
use serde_json::{Value, json};

use super::forms::FORMS;
use crate::support::{Partner, Service, Vehicle, key};

/// Runs the handler on cases; returns their results.
async fn run(cases: Vec<Value>) -> Vec<Value> {
    let run = move || {
        let script = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/api/errors/drive.py");
        let child = Command::new("python3")
            .args(["-B", script])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn();
        let mut child = child.expect("this test needs python3 (README, Run it)");
        let input = json!(cases).to_string();
        let mut stdin = child.stdin.take().unwrap();
        stdin.write_all(input.as_bytes()).unwrap();
        drop(stdin);
        let output = child.wait_with_output().unwrap();
        assert!(output.status.success());
        serde_json::from_slice(&output.stdout).unwrap()
    };
    tokio::task::spawn_blocking(run).await.unwrap()
}

/// Returns a case: an order of a vehicle, with a forced error that ends after the first pause if `is_transient`.
fn case(partner: &Partner, vehicle: &str, force: Option<&str>, is_transient: bool) -> Value {
    let mut headers = json!({
        "x-api-key": partner.api_key,
        "Idempotency-Key": key(),
        "Accept": FORMS[2],
    });
    if let Some(force) = force {
        headers["X-Sandbox-Force"] = force.into();
    }
    json!({
        "url": format!("{}/v1/orders", partner.url),
        "headers": headers,
        "data": {"vehicle_id": vehicle, "max_bid_amount_usd": 12_000},
        "passes": is_transient,
    })
}

#[tokio::test(flavor = "multi_thread")]
async fn handler_waits_for_retry_after_and_gets_its_order() {
    let service = Service::start().await;
    let acme = service.partner("acme").await;
    for n in 1..=4 {
        service.vehicle(Vehicle::lot(&format!("lot_{n}"))).await;
    }
    let limited = acme.ask(reqwest::Method::POST, "/v1/orders").key(&key());
    let limited = limited.header("x-sandbox-force", "rate_limited");
    let limited = limited.json(&json!({})).send().await;
    let retry_after = limited.json()["error"]["details"]["retry_after"].clone();
    let cases = vec![
        case(&acme, "lot_1", Some("rate_limited"), true),
        case(&acme, "lot_2", Some("internal_error"), true),
        case(&acme, "lot_3", Some("service_unavailable"), true),
        case(&acme, "lot_3", Some("rate_limited"), false),
        case(&acme, "lot_3", Some("service_unavailable"), false),
        case(&acme, "lot_1", None, false),
        case(&acme.with_key(""), "lot_1", None, false),
        case(&acme, "lot_4", Some("request_timeout"), true),
    ];
    let results = run(cases).await;
    for (n, slept) in [
        (0, json!([retry_after])),
        (1, json!([1])),
        (2, json!([1])),
        (7, json!([1])),
    ] {
        assert_eq!(results[n]["slept"], slept, "{}", results[n]);
        assert_eq!(results[n]["answer"]["status"], "proceed", "{}", results[n]);
    }
    let waits = json!([retry_after, retry_after, retry_after]);
    for (n, slept) in [(3, waits), (4, json!([1, 2, 4]))] {
        assert_eq!(
            results[n],
            json!({"gave_up": "Max retries exceeded", "slept": slept})
        );
    }
    let orders = acme.get("/v1/orders").await.ids();
    assert_eq!(orders.len(), 4, "one order per intended order");
    let duplicate = &results[5];
    assert_eq!(duplicate["code"], "DUPLICATE_RESOURCE");
    assert_eq!(
        duplicate["details"]["existing_id"],
        results[0]["answer"]["id"]
    );
    assert_eq!(results[6]["code"], "UNAUTHORIZED");
    assert_eq!(results[6]["slept"], json!([]));
}

#[tokio::test(flavor = "multi_thread")]
async fn handler_ends_on_every_error() {
    let service = Service::start().await;
    let acme = service.partner("acme").await;
    let all = Code::ALL.into_iter().flat_map(|code| {
        let statuses = code.entry().statuses.iter();
        statuses.map(move |status| (code, *status))
    });
    let all: Vec<_> = all.collect();
    let force = |(code, status): &(Code, u16)| format!("{};status={status}", code.as_str());
    let cases = all
        .iter()
        .map(|it| case(&acme, "x", Some(&force(it)), false));
    let results = run(cases.collect()).await;
    assert_eq!(results.len(), all.len());
    for ((code, status), result) in all.iter().zip(&results) {
        let name = code.entry().lendfoundry_code(*status).unwrap();
        let name = json!(name);
        let retried = [
            "RATE_LIMIT_EXCEEDED",
            "INTERNAL_SERVER_ERROR",
            "SERVICE_UNAVAILABLE",
        ];
        if retried.iter().any(|it| name == **it) {
            assert_eq!(result["gave_up"], "Max retries exceeded", "{result}");
            assert_eq!(result["slept"].as_array().unwrap().len(), 3);
            continue;
        }
        assert_eq!(result["code"], name);
        assert_eq!(result["slept"], json!([]));
        let trace = result["trace_id"].as_str().unwrap();
        assert!(trace.starts_with("req_") && trace.len() == 28);
    }
    assert_eq!(service.order_count().await, 0);
}
