//! Idempotency keys: a key is used for one write, whatever happens to its requests.

use std::time::Duration;

use lmn_partner_api::errors::catalogue::Code;
use reqwest::Method;
use serde_json::json;
use tokio::{io::AsyncWriteExt, net::TcpStream};

use crate::support::{
    Service, Vehicle, key, settings, wait_for_blocked_session, wait_for_no_blocked_session,
};

#[tokio::test]
async fn reply_to_the_same_request_is_replayed_byte_for_byte() {
    let service = Service::start().await;
    let acme = service.partner("acme").await;
    service.vehicle(Vehicle::lot("glovis_1")).await;
    let key = key();
    let first = acme.place_order_once(&key, "glovis_1", 12_000).await;
    first.created();
    for spelling in [
        r#"{"vehicle_id":"glovis_1","max_bid_amount_usd":12000}"#,
        r#" { "max_bid_amount_usd" : 12000, "vehicle_id" : "glovis\u005f1" } "#,
    ] {
        let again = acme
            .ask(Method::POST, "/v1/orders")
            .key(&key.to_uppercase());
        let again = again
            .header("content-type", "application/json")
            .body(spelling)
            .send()
            .await;
        again.replays(&first);
        assert_eq!(again.header("location"), first.header("location"));
    }
    // The stored reply does not change with the order.
    acme.cancel(&first.id()).await.ok();
    acme.place_order_once(&key, "glovis_1", 12_000)
        .await
        .replays(&first);
    assert_eq!(service.order_count().await, 1);
}

#[tokio::test]
async fn idempotency_key_reused_for_another_request_is_refused() {
    let service = Service::start().await;
    let acme = service.partner("acme").await;
    service.vehicle(Vehicle::lot("glovis_1")).await;
    service.vehicle(Vehicle::lot("glovis_2")).await;
    let key = key();
    let order = acme.place_order_once(&key, "glovis_1", 12_000).await;
    order.created();
    for (mismatch, reply) in [
        (
            vec!["vehicle_id"],
            acme.place_order_once(&key, "glovis_2", 12_000).await,
        ),
        (
            vec!["max_bid_amount_usd"],
            acme.place_order_once(&key, "glovis_1", 12_001).await,
        ),
        (
            vec!["vehicle_id", "max_bid_amount_usd", "body"],
            acme.post_once(&key, "/v1/orders", json!({"note": 1})).await,
        ),
        (
            vec!["query"],
            acme.post_once(
                &key,
                "/v1/orders?a=b",
                json!({"vehicle_id": "glovis_1", "max_bid_amount_usd": 12_000}),
            )
            .await,
        ),
        (
            vec!["method", "path", "vehicle_id", "max_bid_amount_usd"],
            acme.cancel_once(&key, &order.id()).await,
        ),
    ] {
        let details = reply.refused(422, Code::IdempotencyKeyReused);
        assert_eq!(
            details,
            json!({"original_vehicle_id": "glovis_1", "mismatch": mismatch})
        );
        assert_eq!(reply.outcome(), ("conflict", "false"));
    }
    assert_eq!(service.order_count_in("proceed").await, 1);
}

#[tokio::test]
async fn idempotency_key_is_required_and_must_be_one_uuid() {
    let service = Service::start().await;
    let acme = service.partner("acme").await;
    for (method, path) in [
        (Method::POST, "/v1/orders"),
        (Method::DELETE, "/v1/orders/x"),
    ] {
        let reply = acme.ask(method.clone(), path).send().await;
        reply.refused(400, Code::MissingIdempotencyKey);
        assert_eq!(reply.outcome(), ("", ""));
        acme.ask(method.clone(), path)
            .key("")
            .send()
            .await
            .refused(400, Code::MissingIdempotencyKey);
        let reply = acme
            .ask(method.clone(), path)
            .key("018f-not-a-key")
            .send()
            .await;
        assert_eq!(
            reply.issues(),
            [("Idempotency-Key".into(), "INVALID_FORMAT".into())]
        );
        let two = acme.ask(method, path).key(&key()).key(&key()).send().await;
        assert_eq!(
            two.issues(),
            [("Idempotency-Key".into(), "DUPLICATE".into())]
        );
    }
}

#[tokio::test]
async fn refused_request_leaves_its_key_free() {
    let service = Service::start().await;
    let acme = service.partner("acme").await;
    let key = key();
    let refused = acme.place_order_once(&key, "glovis_1", 12_000).await;
    refused.refused(404, Code::VehicleNotFound);
    assert_eq!(refused.outcome(), ("unbound", "false"));
    service.vehicle(Vehicle::lot("glovis_1")).await;
    let too_low = acme.place_order_once(&key, "glovis_1", 9_000).await;
    too_low.refused(400, Code::MissingMaxBid);
    acme.place_order_once(&key, "glovis_1", 12_000)
        .await
        .created();
}

