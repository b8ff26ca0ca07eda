//! The error envelope, which is the same for routes, layers, extractors, fallbacks, deadlines and panics.

use axum::{Router, routing::get};
use lmn_partner_api::{errors::catalogue::Code, router};
use reqwest::Method;
use serde_json::json;

use crate::{
    database::TestDatabase,
    support::{Document, Operation, Service, Vehicle, key, settings},
};

/// The operations that need no key.
const OPEN: [&str; 4] = ["get_openapi", "list_errors", "get_error", "get_status"];

#[tokio::test]
async fn request_without_a_key_is_401_on_every_route_but_the_open_ones() {
    let service = Service::start().await;
    let document = Document::read();
    let is_open = |it: &&Operation| OPEN.contains(&it.id.as_str());
    let (open, gated): (Vec<_>, Vec<_>) = document.operations.iter().partition(is_open);
    assert_eq!(
        (open.len(), gated.len()),
        (4, 30),
        "the numbers of open and other routes"
    );
    let keyless = service.partner("keyless").await.with_key("");
    for operation in open {
        let path = operation.path();
        keyless.get(&path).await.ok();
        assert_eq!(operation.members["security"], json!([]), "{path}");
    }
    for operation in gated {
        let (method, path) = (operation.method.clone(), operation.path());
        assert_eq!(operation.members.get("security"), None, "{path}");
        let reply = reqwest::Client::new()
            .request(method.clone(), format!("{}{path}", service.url))
            .header("idempotency-key", key())
            .send()
            .await
            .unwrap();
        let reply = crate::support::Reply::of(reply).await;
        reply.refused(401, Code::MissingApiKey);
        // A PUT takes no idempotency key, so its response carries no outcome of one.
        let outcome = if matches!(method, Method::GET | Method::PUT) {
            ("", "")
        } else {
            ("unknown", "false")
        };
        assert_eq!(reply.outcome(), outcome, "{method} {path}");
    }
}

#[tokio::test]
async fn unknown_route_is_404_and_wrong_method_405_without_a_key() {
    let service = Service::start().await;
    let keyless = service.partner("acme").await.with_key("");
    for path in [
        "/v1",
        "/v1/",
        "/v1/order",
        "/v1/orders/",
        "/v1/vehicles/a/b",
        "/v2/orders",
    ] {
        keyless.get(path).await.refused(404, Code::NotFound);
    }
    for (method, path, allow) in [
        (Method::DELETE, "/v1/orders", "GET,HEAD,POST"),
        (Method::PUT, "/v1/orders/x", "GET,HEAD,DELETE"),
        (Method::POST, "/v1/vehicles", "GET,HEAD"),
    ] {
        let reply = keyless.ask(method, path).send().await;
        let details = reply.refused(405, Code::MethodNotAllowed);
        assert_eq!(reply.header("allow"), allow);
        assert_eq!(
            details["allow"],
            json!(allow.split(',').collect::<Vec<_>>())
        );
    }
}

#[tokio::test]
async fn responses_have_unique_request_ids_and_forbid_shared_caching() {
    let service = Service::start().await;
    let acme = service.partner("acme").await;
    service.vehicle(Vehicle::lot("glovis_1")).await;
    let mut seen = std::collections::HashSet::new();
    for reply in [
        acme.get("/v1/vehicles/glovis_1").await,
        acme.get("/v1/vehicles/glovis_2").await,
        acme.get("/nowhere").await,
        acme.place_order("glovis_1", 10_000).await,
        acme.ask(Method::GET, "/v1/orders")
            .header("x-request-id", "mine")
            .send()
            .await,
    ] {
        let id = reply.header("x-request-id").to_owned();
        assert!(id.len() == 28 && id.starts_with("req_"), "{reply:?}");
        assert!(seen.insert(id));
        let cached = if reply.header("etag").is_empty() {
            "no-store"
        } else {
            "private, no-cache"
        };
        assert_eq!(reply.header("cache-control"), cached);
        assert_eq!(reply.header("x-content-type-options"), "nosniff");
    }
}

#[tokio::test]
async fn body_that_is_not_one_json_object_is_refused() {
    let service = Service::start().await;
    let acme = service.partner("acme").await;
    let post = |content_type: &'static str, body: String| {
        let ask = acme
            .ask(Method::POST, "/v1/orders")
            .key(&key())
            .header("content-type", content_type);
        async move { ask.body(body).send().await }
    };
    post("text/plain", "{}".into())
        .await
        .refused(415, Code::UnsupportedMediaType);
    post("application/x-www-form-urlencoded", "a=b".into())
        .await
        .refused(415, Code::UnsupportedMediaType);
    let gzipped = acme
        .ask(Method::POST, "/v1/orders")
        .key(&key())
        .header("content-encoding", "gzip");
    gzipped
        .json(&json!({}))
        .send()
        .await
        .refused(415, Code::UnsupportedMediaType);

    let padded = |bytes: usize| format!("{{\"x\":\"{}\"}}", "x".repeat(bytes - 8));
    let fits = post("application/json", padded(65_536)).await;
    assert_eq!(
        fits.issues(),
        [("vehicle_id".into(), "REQUIRED_FIELD_MISSING".into())]
    );
    post("application/json", padded(65_537))
        .await
        .refused(413, Code::PayloadTooLarge);

    for (body, path, issue) in [
        (" ", "body", "INVALID_FORMAT"),
        ("nonsense", "body", "INVALID_FORMAT"),
        ("{\"vehicle_id\":", "body", "INVALID_FORMAT"),
        ("[]", "body", "INVALID_TYPE"),
        (
            "{\"vehicle_id\":\"a\",\"vehicle_id\":\"a\"}",
            "vehicle_id",
            "DUPLICATE",
        ),
        ("{\"x\":[{\"y\":1,\"y\":2}]}", "x[0].y", "DUPLICATE"),
    ] {
        let reply = post("application/json", body.into()).await;
        assert_eq!(reply.issues(), [(path.into(), issue.into())], "{body}");
        // The body is refused before the key is looked up.
        assert_eq!(reply.outcome(), ("unknown", "false"));
    }
}

