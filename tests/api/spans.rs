//! Export of spans to a collector: spans of recorded traces are exported, and a slow collector delays no request.

use std::{
    sync::{Arc, Mutex},
    time::{Duration, Instant},
};

use axum::{Router, http::StatusCode, routing::post};
use reqwest::Method;
use serde_json::{Value, json};
use tokio::net::TcpListener;

use crate::{
    database::TestDatabase,
    process::{Process, words},
    support::{Partner, Reply, Service, Vehicle, eventually, key, settings},
};

const TRACE: &str = "4bf92f3577b34da6a3ce929d0e0e4736";
const PARENT: &str = "00f067aa0ba902b7";

/// The number of the span kind "server" in OTLP.
const SERVER: i64 = 2;
/// The number of the span kind "client" in OTLP.
const CLIENT: i64 = 3;

/// An OpenTelemetry collector.
struct Collector {
    url: String,
    received: Arc<Mutex<Vec<Value>>>,
}

impl Collector {
    /// Starts a collector that answers with a status.
    async fn start(status: u16) -> Self {
        let received: Arc<Mutex<Vec<Value>>> = Arc::default();
        let sink = received.clone();
        let status = StatusCode::from_u16(status).unwrap();
        let routes = Router::new().route(
            "/base/v1/traces",
            post(
                async move |headers: axum::http::HeaderMap, body: bytes::Bytes| {
                    assert_eq!(headers["content-type"], "application/json");
                    sink.lock()
                        .unwrap()
                        .push(serde_json::from_slice(&body).unwrap());
                    (status, "{}")
                },
            ),
        );
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}/base/", listener.local_addr().unwrap());
        tokio::spawn(async move { axum::serve(listener, routes).await.unwrap() });
        Self { url, received }
    }

    /// Returns all spans that it has received.
    fn spans(&self) -> Vec<Value> {
        let requests = self.received.lock().unwrap().clone();
        let lists = requests
            .iter()
            .map(|it| &it["resourceSpans"][0]["scopeSpans"][0]["spans"]);
        lists
            .flat_map(|it| it.as_array().unwrap().clone())
            .collect()
    }

    /// Returns the spans of requests that it has received.
    fn requests(&self) -> Vec<Value> {
        self.of_kind(SERVER)
    }

    /// Returns the spans of statements that it has received.
    fn statements(&self) -> Vec<Value> {
        self.of_kind(CLIENT)
    }

    fn of_kind(&self, kind: i64) -> Vec<Value> {
        let spans = self.spans().into_iter();
        spans.filter(|it| it["kind"] == kind).collect()
    }
}

async fn serve(endpoint: &str, more: &[(&str, &str)]) -> Service {
    let mut settings = vec![
        settings::collector(endpoint),
        settings::sample_percent(0),
        settings::export_milliseconds(20),
        settings::export_seconds(1),
    ];
    settings.extend(more);
    Service::with(&settings).await
}

async fn traced(partner: &Partner, path: &str, flags: &str) -> Reply {
    let request = partner.ask(Method::GET, path);
    let header = format!("00-{TRACE}-{PARENT}-{flags}");
    request.header("traceparent", &header).send().await
}

fn attribute(span: &Value, key: &str) -> Value {
    let attributes = span["attributes"].as_array().unwrap();
    let found = attributes.iter().find(|it| it["key"] == key);
    found.map_or(Value::Null, |it| it["value"].clone())
}

fn text(it: &str) -> Value {
    json!({"stringValue": it})
}

/// Returns when a span began and ended, in nanoseconds.
fn times(span: &Value) -> (u128, u128) {
    let time = |name: &str| -> u128 { span[name].as_str().unwrap().parse().unwrap() };
    (time("startTimeUnixNano"), time("endTimeUnixNano"))
}

/// Orders a vehicle that does not exist, for a user.
async fn order_in_a_trace(partner: &Partner) -> Reply {
    let ask = partner.ask(Method::POST, "/v1/orders").key(&key());
    ask.header("x-user-id", "leaked user")
        .header("traceparent", &format!("00-{TRACE}-{PARENT}-01"))
        .json(&json!({"vehicle_id": "leaked_vehicle"}))
        .send()
        .await
}

