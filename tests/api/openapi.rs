//! The OpenAPI document: it describes every route, and every response matches its description.

use std::collections::BTreeSet;

use lmn_partner_api::{
    errors::catalogue::Code,
    orders::state_machine::{FulfillmentDetail, ShipmentChange, Transition},
    values::{environment::Environment, timestamp::Timestamp},
};
use reqwest::Method;
use serde_json::{Value, json};

use crate::support::{
    Document, Operation, Partner, REQUESTS, Reply, Service, Vehicle, burst_alone, eventually, key,
    secure, settings,
};

/// Statuses that no test of this file provokes: 400 of operations without input of their own, slow bodies, and
/// failures of the server.
const NOT_PROVOKED: [u16; 4] = [400, 408, 500, 503];

/// Calls an operation with a key and, where it takes one, an empty body.
async fn ask(partner: &Partner, operation: &Operation) -> Reply {
    let ask = partner
        .ask(operation.method.clone(), &operation.path())
        .key(&key());
    match operation.members.get("requestBody") {
        Some(_) => ask.json(&json!({})).send().await,
        None => ask.send().await,
    }
}

#[tokio::test]
async fn router_and_document_agree_on_every_path_and_method() {
    let service = Service::start().await;
    let keyless = service.partner("acme").await.with_key("");
    let document = Document::read();
    let paths = document.text["paths"].as_object().unwrap();
    for (template, item) in paths {
        let mut described: BTreeSet<String> = item
            .as_object()
            .unwrap()
            .keys()
            .map(|it| it.to_uppercase())
            .collect();
        if described.contains("GET") {
            described.insert("HEAD".into());
        }
        let path = template.replace("{id}", "x").replace("{code}", "not_found");
        for method in [
            "GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE",
        ] {
            let ask = keyless.ask(method.parse().unwrap(), &path).key(&key());
            let reply = ask.send().await;
            if described.contains(method) {
                assert!(
                    matches!(reply.status, 200 | 401),
                    "{method} {path}: {reply:?}"
                );
                continue;
            }
            if method == "HEAD" {
                // The response to a HEAD has no body.
                assert_eq!(reply.status, 405);
                continue;
            }
            reply.refused(405, Code::MethodNotAllowed);
            let allow: BTreeSet<String> = reply
                .header("allow")
                .split(',')
                .map(str::to_owned)
                .collect();
            assert_eq!(allow, described, "{path}");
        }
    }
    // An unknown path has the same error as an unknown code.
    document.check("get_error", &keyless.get("/v1/nowhere").await);
}

#[tokio::test]
async fn document_is_served_without_a_key_and_revalidated() {
    let service = Service::with(&[("PUBLIC_URL", "https://api.example.com/")]).await;
    let keyless = service.partner("acme").await.with_key("");
    let first = keyless.get("/v1/openapi.json").await;
    let document = Document::read();
    document.check("get_openapi", &first);
    let expected = Document::of(Environment::Sandbox, "https://api.example.com");
    assert!(first.ok() == expected.text);
    let servers = json!([{"url": "https://api.example.com"}]);
    assert_eq!(expected.text["servers"], servers);
    let ask = keyless
        .ask(Method::GET, "/v1/openapi.json")
        .header("if-none-match", first.header("etag"));
    let second = ask.send().await;
    assert_eq!(
        (second.status, second.header("etag")),
        (304, first.header("etag"))
    );
    document.check("get_openapi", &second);
}

#[tokio::test]
async fn responses_match_the_document() {
    let service = Service::with(&[settings::LOCAL_ENDPOINTS]).await;
    let acme = service.partner("acme").await;
    let document = Document::read();
    check_the_gate(&service, &document).await;
    check_the_catalogue(&service, &acme, &document).await;
    check_placing(&service, &acme, &document).await;
    check_refused_orders(&acme, &document).await;
    check_refused_bodies(&acme, &document).await;
    check_one_order(&service, &acme, &document).await;
    check_refusals_of_writes(&service, &acme, &document).await;
    check_the_sandbox(&service, &document).await;
    check_reports(&service, &document).await;
    check_events(&service, &document).await;
    check_webhooks(&service, &document).await;
    check_requests(&service, &document).await;
    for (operation, path) in [
        ("get_openapi", "/v1/openapi.json"),
        ("list_errors", "/v1/errors"),
        ("get_error", "/v1/errors/past_order_cutoff"),
    ] {
        let open = acme.get(path).await;
        document.check(operation, &open);
        let etag = open.header("etag");
        document.check(operation, &revalidated(&acme, path, etag).await);
    }
    document.check("get_status", &acme.get("/v1/status").await);
    let unknown = acme.get("/v1/errors/nonsense").await;
    document.check("get_error", &unknown);
    let mut unchecked = document.unchecked();
    unchecked.retain(|(_, status)| !NOT_PROVOKED.contains(status));
    assert_eq!(unchecked, []);
}

/// Requests a resource with a current entity tag; the response must be 304.
async fn revalidated(partner: &Partner, path: &str, etag: &str) -> Reply {
    let reply = partner
        .ask(Method::GET, path)
        .header("if-none-match", etag)
        .send()
        .await;
    assert_eq!(reply.status, 304);
    reply
}

/// Checks 401, 403 and 429 of every operation that needs a key.
async fn check_the_gate(service: &Service, document: &Document) {
    let (outsider, hasty) = (
        service.partner("outsider").await,
        service.partner("hasty").await,
    );
    let db = service.db();
    outsider.allow_networks(db, &["203.0.113.0/24"]).await;
    hasty.set_read_limit(db, burst_alone(1)).await;
    hasty.set_write_limit(db, burst_alone(1)).await;
    hasty.get("/v1/orders").await.ok();
    hasty.cancel("x").await.refused(404, Code::OrderNotFound);
    for operation in document.operations.iter().filter(|it| !it.is_open()) {
        for (partner, status) in [
            (&outsider.with_key(""), 401),
            (
                &outsider.with_key("lmn_prd_AAAAAAAAAAAAAAAAAAAAAAAAAAAA"),
                401,
            ),
            (&outsider, 403),
            (&hasty, 429),
        ] {
            let reply = ask(partner, operation).await;
            assert_eq!(reply.status, status, "{operation:?}: {reply:?}");
            document.check(&operation.id, &reply);
        }
    }
}