#[tokio::test]
async fn order_of_a_key_can_be_looked_up_by_the_key() {
    let service = Service::start().await;
    let (acme, rival) = (
        service.partner("acme").await,
        service.partner("rival").await,
    );
    service.vehicle(Vehicle::lot("glovis_1")).await;
    let (placing, cancelling) = (key(), key());
    let look_up = |key: &str| format!("/v1/orders?idempotency_key={key}");
    assert_eq!(acme.get(&look_up(&placing)).await.ids(), [""; 0]);
    let order = acme
        .place_order_once(&placing, "glovis_1", 12_000)
        .await
        .id();
    acme.cancel_once(&cancelling, &order).await.ok();
    for key in [&placing, &cancelling] {
        let found = acme.get(&look_up(key)).await;
        assert_eq!(found.ids(), [order.as_str()]);
        assert!(found.json()["next_cursor"].is_null());
        assert_eq!(rival.get(&look_up(key)).await.ids(), [""; 0]);
    }
    let issues = acme.get(&look_up("nonsense")).await.issues();
    assert_eq!(
        issues,
        [("idempotency_key".into(), "INVALID_FORMAT".into())]
    );
    // Keys are scoped by partner: another partner can use the same key for another order.
    rival
        .place_order_once(&placing, "glovis_1", 13_000)
        .await
        .created();
}

#[tokio::test]
async fn delete_is_replayed_and_its_body_ignored() {
    let service = Service::start().await;
    let acme = service.partner("acme").await;
    service.vehicle(Vehicle::lot("glovis_1")).await;
    let order = acme.place_order("glovis_1", 12_000).await.id();
    let key = key();
    let first = acme.cancel_once(&key, &order).await;
    assert_eq!(first.ok()["status"], "cancelled");
    let path = format!("/v1/orders/{order}");
    let again = acme
        .ask(Method::DELETE, &path)
        .key(&key)
        .body("ignored")
        .send()
        .await;
    again.replays(&first);
}

#[tokio::test]
async fn simultaneous_requests_with_one_key_make_one_order() {
    let service = Service::start().await;
    let acme = service.partner("acme").await;
    service.vehicle(Vehicle::lot("glovis_1")).await;
    let key = key();
    let racers: Vec<_> = (0..16)
        .map(|_| {
            let (acme, key) = (acme.clone(), key.clone());
            tokio::spawn(async move { acme.place_order_once(&key, "glovis_1", 12_000).await })
        })
        .collect();
    let mut replies = Vec::new();
    for racer in racers {
        replies.push(racer.await.unwrap());
    }
    let first = replies
        .iter()
        .position(|reply| reply.status == 201)
        .expect("one request is first");
    let first = replies.swap_remove(first);
    first.created();
    replies.iter().for_each(|reply| reply.replays(&first));
    assert_eq!(service.order_count().await, 1);
}

#[tokio::test]
async fn request_whose_caller_hangs_up_leaves_its_key_free() {
    let service = Service::start().await;
    let acme = service.partner("acme").await;
    service.vehicle(Vehicle::lot("glovis_1")).await;
    let key = key();

    // Another transaction holds the vehicle, so the order waits in the middle of its own.
    let holder = service.lock_vehicles().await;
    let body = r#"{"vehicle_id":"glovis_1","max_bid_amount_usd":12000}"#;
    let mut socket = TcpStream::connect(service.url.trim_start_matches("http://"))
        .await
        .unwrap();
    let request = format!(
        "POST /v1/orders HTTP/1.1\r\nhost: x\r\nx-api-key: {}\r\nidempotency-key: {key}\r\n\
         content-type: application/json\r\ncontent-length: {}\r\n\r\n{body}",
        acme.api_key,
        body.len()
    );
    socket.write_all(request.as_bytes()).await.unwrap();
    wait_for_blocked_session(service.db()).await;
    drop(socket);
    wait_for_no_blocked_session(service.db()).await;
    holder.rollback().await.unwrap();

    assert_eq!(service.key_count().await, 0);
    acme.place_order_once(&key, "glovis_1", 12_000)
        .await
        .created();
    assert_eq!(service.order_count().await, 1);
}

#[tokio::test]
async fn wait_for_a_key_in_flight_is_bounded() {
    let service = Service::with(&[settings::lock_seconds(1)]).await;
    let acme = service.partner("acme").await;
    service.vehicle(Vehicle::lot("glovis_1")).await;
    let key = key();
    let mut holder = service.db().begin().await.unwrap();
    sqlx::query("insert into idempotency_keys (partner_id, key, fingerprint) values ($1, $2::uuid, repeat('x', 96)::bytea)")
        .bind(acme.id)
        .bind(&key)
        .execute(&mut *holder)
        .await
        .unwrap();
    let in_flight = tokio::time::timeout(
        Duration::from_secs(9),
        acme.place_order_once(&key, "glovis_1", 12_000),
    );
    let reply = in_flight.await.expect("the wait is bounded");
    reply.refused(503, Code::ServiceUnavailable);
    assert_eq!(reply.outcome(), ("unknown", "false"));
    assert!(!reply.header("retry-after").is_empty());
    holder.rollback().await.unwrap();
    acme.place_order_once(&key, "glovis_1", 12_000)
        .await
        .created();
}