#[tokio::test]
async fn request_in_a_recorded_trace_is_exported_and_no_other_request_is() {
    let collector = Collector::start(200).await;
    let service = serve(&collector.url, &[]).await;
    let acme = service.partner("acme").await;
    service.vehicle(Vehicle::lot("glovis_1")).await;
    let order = acme.place_order("glovis_1", 12_000).await.id();
    traced(&acme, "/v1/orders", "00").await.ok();
    let recorded = traced(&acme, &format!("/v1/orders/{order}?leak=me"), "01").await;
    recorded.ok();
    order_in_a_trace(&acme).await.expect(404);
    traced(&acme.with_key(""), "/leak", "01").await.expect(404);
    let spans = eventually("the spans of three requests are exported", async || {
        let spans = collector.requests();
        (spans.len() >= 3).then_some(spans)
    })
    .await;
    assert_eq!(spans.len(), 3);
    let [first, second, third] = &spans[..] else {
        panic!("{spans:?}")
    };
    for span in &spans {
        assert_eq!(span["traceId"], TRACE);
        assert_eq!(span["parentSpanId"], PARENT);
        assert_eq!(span["status"]["code"], 0);
        let (began, ended) = times(span);
        assert!(began < ended);
    }
    assert_eq!(
        recorded.header("traceresponse"),
        format!("00-{TRACE}-{}-01", first["spanId"].as_str().unwrap())
    );
    assert_eq!(first["name"], "GET /v1/orders/{id}");
    assert_eq!(attribute(first, "http.route"), text("/v1/orders/{id}"));
    assert_eq!(
        attribute(first, "http.response.status_code"),
        json!({"intValue": "200"})
    );
    assert_eq!(attribute(first, "error.type"), Value::Null);
    assert_eq!(
        attribute(first, "lmn.request_id"),
        text(recorded.header("x-request-id"))
    );
    let partner = lmn_partner_api::values::id::PartnerId::from(acme.id).to_string();
    assert_eq!(attribute(first, "lmn.partner"), text(&partner));
    assert_eq!(second["name"], "POST /v1/orders");
    assert_eq!(attribute(second, "error.type"), text("vehicle_not_found"));
    assert_eq!(third["name"], "GET");
    assert_eq!(attribute(third, "lmn.partner"), Value::Null);
    for statement in collector.statements() {
        let parent = &statement["parentSpanId"];
        let is_part = spans.iter().any(|it| it["spanId"] == *parent);
        assert!(is_part, "{statement}");
    }
    let all = json!(*collector.received.lock().unwrap()).to_string();
    let secrets = [
        "leak",
        &order,
        &acme.api_key,
        "lmn_stg",
        "acme",
        "127.0.0.1",
    ];
    for secret in secrets {
        assert!(!all.contains(secret), "`{secret}` in {all}");
    }
    eventually("the spans are counted", async || {
        let exported = service.metric("lmn_trace_spans_total{result=\"exported\"}");
        (exported.await == collector.spans().len() as f64).then_some(())
    })
    .await;
}

#[tokio::test]
async fn statement_that_places_an_order_is_a_part_of_its_request() {
    let collector = Collector::start(200).await;
    let service = serve(&collector.url, &[]).await;
    let acme = service.partner("acme").await;
    service.vehicle(Vehicle::lot("glovis_1")).await;
    let ask = acme.ask(Method::POST, "/v1/orders").key(&key());
    ask.header("traceparent", &format!("00-{TRACE}-{PARENT}-01"))
        .json(&json!({"vehicle_id": "glovis_1", "max_bid_amount_usd": 12_000}))
        .send()
        .await
        .created();
    let placed = |it: &Value| it["name"] == "select place_order";
    let statement = eventually("the statement is exported", async || {
        collector.statements().into_iter().find(placed)
    })
    .await;
    let requests = collector.requests();
    let [request] = &requests[..] else {
        panic!("{requests:?}")
    };
    assert_eq!(request["name"], "POST /v1/orders");
    assert_eq!(statement["traceId"], TRACE);
    assert_eq!(statement["parentSpanId"], request["spanId"]);
    assert_ne!(statement["spanId"], request["spanId"]);
    assert_eq!(statement["status"]["code"], 0);
    assert_eq!(attribute(&statement, "db.system.name"), text("postgresql"));
    assert_eq!(
        attribute(&statement, "db.query.summary"),
        text("select place_order")
    );
    assert_eq!(attribute(&statement, "error.type"), Value::Null);
    let ((began, ended), (first, last)) = (times(&statement), times(request));
    assert!(first <= began && began <= ended && ended <= last);
}