async fn check_the_catalogue(service: &Service, acme: &Partner, document: &Document) {
    for n in 0..2 {
        service.vehicle(Vehicle::lot(&format!("glovis_{n}"))).await;
    }
    service.vehicle(Vehicle::dealers("encar_1")).await;
    service
        .sql(
            r#"update vehicles set fuel = 'diesel', transmission = 'auto', inspection =
                '{"inspected_on":"2026-04-01","summary":"Sound.","items":[{"part":"door","finding":"scratch"}]}'
            where id = 'glovis_0'"#,
        )
        .await;
    for query in [
        "source=glovis&limit=1",
        "make=hyundai",
        "make=hyundai&auction_status=upcoming",
    ] {
        let list = acme.get(&format!("/v1/vehicles?{query}")).await;
        list.ok();
        document.check("list_vehicles", &list);
    }
    for query in ["", "source=glovis&cursor=x", "limit=0&sort=up"] {
        let refused = acme.get(&format!("/v1/vehicles?{query}")).await;
        assert_eq!(refused.status, 400);
        document.check("list_vehicles", &refused);
    }
    check_facets(acme, document).await;
    for id in ["glovis_0", "encar_1", "nobodys"] {
        document.check(
            "get_vehicle",
            &acme.get(&format!("/v1/vehicles/{id}")).await,
        );
    }
    let vehicle = acme.get("/v1/vehicles/glovis_0").await;
    document.check(
        "get_vehicle",
        &revalidated(acme, "/v1/vehicles/glovis_0", vehicle.header("etag")).await,
    );
    // A withdrawn vehicle, shown as it was when ordered.
    acme.place_order("glovis_1", 12_000).await.created();
    service.withdraw_vehicle("glovis_1").await;
    let snapshot = acme.get("/v1/vehicles/glovis_1").await;
    assert_eq!(snapshot.header("x-lmn-snapshot"), "true");
    document.check("get_vehicle", &snapshot);
    document.check(
        "get_vehicle",
        &revalidated(acme, "/v1/vehicles/glovis_1", snapshot.header("etag")).await,
    );
}

async fn check_facets(acme: &Partner, document: &Document) {
    let facets = acme.get("/v1/vehicles/facets").await;
    assert_eq!(facets.ok()["models"], json!({"Hyundai": ["Grandeur"]}));
    document.check("get_facets", &facets);
    let revalidated = revalidated(acme, "/v1/vehicles/facets", facets.header("etag")).await;
    document.check("get_facets", &revalidated);
    let refused = acme.get("/v1/vehicles/facets?source=encar").await;
    assert_eq!(refused.status, 400);
    document.check("get_facets", &refused);
}

async fn check_placing(service: &Service, acme: &Partner, document: &Document) {
    for vehicle in [
        Vehicle::lot("lot_1"),
        Vehicle::lot("lot_2"),
        Vehicle::dealers("dealer_1"),
        Vehicle::dealers("dealer_2"),
    ] {
        service.vehicle(vehicle).await;
    }
    service
        .vehicle(Vehicle::lot("past_1").auction_in_hours(1))
        .await;
    let key_1 = key();
    let created = acme.place_order_once(&key_1, "lot_1", 12_000).await;
    created.created();
    document.check("create_order", &created);
    let replayed = acme.place_order_once(&key_1, "lot_1", 12_000).await;
    replayed.replays(&created);
    document.check("create_order", &replayed);
    document.check("create_order", &acme.place_order("dealer_1", None).await);
    let order = json!({"vehicle_id": "lot_2", "max_bid_amount_usd": 12_000});
    let dry_run = acme.post("/v1/orders?dry_run=true", order).await;
    document.check("create_order", &dry_run);
    let order = document.validator(&json!({"$ref": "#/components/schemas/Order"}));
    assert!(order.is_valid(&created.json()) && !order.is_valid(&dry_run.ok()));
}

async fn check_refused_orders(acme: &Partner, document: &Document) {
    let key_1 = key();
    acme.place_order_once(&key_1, "dealer_2", None)
        .await
        .created();
    for (reply, status, code) in [
        (
            acme.place_order("lot_2", None).await,
            400,
            Code::MissingMaxBid,
        ),
        (
            acme.post(
                "/v1/orders",
                json!({"vehicle_id": 7, "max_bid_amount_usd": "7"}),
            )
            .await,
            400,
            Code::ValidationError,
        ),
        (
            acme.place_order("nobodys", 12_000).await,
            404,
            Code::VehicleNotFound,
        ),
        (
            acme.place_order("lot_1", 12_000).await,
            409,
            Code::DuplicateOrder,
        ),
        (
            acme.place_order("past_1", 12_000).await,
            409,
            Code::PastOrderCutoff,
        ),
        (
            acme.place_order("glovis_1", 12_000).await,
            410,
            Code::VehicleUnavailable,
        ),
        (
            acme.place_order_once(&key_1, "lot_2", 12_000).await,
            422,
            Code::IdempotencyKeyReused,
        ),
    ] {
        reply.refused(status, code);
        document.check("create_order", &reply);
    }
}

async fn check_refused_bodies(acme: &Partner, document: &Document) {
    let post = || acme.ask(Method::POST, "/v1/orders");
    let large = format!("{{\"x\":\"{}\"}}", "x".repeat(70_000));
    for (ask, status, code) in [
        (post().json(&json!({})), 400, Code::MissingIdempotencyKey),
        (post().key("x").json(&json!({})), 400, Code::ValidationError),
        (
            post()
                .key(&key())
                .header("content-type", "application/json")
                .body(large),
            413,
            Code::PayloadTooLarge,
        ),
        (
            post()
                .key(&key())
                .header("content-type", "text/plain")
                .body("{}"),
            415,
            Code::UnsupportedMediaType,
        ),
    ] {
        let reply = ask.send().await;
        reply.refused(status, code);
        document.check("create_order", &reply);
    }
}

