//! Dry runs: they make every check of an order and store nothing.

use lmn_partner_api::errors::catalogue::Code;
use reqwest::Method;
use serde_json::json;

use crate::support::{Partner, Reply, Service, Vehicle, key};

impl Partner {
    /// Makes a dry run of an order with a given key.
    async fn dry_run_order(&self, key: &str, vehicle_id: &str, max_bid: Option<i64>) -> Reply {
        let body = json!({"vehicle_id": vehicle_id, "max_bid_amount_usd": max_bid});
        self.post_once(key, "/v1/orders?dry_run=true", body).await
    }
}

/// Returns the number of rows in the tables that an order or a key is written to.
async fn stored_rows(service: &Service) -> i64 {
    service
        .count(
            "select (select count(*) from orders) + (select count(*) from idempotency_keys)
                  + (select count(*) from order_history) + (select count(*) from audit_log)",
        )
        .await
}

#[tokio::test]
async fn dry_run_returns_the_order_and_stores_nothing() {
    let service = Service::start().await;
    let (acme, rival) = (
        service.partner("acme").await,
        service.partner("rival").await,
    );
    service.vehicle(Vehicle::lot("glovis_1")).await;
    rival.place_order("glovis_1", 20_000).await.created();
    let before = stored_rows(&service).await;

    let key = key();
    let dry_run = acme.dry_run_order(&key, "glovis_1", Some(12_000)).await;
    let order = dry_run.ok();
    assert_eq!(dry_run.outcome(), ("unbound", "false"));
    assert_eq!(dry_run.header("location"), "");
    for name in ["id", "is_highest_bid", "current_max_bid_usd"] {
        assert!(order[name].is_null(), "{name}: {order}");
    }
    assert_eq!(stored_rows(&service).await, before);

    // The key is still unused, and the order placed with it equals the dry run.
    let placed = acme.place_order_once(&key, "glovis_1", 12_000).await;
    let mut placed = placed.created();
    for name in [
        "id",
        "is_highest_bid",
        "current_max_bid_usd",
        "created_at",
        "updated_at",
    ] {
        placed[name] = order[name].clone();
    }
    assert_eq!(placed, order);
}

#[tokio::test]
async fn dry_run_is_refused_as_the_order_would_be() {
    let service = Service::start().await;
    let acme = service.partner("acme").await;
    service.vehicle(Vehicle::lot("glovis_1")).await;
    service.vehicle(Vehicle::dealers("encar_1")).await;
    service
        .vehicle(Vehicle::lot("glovis_2").auction_in_hours(1))
        .await;
    let dry_run = async |id: &str, bid| acme.dry_run_order(&key(), id, bid).await;
    dry_run("glovis_9", Some(12_000))
        .await
        .refused(404, Code::VehicleNotFound);
    dry_run("glovis_1", None)
        .await
        .refused(400, Code::MissingMaxBid);
    dry_run("glovis_2", Some(12_000))
        .await
        .refused(409, Code::PastOrderCutoff);
    assert_eq!(
        dry_run("encar_1", Some(1)).await.issues(),
        [("max_bid_amount_usd".into(), "INVALID_VALUE".into())]
    );
    dry_run("encar_1", None).await.ok();
    acme.place_order("glovis_1", 12_000).await.created();
    let late = dry_run("glovis_1", Some(12_000)).await;
    late.refused(409, Code::DuplicateOrder);
    assert_eq!(late.outcome(), ("unbound", "false"));

    let keyless = acme.ask(Method::POST, "/v1/orders?dry_run=true");
    let body = json!({"vehicle_id": "encar_1"});
    let keyless = keyless.json(&body).send().await;
    keyless.refused(400, Code::MissingIdempotencyKey);
}

#[tokio::test]
async fn idempotency_key_of_a_placed_order_is_refused_for_a_dry_run() {
    let service = Service::start().await;
    let acme = service.partner("acme").await;
    service.vehicle(Vehicle::lot("glovis_1")).await;
    let key = key();
    acme.place_order_once(&key, "glovis_1", 12_000)
        .await
        .created();
    let dry_run = acme.dry_run_order(&key, "glovis_1", Some(12_000)).await;
    let details = dry_run.refused(422, Code::IdempotencyKeyReused);
    assert_eq!(details["mismatch"], json!(["query"]));
}

#[tokio::test]
async fn dry_run_takes_true_or_false_and_only_when_placing_an_order() {
    let service = Service::start().await;
    let acme = service.partner("acme").await;
    service.vehicle(Vehicle::lot("glovis_1")).await;
    let wrong = [("dry_run".to_owned(), "INVALID_VALUE".to_owned())];
    let body = json!({"vehicle_id": "glovis_1", "max_bid_amount_usd": 12_000});
    for value in ["", "1", "TRUE", "yes"] {
        let path = format!("/v1/orders?dry_run={value}");
        assert_eq!(acme.post(&path, body.clone()).await.issues(), wrong);
    }
    let doubled = acme.post("/v1/orders?dry_run=true&dry_run=true", json!({}));
    assert_eq!(
        doubled.await.issues(),
        [
            ("dry_run".into(), "DUPLICATE".into()),
            ("vehicle_id".into(), "REQUIRED_FIELD_MISSING".into())
        ]
    );
    let placed = acme.post("/v1/orders?dry_run=false", body).await;
    placed.created();
    let order = format!("/v1/orders/{}", placed.id());
    for path in [
        "/v1/orders",
        "/v1/vehicles/glovis_1",
        &order,
        &format!("{order}/vehicle"),
        &format!("{order}/history"),
    ] {
        let reply = acme.get(&format!("{path}?dry_run=false")).await;
        assert_eq!(reply.issues(), wrong, "{path}");
    }
    let delete = acme.ask(Method::DELETE, &format!("{order}?dry_run=true"));
    assert_eq!(delete.key(&key()).send().await.issues(), wrong);
    assert_eq!(acme.order(&placed.id()).await.ok()["status"], "proceed");
}