#[tokio::test]
async fn sampled_request_without_a_trace_begins_one() {
    let collector = Collector::start(200).await;
    let service = serve(&collector.url, &[settings::sample_percent(100)]).await;
    let acme = service.partner("acme").await;
    for _ in 0..3 {
        let reply = acme.get("/v1/orders").await;
        assert_eq!(
            reply.header("traceresponse"),
            "",
            "a trace of the server is not returned"
        );
    }
    // A trace that its caller does not record is not recorded here either.
    traced(&acme, "/v1/orders", "00").await.ok();
    let spans = eventually("the spans are exported", async || {
        let spans = collector.requests();
        (spans.len() >= 3).then_some(spans)
    })
    .await;
    assert_eq!(spans.len(), 3);
    let mut traces: Vec<_> = spans
        .iter()
        .map(|it| it["traceId"].as_str().unwrap())
        .collect();
    traces.sort_unstable();
    traces.dedup();
    assert!(traces.len() == 3 && !traces.contains(&TRACE), "{traces:?}");
    assert!(spans.iter().all(|it| it["parentSpanId"] == ""));
}

#[tokio::test]
async fn last_spans_are_exported_before_the_server_stops() {
    let collector = Collector::start(200).await;
    let never = [settings::export_milliseconds(3_600_000)];
    let mut service = serve(&collector.url, &never).await;
    let acme = service.partner("acme").await;
    for _ in 0..700 {
        traced(&acme, "/v1/orders?limit=0", "01").await.issues();
    }
    assert_eq!(collector.spans().len(), 0);
    service.stop().await;
    assert_eq!(collector.requests().len(), 700);
}

#[tokio::test]
async fn collector_that_accepts_nothing_delays_neither_requests_nor_the_stop() {
    // One collector that hangs, one that does not exist, and one that refuses.
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let silent = format!("http://{}", listener.local_addr().unwrap());
    let refuses = Collector::start(503).await;
    for endpoint in [silent.as_str(), "http://127.0.0.1:1", refuses.url.as_str()] {
        let mut service = serve(endpoint, &[settings::span_queue_max(5)]).await;
        let acme = service.partner("acme").await;
        let counted = "lmn_trace_spans_total{result=\"failed\"}";
        eventually("the failure is counted", async || {
            traced(&acme, "/v1/orders?limit=0", "01").await.issues();
            (service.metric(counted).await > 0.0).then_some(())
        })
        .await;
        let began = Instant::now();
        service.stop().await;
        assert!(
            began.elapsed() < Duration::from_secs(10),
            "{endpoint}: {:?}",
            began.elapsed()
        );
    }
}

#[tokio::test]
async fn spans_that_do_not_fit_into_the_queue_are_dropped_and_counted() {
    let collector = Collector::start(200).await;
    let settings = [
        settings::export_milliseconds(3_600_000),
        settings::span_queue_max(5),
    ];
    let mut service = serve(&collector.url, &settings).await;
    // A request without a key executes no statement, so that it has one span.
    let nobody = service.partner("acme").await.with_key("");
    for _ in 0..12 {
        traced(&nobody, "/nowhere", "01").await.expect(404);
    }
    assert_eq!(
        service
            .metric("lmn_trace_spans_total{result=\"dropped\"}")
            .await,
        7.0
    );
    service.stop().await;
    assert_eq!(collector.spans().len(), 5);
}

#[tokio::test(flavor = "multi_thread")]
async fn failure_to_export_spans_is_logged_once() {
    let database = TestDatabase::new().await;
    let settings = [
        settings::collector("http://127.0.0.1:1"),
        settings::export_milliseconds(10),
        ("LOG__FILTER", "warn"),
    ];
    let arguments = ["serve", "--no-worker", "--json"];
    let server = Process::on(&database.url(), &arguments, &settings);
    let acme = Partner::add(&database.pool, server.url(), "acme").await;
    let metrics = format!("{}/metrics", server.operator_url());
    let mut failed = 0;
    for _ in 0..3 {
        traced(&acme, "/v1/orders", "01").await.ok();
        failed = eventually("the failure is counted", async || {
            let answer = reqwest::get(&metrics).await.unwrap();
            let text = answer.text().await.unwrap();
            let mut lines = text.lines();
            let count: u64 = lines
                .find_map(|it| it.strip_prefix("lmn_trace_spans_total{result=\"failed\"} "))
                .map_or(0, |it| it.parse().unwrap());
            (count > failed).then_some(count)
        })
        .await;
    }
    let output = tokio::task::spawn_blocking(|| server.stop()).await.unwrap();
    let log = words(&output);
    assert_eq!(log.matches("spans are not exported").count(), 1, "{log}");
    assert!(!log.contains(&acme.api_key), "{log}");
}