async fn check_one_order(service: &Service, acme: &Partner, document: &Document) {
    let list = acme.get("/v1/orders?limit=1").await;
    document.check("list_orders", &list);
    document.check("list_orders", &acme.get("/v1/orders").await);
    document.check(
        "list_orders",
        &acme.get("/v1/orders?from=2026-01-01T00:00:00Z").await,
    );
    document.check("list_orders", &acme.get("/v1/orders?cursor=x").await);
    let id = list.ids().remove(0);
    for (operation, rest) in [
        ("get_order", ""),
        ("get_order_vehicle", "/vehicle"),
        ("list_order_history", "/history"),
    ] {
        let path = format!("/v1/orders/{id}{rest}");
        let reply = acme.get(&path).await;
        reply.ok();
        document.check(operation, &reply);
        document.check(
            operation,
            &acme.get(&format!("/v1/orders/nobodys{rest}")).await,
        );
        if rest != "/history" {
            document.check(
                operation,
                &revalidated(acme, &path, reply.header("etag")).await,
            );
        }
    }
    document.check(
        "list_order_history",
        &acme.get(&format!("/v1/orders/{id}/history?limit=0")).await,
    );
    let key_1 = key();
    for (reply, status) in [
        (acme.cancel_once(&key_1, &id).await, 200),
        (acme.cancel_once(&key_1, &id).await, 200),
        (acme.cancel(&id).await, 409),
        (acme.cancel("nobodys").await, 404),
        (acme.cancel_once(&key_1, "nobodys").await, 422),
        (acme.cancel_once("x", &id).await, 400),
    ] {
        assert_eq!(reply.status, status, "{reply:?}");
        document.check("cancel_order", &reply);
    }
    document.check("get_order", &acme.order(&id).await);
    check_shipped_order(service, acme, document).await;
}

/// Checks an order that ships, with all of its optional members.
async fn check_shipped_order(service: &Service, acme: &Partner, document: &Document) {
    let shipping = acme
        .get("/v1/orders?vehicle_id=lot_1")
        .await
        .ids()
        .remove(0);
    let shipment = ShipmentChange {
        vessel_name: Some(Some("Aurora".to_owned())),
        etd: Some(Timestamp::parse("2026-05-01T08:00:00+09:00").ok()),
        ..ShipmentChange::default()
    };
    let steps = [
        Transition::Acquire,
        secure(11_000, 0),
        Transition::Ship,
        Transition::Shipment(shipment),
    ];
    service.operator().takes(&shipping, &steps).await;
    let report =
        json!({"fulfillment_detail": "in_transit", "occurred_at": "2026-05-02T08:00:00+09:00"});
    acme.report(&shipping, report).await.ok();
    let shipped = acme.order(&shipping).await;
    assert_eq!(shipped.ok()["shipment"]["vessel_name"], "Aurora");
    document.check("get_order", &shipped);
}

/// Checks 422 of every operation that takes an idempotency key, and 413 and 415 of those that take a body.
async fn check_refusals_of_writes(service: &Service, acme: &Partner, document: &Document) {
    service.vehicle(Vehicle::dealers("dealer_3")).await;
    let used = key();
    acme.place_order_once(&used, "dealer_3", None)
        .await
        .created();
    let large = format!("{{\"x\":\"{}\"}}", "x".repeat(70_000));
    let is_write = |it: &&Operation| matches!(it.method, Method::POST | Method::DELETE);
    for operation in document.operations.iter().filter(is_write) {
        let begin = |key: &str| {
            acme.ask(operation.method.clone(), &operation.path())
                .key(key)
        };
        let reused = begin(&used).json(&json!({})).send().await;
        reused.refused(422, Code::IdempotencyKeyReused);
        document.check(&operation.id, &reused);
        if operation.method == Method::DELETE {
            continue;
        }
        let json = begin(&key()).header("content-type", "application/json");
        let (large, text) = (json.body(large.clone()), begin(&key()).body("{}"));
        for (ask, status) in [(large, 413), (text, 415)] {
            let reply = ask.send().await;
            assert_eq!(reply.status, status, "{reply:?}");
            document.check(&operation.id, &reply);
        }
    }
}

/// Checks the operator's steps that a partner takes in the sandbox.
async fn check_the_sandbox(service: &Service, document: &Document) {
    let solo = service.partner("solo").await;
    service.vehicle(Vehicle::lot("lot_8")).await;
    let order = solo.place_order("lot_8", 12_000).await.id();
    service.vehicle(Vehicle::lot("lot_11")).await;
    solo.place_order("lot_11", 12_000).await.created();
    let steps = [
        (
            "reschedule",
            "reschedule_auction",
            json!({"auction_date": "2099-04-20T13:00:00+09:00"}),
        ),
        ("price", "change_price", json!({"listing_usd": 11_000})),
        (
            "auction-result",
            "record_auction_result",
            json!({"result": "won", "price_usd": 12_000, "fee_usd": 0}),
        ),
        ("withdraw", "withdraw_vehicle", json!({})),
    ];
    for (act, operation, body) in &steps {
        let own = match *act {
            "withdraw" => "lot_11",
            _ => "lot_8",
        };
        if *act == "auction-result" {
            service.auction_was_held(own).await;
        }
        for (vehicle, status) in [("nobodys", 404), ("lot_2", 409), (own, 200)] {
            let path = format!("/v1/sandbox/vehicles/{vehicle}/{act}");
            let reply = solo.post(&path, body.clone()).await;
            assert_eq!(reply.status, status, "{reply:?}");
            document.check(operation, &reply);
        }
    }
    let secured = json!({"status": "secured", "purchase_price_usd": 1, "auction_fee_usd": 0});
    for (order, body, status) in [
        ("nobodys", json!({"status": "shipping"}), 404),
        (&order, json!({"status": "shipping"}), 200),
        (
            &order,
            json!({"shipment": {"eta": "2026-10-05T12:00:00+01:00"}}),
            200,
        ),
        (&order, json!({"status": "gone"}), 400),
        (&order, secured, 409),
    ] {
        let reply = solo
            .post(&format!("/v1/orders/{order}/sandbox-status"), body)
            .await;
        assert_eq!(reply.status, status, "{reply:?}");
        document.check("set_sandbox_status", &reply);
    }
    document.check("get_clock", &solo.get("/v1/sandbox/clock").await);
    let advanced = solo
        .post("/v1/sandbox/clock", json!({"advance_seconds": 60}))
        .await;
    document.check("advance_clock", &advanced);
    let reset = solo.ask(Method::DELETE, "/v1/sandbox/clock").key(&key());
    document.check("reset_clock", &reset.send().await);
}