#[tokio::test]
async fn empty_body_is_an_empty_object() {
    let service = Service::start().await;
    let acme = service.partner("acme").await;
    let ask = |path: &str| acme.ask(Method::POST, path).key(&key());
    let bare = ask("/v1/webhook_endpoint/test").send().await;
    bare.refused(404, Code::WebhookEndpointNotFound);
    let order = ask("/v1/orders").send().await;
    let missing = ("vehicle_id".into(), "REQUIRED_FIELD_MISSING".into());
    assert_eq!(order.issues(), [missing]);
    // A body needs a content type, and a content type does not need a body.
    let unnamed = ask("/v1/webhook_endpoint/test").body("{}").send().await;
    unnamed.refused(415, Code::UnsupportedMediaType);
    let empty = ask("/v1/webhook_endpoint/test").header("content-type", "application/json");
    let empty = empty.send().await;
    empty.refused(404, Code::WebhookEndpointNotFound);
}

#[tokio::test]
async fn issues_are_all_reported_at_once_with_their_paths() {
    let service = Service::start().await;
    let acme = service.partner("acme").await;
    let reply = acme
        .post(
            "/v1/orders",
            json!({"vehicle_id": 7, "max_bid_amount_usd": "15500"}),
        )
        .await;
    let details = reply.refused(400, Code::ValidationError);
    insta::assert_json_snapshot!(details, @r#"
    {
      "issues": [
        {
          "expected": "string",
          "issue": "INVALID_TYPE",
          "message": "`vehicle_id` must be a string",
          "path": "vehicle_id",
          "received": "integer"
        },
        {
          "expected": "integer or null",
          "issue": "INVALID_TYPE",
          "message": "`max_bid_amount_usd` must be a whole number or null",
          "path": "max_bid_amount_usd",
          "received": "string"
        }
      ]
    }
    "#);
    let reply = acme
        .get("/v1/vehicles?source=bmw,sk&model=x&auction_status=gone&sort=up&limit=201&limit=1")
        .await;
    let paths: Vec<_> = reply
        .issues()
        .into_iter()
        .map(|(path, issue)| format!("{path} {issue}"))
        .collect();
    assert_eq!(
        paths,
        [
            "source INVALID_VALUE",
            "auction_status INVALID_VALUE",
            "model REQUIRES",
            "sort INVALID_VALUE",
            "limit DUPLICATE",
            "limit OUT_OF_RANGE",
        ]
    );
}

#[tokio::test]
async fn panic_is_500_and_late_handler_503_in_the_same_envelope() {
    let settings = settings::short_timeouts();
    let routes = |app| {
        let broken = get(async || -> String { panic!("a secret of the inside") });
        let endless = get(async || std::future::pending::<String>().await);
        router::shell(
            Router::new()
                .route("/broken", broken)
                .route("/endless", endless),
            app,
        )
    };
    let service = Service::on(TestDatabase::new().await, &settings, routes).await;
    let acme = service.partner("acme").await;

    let broken = acme.get("/broken").await;
    broken.refused(500, Code::InternalError);
    assert!(!String::from_utf8_lossy(&broken.body).contains("secret"));

    let late = acme.get("/endless").await;
    let details = late.refused(503, Code::ServiceUnavailable);
    assert_eq!(
        details["retry_after"].to_string(),
        late.header("retry-after")
    );
}

#[tokio::test]
async fn late_order_is_not_placed_and_its_response_has_every_header() {
    let settings = settings::short_timeouts();
    let service = Service::with(&settings).await;
    let acme = service.partner("acme").await;
    service.vehicle(Vehicle::lot("glovis_1")).await;
    // Two statements that each end in time, but together exceed the deadline.
    service.delay_the_time(1.9).await;
    service.delay_orders(1.9).await;
    let key = key();
    let late = acme.place_order_once(&key, "glovis_1", 12_000).await;
    late.refused(503, Code::ServiceUnavailable);
    assert_eq!(late.outcome(), ("unbound", "false"));
    assert!(
        late.header("ratelimit").starts_with("\"write\";r="),
        "{late:?}"
    );
    assert_eq!(service.order_count().await, 0);
    service.time_is("2026-01-01T00:00:00+09:00").await;
    service.stop_delaying_orders().await;
    acme.place_order_once(&key, "glovis_1", 12_000)
        .await
        .created();
}
