//! Trace context: requests continue the trace of their caller.

use reqwest::Method;
use serde_json::Value;

use crate::{
    database::TestDatabase,
    process::Process,
    support::{Document, Partner, Reply, Service, settings},
};

const TRACE: &str = "4bf92f3577b34da6a3ce929d0e0e4736";
const PARENT: &str = "00f067aa0ba902b7";

async fn traced(partner: &Partner, path: &str, traceparent: &str) -> Reply {
    let request = partner.ask(Method::GET, path);
    request.header("traceparent", traceparent).send().await
}

/// Returns the id of the server's span from `traceresponse`.
fn span_id(reply: &Reply, flags: &str) -> String {
    let header = reply.header("traceresponse");
    let id = header
        .strip_prefix(&format!("00-{TRACE}-"))
        .and_then(|it| it.strip_suffix(&format!("-{flags}")))
        .unwrap_or_else(|| panic!("{reply:?}"));
    assert!(id.len() == 16 && id != PARENT && id != "0000000000000000");
    id.to_owned()
}

#[tokio::test]
async fn response_in_a_trace_carries_the_span_of_the_server() {
    let service = Service::start().await;
    let acme = service.partner("acme").await;
    let document = Document::read();
    let header = format!("00-{TRACE}-{PARENT}-01");
    let first = traced(&acme, "/v1/orders", &header).await;
    first.ok();
    document.check("list_orders", &first);
    let second = traced(&acme, "/v1/orders", &format!("00-{TRACE}-{PARENT}-00")).await;
    assert_ne!(span_id(&first, "01"), span_id(&second, "00"));
    for (partner, path, status) in [
        (&acme, "/v1/orders?limit=0", 400),
        (&acme.with_key(""), "/v1/orders", 401),
        (&acme, "/v1/orders/x", 404),
        (&acme, "/nowhere", 404),
    ] {
        let reply = traced(partner, path, &header).await;
        assert_eq!(reply.status, status);
        span_id(&reply, "01");
    }
    // An invalid header is ignored.
    for odd in [
        "",
        "x",
        &header.to_uppercase(),
        &header.replace(TRACE, &"0".repeat(32)),
    ] {
        let reply = traced(&acme, "/v1/orders", odd).await;
        reply.ok();
        assert_eq!(reply.header("traceresponse"), "", "{odd}");
    }
    let twice = acme
        .ask(Method::GET, "/v1/orders")
        .header("traceparent", &header)
        .header("traceparent", &header);
    assert_eq!(twice.send().await.header("traceresponse"), "");
    assert_eq!(acme.get("/v1/orders").await.header("traceresponse"), "");
}

#[tokio::test(flavor = "multi_thread")]
async fn log_line_names_the_trace_and_both_spans() {
    let database = TestDatabase::new().await;
    let arguments = ["serve", "--no-worker", "--json"];
    let replica = Process::on(&database.url(), &arguments, &[settings::LOG_INFO]);
    let acme = Partner::add(&database.pool, replica.url(), "acme").await;
    let reply = traced(&acme, "/v1/orders", &format!("00-{TRACE}-{PARENT}-01")).await;
    let span_id = span_id(&reply, "01");
    acme.get("/v1/events").await.ok();
    let output = tokio::task::spawn_blocking(|| replica.stop())
        .await
        .unwrap();
    let log = String::from_utf8(output.stderr).unwrap();
    let line = |route: &str| -> Value {
        let lines = log.lines().filter_map(|it| serde_json::from_str(it).ok());
        let mut spans = lines.map(|it: Value| it["span"].clone());
        let found = spans.find(|it| it["route"] == route);
        found.unwrap_or_else(|| panic!("{route} is not in {log}"))
    };
    let traced = line("/v1/orders");
    assert_eq!(traced["trace_id"], TRACE);
    assert_eq!(traced["parent_id"], PARENT);
    assert_eq!(traced["span_id"], span_id.as_str());
    assert_eq!(traced["request_id"], reply.header("x-request-id"));
    assert!(line("/v1/events")["trace_id"].is_null());
}
