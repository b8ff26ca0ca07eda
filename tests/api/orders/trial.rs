//! Dry runs: every check and every refusal, and nothing done.

use lmn_partner_api::error::catalogue::Code;
use reqwest::Method;
use serde_json::json;

use crate::support::{Car, Partner, Reply, Service, key};

impl Partner {
    /// Tries an order with a given key.
    async fn try_order(&self, key: &str, vehicle_id: &str, max_bid: Option<i64>) -> Reply {
        let body = json!({"vehicle_id": vehicle_id, "max_bid_amount_usd": max_bid});
        self.post_once(key, "/v1/orders?dry_run=true", body).await
    }
}

/// Everything that an order or a key would leave behind.
async fn traces(service: &Service) -> i64 {
    service
        .count(
            "select (select count(*) from orders) + (select count(*) from idempotency_keys)
                  + (select count(*) from order_history) + (select count(*) from audit_log)",
        )
        .await
}

#[tokio::test]
async fn a_dry_run_shows_the_order_and_leaves_nothing() {
    let service = Service::start().await;
    let (acme, rival) = (
        service.partner("acme").await,
        service.partner("rival").await,
    );
    service.car(Car::lot("glovis_1")).await;
    rival.place_order("glovis_1", 20_000).await.created();
    let before = traces(&service).await;

    let key = key();
    let trial = acme.try_order(&key, "glovis_1", Some(12_000)).await;
    let order = trial.ok();
    assert_eq!(trial.outcome(), ("unbound", "false"));
    assert_eq!(trial.header("location"), "");
    for rivals in ["id", "is_highest_bid", "current_max_bid_usd"] {
        assert!(order[rivals].is_null(), "{rivals}: {order}");
    }
    assert_eq!(traces(&service).await, before);

    // The key is free, and the order comes out as it was shown.
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
async fn a_dry_run_is_refused_as_the_order_would_be() {
    let service = Service::start().await;
    let acme = service.partner("acme").await;
    service.car(Car::lot("glovis_1")).await;
    service.car(Car::dealers("encar_1")).await;
    service
        .car(Car::lot("glovis_2").on("now() + interval '1 hour'"))
        .await;
    let trial = async |id: &str, bid| acme.try_order(&key(), id, bid).await;
    trial("glovis_9", Some(12_000))
        .await
        .refused(404, Code::VehicleNotFound);
    trial("glovis_1", None)
        .await
        .refused(400, Code::MissingMaxBid);
    trial("glovis_2", Some(12_000))
        .await
        .refused(409, Code::PastOrderCutoff);
    assert_eq!(
        trial("encar_1", Some(1)).await.issues(),
        [("max_bid_amount_usd".into(), "INVALID_VALUE".into())]
    );
    trial("encar_1", None).await.ok();
    acme.place_order("glovis_1", 12_000).await.created();
    let late = trial("glovis_1", Some(12_000)).await;
    late.refused(409, Code::DuplicateOrder);
    assert_eq!(late.outcome(), ("unbound", "false"));

    let keyless = acme.ask(Method::POST, "/v1/orders?dry_run=true");
    let body = json!({"vehicle_id": "encar_1"});
    let keyless = keyless.json(&body).send().await;
    keyless.refused(400, Code::MissingIdempotencyKey);
}

#[tokio::test]
async fn a_key_that_did_something_is_not_free_for_a_dry_run() {
    let service = Service::start().await;
    let acme = service.partner("acme").await;
    service.car(Car::lot("glovis_1")).await;
    let key = key();
    acme.place_order_once(&key, "glovis_1", 12_000)
        .await
        .created();
    let trial = acme.try_order(&key, "glovis_1", Some(12_000)).await;
    let details = trial.refused(422, Code::IdempotencyKeyReused);
    assert_eq!(details["mismatch"], json!(["query"]));
}

#[tokio::test]
async fn a_dry_run_is_true_or_false_and_only_of_an_order() {
    let service = Service::start().await;
    let acme = service.partner("acme").await;
    service.car(Car::lot("glovis_1")).await;
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