/// Checks the statuses that a partner reports for its order.
async fn check_reports(service: &Service, document: &Document) {
    let solo = service.partner("reporter").await;
    service.vehicle(Vehicle::lot("lot_9")).await;
    let order = solo.place_order("lot_9", 12_000).await.id();
    let at = "2026-09-01T10:30:00+01:00";
    let delivered = json!({"status": "delivered", "occurred_at": at});
    let early = solo.report(&order, delivered.clone()).await;
    service.operator().ships(&order).await;
    for (reply, status) in [
        (early, 409),
        (solo.report("nobodys", delivered.clone()).await, 404),
        (
            solo.report(&order, json!({"status": "secured", "occurred_at": at}))
                .await,
            403,
        ),
        (solo.report(&order, json!({})).await, 400),
        (solo.report(&order, delivered).await, 200),
    ] {
        assert_eq!(reply.status, status, "{reply:?}");
        document.check("report_status", &reply);
    }
}

/// Returns the members of the `data` of an event.
fn data_members(event_type: &str) -> &'static [&'static str] {
    match event_type {
        "order.status_changed" => &["order", "previous_status"],
        "order.fulfillment_updated" => &["order", "previous_fulfillment_detail"],
        "order.auction_rescheduled" => &["order", "previous_auction_date"],
        "order.price_updated" => &["order", "previous_listing_usd", "listing_usd"],
        "order.re_auctioned" => &["order", "new_vehicle_id"],
        "order.amounts_corrected" => &["order", "previous_amounts"],
        _ => &["order"],
    }
}

/// Checks events of every type.
async fn check_events(service: &Service, document: &Document) {
    let solo = service.partner("listener").await;
    let operator = service.operator();
    service.vehicle(Vehicle::lot("lot_10")).await;
    let order = solo.place_order("lot_10", 12_000).await.id();
    operator.reprice("lot_10", 11_000).await.unwrap();
    operator
        .reschedule("lot_10", "2099-04-20T13:00:00+09:00")
        .await
        .unwrap();
    let steps = [
        Transition::Acquire,
        secure(11_000, 0),
        Transition::Ship,
        Transition::Fulfill(FulfillmentDetail::AwaitingPickup),
    ];
    operator.takes(&order, &steps).await;
    let delivered = json!({"status": "delivered", "occurred_at": "2026-09-01T10:30:00+01:00"});
    solo.report(&order, delivered).await.ok();
    operator.relist("lot_2").await.unwrap();
    let list = solo.get("/v1/events?limit=6").await;
    document.check("list_events", &list);
    let all = solo.get("/v1/events").await;
    document.check("list_events", &all);
    let rows = all.json()["data"].as_array().cloned().unwrap();
    let types: BTreeSet<_> = rows.iter().map(|row| row["type"].to_string()).collect();
    assert_eq!(types.len(), 5, "{types:?}");
    for row in &rows {
        let members = row["payload"]["data"].as_object().unwrap().keys();
        let members: BTreeSet<_> = members.map(String::as_str).collect();
        let expected = data_members(row["type"].as_str().unwrap());
        let expected: BTreeSet<_> = expected.iter().copied().collect();
        assert_eq!(members, expected, "{row}");
    }
    document.check("list_events", &solo.get("/v1/events?after=x").await);
    document.check("list_events", &solo.get("/v1/events?type=x").await);
    let of_order = format!("/v1/orders/{order}/events");
    document.check("list_order_events", &solo.get(&of_order).await);
    document.check(
        "list_order_events",
        &solo.get("/v1/orders/nobodys/events").await,
    );
    let path = format!("/v1/events/{}", list.ids().remove(0));
    let event = solo.get(&path).await;
    document.check("get_event", &event);
    document.check(
        "get_event",
        &revalidated(&solo, &path, event.header("etag")).await,
    );
    document.check("get_event", &solo.get("/v1/events/nobodys").await);
    let attempts = solo.get(&format!("{path}/attempts")).await;
    assert_eq!(attempts.ok()["data"], json!([]));
    document.check("list_event_attempts", &attempts);
    let unknown = solo.get("/v1/events/nobodys/attempts").await;
    document.check("list_event_attempts", &unknown);
}

/// Checks a webhook endpoint from its creation to its deletion.
async fn check_webhooks(service: &Service, document: &Document) {
    let solo = service.partner("hooked").await;
    let path = "/v1/webhook_endpoint";
    let put = |body: Value| solo.ask(Method::PUT, path).json(&body).send();
    let url = "http://127.0.0.1:9/lmn";
    service.vehicle(Vehicle::lot("hooked_1")).await;
    let order = solo.place_order("hooked_1", 12_000).await.id();
    service
        .operator()
        .takes(&order, &[Transition::Acquire])
        .await;
    let event = solo.get("/v1/events").await.ids().remove(0);
    let redeliver = format!("/v1/events/{event}/redeliver");
    let (rotate, test) = (format!("{path}/rotate_secret"), format!("{path}/test"));
    let operations = [
        ("rotate_webhook_secret", &rotate, 200),
        ("test_webhook_endpoint", &test, 202),
        ("redeliver_event", &redeliver, 202),
    ];
    for (operation, path, _) in operations {
        let reply = solo.post(path, json!({})).await;
        reply.refused(404, Code::WebhookEndpointNotFound);
        document.check(operation, &reply);
    }
    document.check("get_webhook_endpoint", &solo.get(path).await);
    let large = json!({"url": url, "x": "x".repeat(70_000)});
    let plain = solo
        .ask(Method::PUT, path)
        .header("content-type", "text/plain");
    for (reply, status) in [
        (put(json!({"url": 7, "event_types": []})).await, 400),
        (put(json!({"url": "https://10.0.0.1/"})).await, 400),
        (put(large).await, 413),
        (plain.body("{}").send().await, 415),
        (put(json!({"url": url})).await, 201),
        (
            put(json!({"url": url, "event_types": ["webhook.test"]})).await,
            200,
        ),
    ] {
        assert_eq!(reply.status, status, "{reply:?}");
        document.check("put_webhook_endpoint", &reply);
    }
    let endpoint = solo.get(path).await;
    document.check("get_webhook_endpoint", &endpoint);
    let etag = endpoint.header("etag");
    document.check(
        "get_webhook_endpoint",
        &revalidated(&solo, path, etag).await,
    );
    for (operation, path, status) in operations {
        let key = key();
        for status in [status, 200] {
            let reply = solo.post_once(&key, path, json!({})).await;
            assert_eq!(reply.status, status, "{reply:?}");
            document.check(operation, &reply);
        }
    }
    let tests = solo.get("/v1/events?type=webhook.test").await;
    assert_eq!(tests.ids().len(), 1);
    document.check("list_events", &tests);
    for status in [200, 404] {
        let reply = solo.ask(Method::DELETE, path).key(&key()).send().await;
        assert_eq!(reply.status, status, "{reply:?}");
        document.check("delete_webhook_endpoint", &reply);
    }
}

/// Checks the request log.
async fn check_requests(service: &Service, document: &Document) {
    let solo = service.partner("logged").await;
    let refused = solo.get("/v1/orders?limit=0").await;
    let path = format!("/v1/requests/{}", refused.header("x-request-id"));
    let logged = eventually("the request is logged", async || {
        Some(solo.get(&path).await).filter(|it| it.status == 200)
    })
    .await;
    document.check("get_request", &logged);
    let etag = logged.header("etag");
    document.check("get_request", &revalidated(&solo, &path, etag).await);
    document.check("get_request", &solo.get("/v1/requests/nobodys").await);
    let list = solo.get("/v1/requests?code=validation_error&limit=1").await;
    list.ok();
    document.check("list_requests", &list);
    document.check("list_requests", &solo.get("/v1/requests").await);
    document.check("list_requests", &solo.get("/v1/requests?code=x").await);
}

/// Reads a refused request from the log, with the members that differ between two runs as they are in an example.
async fn read_log(acme: &Partner, path: &str, example: &Value) -> Value {
    let mut body = eventually("the request is logged", async || {
        let reply = acme.get(path).await;
        let is_logged = reply.status == 200 && reply.json()["data"] != json!([]);
        is_logged.then(|| reply.json())
    })
    .await;
    let place = body.get("data").map_or("", |_| "/data/0");
    let row = body.pointer_mut(place).unwrap();
    let shown = example.pointer(place).unwrap();
    for name in ["request_id", "at", "duration_ms", "api_key_prefix"] {
        row[name] = shown[name].clone();
    }
    body
}

/// Adds the vehicle of the examples and sets the time to a day before its auction.
async fn add_example_vehicle(service: &Service) {
    let vehicle = Vehicle {
        trim: Some("Calligraphy 2.5"),
        fuel: Some("gasoline"),
        transmission: Some("auto"),
        color: Some("black"),
        options: &["sunroof", "rear camera"],
        listing_usd: 15_000,
        accident_grade: Some("A"),
        exterior_grade: Some("B"),
        auction_count: Some(1),
        ..Vehicle::lot("glovis_20260420_1064_2345").auction_at("2026-04-20T13:00:00+09:00")
    };
    service.vehicle(vehicle).await;
    service
        .sql(
            r#"update vehicles set drivetrain = 'FWD', engine_cc = 2497, lot_number = '2345',
                first_registered_on = '2021-03-15', location = 'Siheung',
                photos = '{https://cdn.example.com/2345/1.jpg}',
                thumbnail_url = 'https://cdn.example.com/2345/small.jpg',
                inspection = '{"inspected_on":"2026-04-01","summary":"Sound, one scratch.",
                               "items":[{"part":"left front door","finding":"scratch"}]}'"#,
        )
        .await;
    service.time_is("2026-04-10T10:00:00+09:00").await;
}

/// URLs of the endpoint in the examples and of that in the tests.
const ENDPOINTS: [&str; 2] = [
    "https://partner.example/lmn-events",
    "http://127.0.0.1:9/lmn-events",
];

/// Creates the endpoint of the example and deletes it again, because the examples of events belong to a partner
/// without one.
async fn put_example_endpoint(acme: &Partner, mut settings: Value) -> Reply {
    let [public, local] = ENDPOINTS;
    assert_eq!(settings["url"], public);
    settings["url"] = local.into();
    let put = acme
        .ask(Method::PUT, "/v1/webhook_endpoint")
        .json(&settings);
    let mut put = put.send().await;
    let mut body = put.expect(201);
    body["secret"] = "whsec_AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=".into();
    put.body = body.to_string().replace(local, public).into();
    let gone = acme.ask(Method::DELETE, "/v1/webhook_endpoint").key(&key());
    gone.send().await.ok();
    put
}

#[tokio::test]
async fn examples_are_the_responses_of_the_service() {
    let service = Service::with(&[settings::LOCAL_ENDPOINTS]).await;
    let acme = service.partner("acme").await;
    let document = Document::read();
    let content = |id: &str, place: &str| {
        let pointer = format!("{place}/content/application~1json/example");
        document
            .operation(id)
            .members
            .pointer(&pointer)
            .cloned()
            .unwrap_or_default()
    };
    add_example_vehicle(&service).await;
    let placed = acme
        .post("/v1/orders", content("create_order", "/requestBody"))
        .await;
    placed.created();
    let id = placed.id();
    let mut wrong = Vec::new();
    let put = put_example_endpoint(&acme, content("put_webhook_endpoint", "/requestBody")).await;
    // The order is read before the operator's step below changes it.
    let order = acme.order(&id).await;
    let order_history = acme.get(&format!("/v1/orders/{id}/history")).await;
    let orders = acme.get("/v1/orders").await;
    service.operator().takes(&id, &[Transition::Acquire]).await;
    let events = acme.get("/v1/events").await;
    let event_id = events.ids().remove(0);
    let vehicles = acme.get("/v1/vehicles?source=glovis").await;
    let facets = acme.get("/v1/vehicles/facets").await;
    let changed_at = facets.json()["as_of"].to_string();
    let example_changed_at = content("get_facets", "/responses/200")["as_of"].to_string();
    let ok = "/responses/200";
    for (operation, place, reply) in [
        ("create_order", "/responses/201", placed),
        ("get_clock", ok, acme.get("/v1/sandbox/clock").await),
        ("list_events", ok, events),
        (
            "get_event",
            ok,
            acme.get(&format!("/v1/events/{event_id}")).await,
        ),
        ("put_webhook_endpoint", "/responses/201", put),
        ("get_order", ok, order),
        ("list_orders", ok, orders),
        ("list_order_history", ok, order_history),
        (
            "get_order_vehicle",
            ok,
            acme.get(&format!("/v1/orders/{id}/vehicle")).await,
        ),
        (
            "get_vehicle",
            ok,
            acme.get("/v1/vehicles/glovis_20260420_1064_2345").await,
        ),
        ("list_vehicles", ok, vehicles),
        ("get_facets", ok, facets),
    ] {
        let text = reply
            .json()
            .to_string()
            .replace(&id, "01KNVD7K402JY0W9P0X3A6T4QB")
            .replace(&event_id, "evt_01KNVD7K40E1M6R9W0X3A6T4QB")
            .replace(&changed_at, &example_changed_at);
        let answered: Value = serde_json::from_str(&text).unwrap();
        if answered != content(operation, place) {
            wrong.push(format!("{operation} answers\n{answered:#}"));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[tokio::test]
async fn examples_of_the_request_log_are_the_responses_of_the_service() {
    let service = Service::start().await;
    let acme = service.partner("acme").await;
    let document = Document::read();
    service.vehicle(Vehicle::lot("glovis_1")).await;
    let id = acme.place_order("glovis_1", 12_000).await.id();
    let refused = acme.place_order("glovis_1", 12_000).await;
    let one = format!("/v1/requests/{}", refused.header("x-request-id"));
    let list = "/v1/requests?code=duplicate_order";
    for (operation, path) in [("get_request", one.as_str()), ("list_requests", list)] {
        let responses = &document.operation(operation).members["responses"];
        let example = &responses["200"]["content"]["application/json"]["example"];
        let logged = read_log(&acme, path, example).await.to_string();
        let logged = logged.replace(&id, "01KNVD7K402JY0W9P0X3A6T4QB");
        let logged: Value = serde_json::from_str(&logged).unwrap();
        assert_eq!(logged, *example, "{operation}");
    }
}
/// Schemas of responses with members that may be absent: errors differ by their code, events by their type.
const PARTIAL: [&str; 5] = ["Issue", "ErrorBody", "ErrorDetails", "Problem", "EventData"];

#[test]
fn document_is_complete() {
    let document = Document::read();
    let ids: BTreeSet<_> = document.operations.iter().map(|it| &it.id).collect();
    assert_eq!(
        ids.len(),
        document.operations.len(),
        "operation ids are unique"
    );
    check_references(&document, &document.text);
    for operation in &document.operations {
        let id = &operation.id;
        let is_text = |value: &Value| value.as_str().is_some_and(|it| it.len() > 3);
        assert!(is_text(&operation.members["summary"]), "{id}");
        assert!(is_text(&operation.members["description"]), "{id}");
        let statuses = operation.members["responses"].as_object().unwrap().keys();
        let classes: BTreeSet<_> = statuses.map(|it| &it[..1]).collect();
        assert!(classes.is_superset(&["2", "4"].into()), "{id}: {classes:?}");
        for parameter in operation.members["parameters"]
            .as_array()
            .into_iter()
            .flatten()
        {
            let parameter = document.resolve(parameter);
            assert!(
                is_text(&parameter["description"]) && parameter["schema"].is_object(),
                "{id}: {parameter}"
            );
        }
        for (status, response) in operation.members["responses"].as_object().unwrap() {
            let response = document.resolve(response);
            assert!(is_text(&response["description"]), "{id} {status}");
            let number: u16 = status.parse().unwrap();
            for content in response["content"].as_object().into_iter().flatten() {
                check_examples(&document, &format!("{id} {status}"), number, content.1);
            }
            let content = response["content"]["application/json"].as_object();
            let has_example = |it: &serde_json::Map<String, Value>| {
                it.contains_key("example")
                    || it.contains_key("examples")
                    || it["schema"]["type"] == "object"
            };
            assert!(
                content.is_none_or(has_example),
                "{id} {status} has no example"
            );
            assert!(number != 304 || content.is_none());
        }
    }
    for (name, schema) in document.text["components"]["schemas"].as_object().unwrap() {
        let members = schema["properties"].as_object().into_iter().flatten();
        let all: BTreeSet<_> = members.map(|(name, _)| name.as_str()).collect();
        let required = schema["required"].as_array().into_iter().flatten();
        let required: BTreeSet<_> = required.filter_map(Value::as_str).collect();
        let may_lack_members =
            REQUESTS.contains(&name.as_str()) || PARTIAL.contains(&name.as_str());
        assert!(required == all || may_lack_members, "{name}");
        assert!(schema.get("allOf").is_none(), "{name}");
    }
}

/// Checks that every example of a refusal has an error code of its status and matches its schema.
fn check_examples(document: &Document, what: &str, status: u16, content: &Value) {
    for (code, example) in content["examples"].as_object().into_iter().flatten() {
        let row = Code::parse(code).expect("a code of the catalogue").entry();
        assert!(row.statuses.contains(&status), "{what}: {code}");
        let example = &document.resolve(example)["value"];
        let in_envelope = example["error"]
            .get("lmn_code")
            .or(example["error"].get("code"));
        assert_eq!(in_envelope.unwrap_or(&example["code"]), code, "{what}");
        match (example.get("status"), example["error"].get("lmn_code")) {
            (Some(shown), _) => assert_eq!(*shown, status, "{what}"),
            (_, Some(_)) => {
                let name = json!(row.lendfoundry_code(status));
                assert_eq!(example["error"]["code"], name, "{what}");
            }
            (None, None) => {}
        }
        let validator = document.validator(&content["schema"]);
        validator.validate(example).unwrap();
    }
}

#[test]
fn links_lead_to_operations_with_values_from_their_responses() {
    for environment in [Environment::Sandbox, Environment::Production] {
        let document = Document::of(environment, "http://127.0.0.1:8080");
        let mut followed = 0;
        for operation in &document.operations {
            let responses = operation.members["responses"].as_object().unwrap();
            for response in responses.values().map(|it| document.resolve(it)) {
                for link in response["links"].as_object().into_iter().flatten() {
                    follow(&document, response, link.1);
                    followed += 1;
                }
            }
        }
        assert!(followed > 15, "{followed}");
    }
}

/// Checks that the operation of a link exists, and that the response's example has the values that it passes.
fn follow(document: &Document, response: &Value, link: &Value) {
    let target = document.operation(link["operationId"].as_str().unwrap());
    let content = &response["content"]["application/json"];
    let value_of = |expression: &Value| {
        let text = expression.as_str().unwrap().trim_matches(['{', '}']);
        let pointer = text.strip_prefix("$response.body#").unwrap();
        let found = content["example"].pointer(pointer);
        found
            .unwrap_or_else(|| panic!("{link} finds nothing"))
            .clone()
    };
    let parameters = link["parameters"].as_object();
    let passed: BTreeSet<_> = parameters.into_iter().flatten().map(|it| it.0).collect();
    let id = "id".to_owned();
    let needed = target.template.contains("{id}").then_some(&id);
    assert_eq!(passed, needed.into_iter().collect(), "{link}");
    for expression in parameters.into_iter().flatten().map(|it| it.1) {
        assert!(value_of(expression).is_string());
    }
    // Generators take only a text, which no body of this API is.
    assert!(link.get("requestBody").is_none(), "{link}");
}

#[test]
fn event_types_are_all_described_as_webhooks() {
    let document = Document::read();
    let types = &document.text["components"]["schemas"]["EventType"]["x-extensible-enum"];
    let webhooks = document.text["webhooks"].as_object().unwrap();
    let described: BTreeSet<_> = webhooks
        .keys()
        .map(|it| Value::from(it.as_str()))
        .map(|it| it.to_string())
        .collect();
    let known: BTreeSet<_> = types
        .as_array()
        .unwrap()
        .iter()
        .map(Value::to_string)
        .collect();
    assert_eq!(described, known);
}

fn check_references(document: &Document, value: &Value) {
    document.resolve(value);
    match value {
        Value::Object(members) => members
            .values()
            .for_each(|it| check_references(document, it)),
        Value::Array(items) => items.iter().for_each(|it| check_references(document, it)),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
    }
}

/// Calls `check` with every value of the document, and its JSON pointer.
fn walk(value: &Value, pointer: &str, check: &mut impl FnMut(&str, &Value)) {
    check(pointer, value);
    match value {
        Value::Object(members) => {
            for (name, member) in members {
                walk(member, &format!("{pointer}/{name}"), check);
            }
        }
        Value::Array(items) => {
            for (n, item) in items.iter().enumerate() {
                walk(item, &format!("{pointer}/{n}"), check);
            }
        }
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
    }
}

#[test]
fn generators_can_represent_every_schema() {
    for environment in [Environment::Sandbox, Environment::Production] {
        let document = Document::of(environment, "https://api.example.com");
        walk(&document.text, "", &mut |pointer, value| {
            // There is no type for null alone; beside a reference it makes an optional type.
            let is_alternative = pointer.contains("/oneOf/");
            assert!(value["type"] != "null" || is_alternative, "{pointer}");
            // A client would compare its date with the pattern of a string.
            let is_time = value["format"] == "date-time";
            assert!(!is_time || value.get("pattern").is_none(), "{pointer}");
            if let (Some(alternatives), None) = (value["oneOf"].as_array(), value.get("$ref")) {
                let nulls = alternatives.iter().filter(|it| it["type"] == "null");
                assert_eq!((alternatives.len(), nulls.count()), (2, 1), "{pointer}");
            }
        });
        assert_eq!(
            document.text["info"]["license"]["identifier"],
            env!("CARGO_PKG_LICENSE")
        );
    }
}

#[test]
fn components_are_all_used() {
    for environment in [Environment::Sandbox, Environment::Production] {
        let document = Document::of(environment, "https://api.example.com");
        let mut used = BTreeSet::new();
        walk(&document.text, "", &mut |_, value| {
            used.extend(value["$ref"].as_str().map(str::to_owned));
        });
        for (kind, named) in document.text["components"].as_object().unwrap() {
            for name in named.as_object().unwrap().keys() {
                let reference = format!("#/components/{kind}/{name}");
                assert!(
                    kind == "securitySchemes" || used.contains(&reference),
                    "{reference}"
                );
            }
        }
    }
}

#[test]
fn tags_are_declared_and_those_of_deliveries_are_their_own() {
    let document = Document::read();
    let tags = document.text["tags"].as_array().unwrap();
    let declared: BTreeSet<_> = tags.iter().map(|it| it["name"].to_string()).collect();
    let of_operations = document
        .operations
        .iter()
        .map(|it| it.members["tags"][0].to_string());
    let mut used: BTreeSet<_> = of_operations.collect();
    for (name, item) in document.text["webhooks"].as_object().unwrap() {
        let tag = item["post"]["tags"][0].to_string();
        assert_eq!(tag, "\"deliveries\"", "{name}");
        assert!(
            !used.contains(&tag),
            "operations of this server are in a class of their own"
        );
    }
    used.insert("\"deliveries\"".to_owned());
    assert_eq!(used, declared);
}

#[test]
fn placed_order_is_an_order_whose_id_may_be_null() {
    let document = Document::read();
    let schemas = &document.text["components"]["schemas"];
    let (mut placed, order) = (schemas["PlacedOrder"].clone(), schemas["Order"].clone());
    assert_eq!(
        placed["properties"]["id"]["type"],
        json!(["string", "null"])
    );
    assert_eq!(
        order["properties"]["id"]["$ref"],
        "#/components/schemas/OrderId"
    );
    placed["properties"]["id"] = order["properties"]["id"].clone();
    placed["description"] = order["description"].clone();
    assert_eq!(placed, order);
    let responses = &document.operation("create_order").members["responses"];
    for status in ["200", "201"] {
        let schema = &responses[status]["content"]["application/json"]["schema"];
        assert_eq!(*schema, json!({"$ref": "#/components/schemas/PlacedOrder"}));
    }
}

#[test]
fn lists_of_words_are_enums_in_requests_and_open_in_responses() {
    let document = Document::read();
    let schemas = &document.text["components"]["schemas"];
    for (name, schema) in schemas.as_object().unwrap() {
        let is_request = REQUESTS.contains(&name.as_str());
        walk(schema, name, &mut |pointer, value| {
            let is_marked = value.get("x-extensible-enum").is_some();
            assert!(
                !is_marked || !is_request && value.get("enum").is_none(),
                "{pointer}"
            );
        });
    }
    let wanted = &schemas["PutEndpoint"]["properties"]["event_types"]["items"]["enum"];
    assert_eq!(*wanted, schemas["EventType"]["x-extensible-enum"]);
    assert!(schemas["ReportStatus"]["properties"]["status"]["enum"].is_array());
}

#[test]
fn lists_in_a_query_are_repeated_parameters() {
    let document = Document::read();
    let parameters = document
        .operations
        .iter()
        .flat_map(|it| it.members["parameters"].as_array());
    let mut lists = 0;
    for parameter in parameters.flatten().map(|it| document.resolve(it)) {
        if parameter["schema"]["type"] == "array" {
            assert_eq!(
                (&parameter["style"], &parameter["explode"]),
                (&json!("form"), &json!(true))
            );
            lists += 1;
        }
    }
    assert!(lists > 10, "{lists}");
}

#[test]
fn examples_of_parameters_and_bodies_match_their_schemas() {
    let document = Document::read();
    let mut checked = 0;
    for operation in &document.operations {
        let parameters = operation.members["parameters"]
            .as_array()
            .into_iter()
            .flatten();
        let body = &operation.members["requestBody"]["content"]["application/json"];
        let described = parameters.map(|it| document.resolve(it)).chain([body]);
        for it in described.filter(|it| it.get("example").is_some()) {
            document
                .validator(&it["schema"])
                .validate(&it["example"])
                .unwrap();
            checked += 1;
        }
        let ids = operation.members["parameters"]
            .as_array()
            .into_iter()
            .flatten();
        let without = ids.filter(|it| it["in"] == "path" && it.get("example").is_none());
        let names: Vec<_> = without.map(|it| it["name"].clone()).collect();
        assert!(
            names.is_empty() || operation.id == "get_error",
            "{operation:?}"
        );
    }
    assert!(checked > 20, "{checked}");
}

#[tokio::test]
async fn example_of_a_vehicle_list_is_accepted() {
    let service = Service::start().await;
    let acme = service.partner("acme").await;
    service.vehicle(Vehicle::lot("glovis_1")).await;
    let document = Document::read();
    let parameters = &document.operation("list_vehicles").members["parameters"];
    let pairs = parameters.as_array().unwrap().iter().flat_map(|it| {
        let name = it["name"].as_str().unwrap_or_default();
        let values = match &it["example"] {
            Value::Array(items) => items.clone(),
            Value::Null => Vec::new(),
            value @ (Value::Bool(_) | Value::Number(_) | Value::String(_) | Value::Object(_)) => {
                vec![value.clone()]
            }
        };
        let pair = move |value: &Value| format!("{name}={}", value.as_str().unwrap());
        values.iter().map(pair).collect::<Vec<_>>()
    });
    let query = pairs.collect::<Vec<_>>().join("&");
    assert!(
        query.contains("orderable=true") && query.contains("source=sk"),
        "{query}"
    );
    let list = acme.get(&format!("/v1/vehicles?{query}")).await;
    assert_eq!(list.ids(), ["glovis_1"]);
}

#[test]
fn schemas_of_times_and_amounts_are_exact() {
    let document = Document::read();
    let schemas = &document.text["components"]["schemas"];
    let is = |name: &str, value: Value| {
        let schema = match name {
            "Timestamp" => &schemas["ReportStatus"]["properties"]["occurred_at"],
            _ => &schemas[name],
        };
        document.validator(schema).is_valid(&value)
    };
    for (text, fits) in [
        ("2026-04-20T13:00:00+09:00", true),
        ("2026-04-20T13:00:00.250-03:30", true),
        ("2026-04-20T13:00:00Z", false),
        ("2026-04-20T13:00:00", false),
        ("2026-04-20T13:00:00.25+09:00", true),
        ("2026-04-20T13:00:00.+09:00", false),
    ] {
        assert_eq!(is("Timestamp", text.into()), fits, "{text}");
    }
    for (number, fits) in [
        (json!(1), true),
        (json!(10_000_000), true),
        (json!(0), false),
        (json!(10_000_001), false),
        (json!(1.5), false),
    ] {
        assert_eq!(is("Usd", number.clone()), fits, "{number}");
    }
}
