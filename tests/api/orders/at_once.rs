//! Placing an order in one round trip, and under the vehicle's lock where a premise does not hold.

use std::sync::{
    Arc,
    atomic::{AtomicUsize, Ordering},
};

use lmn_partner_api::{errors::catalogue::Code, router::router};
use serde_json::json;

use crate::{
    database::TestDatabase,
    support::{Service, Vehicle, eventually, key, settings, wait_for_blocked_session},
    wire::{self, Fault, Moment},
};

/// A service whose transactions on the database are counted: each begin and each commit.
struct CountingService {
    service: Service,
    round_trips: Arc<AtomicUsize>,
}

impl CountingService {
    async fn start() -> Self {
        let (database, round_trips) = (TestDatabase::new().await, Arc::new(AtomicUsize::new(0)));
        let counting = round_trips.clone();
        let url = wire::string(&database, move |moment| {
            // Plain statements are not counted: the heartbeat makes them all the time.
            if matches!(moment, Moment::Begin | Moment::Commit) {
                counting.fetch_add(1, Ordering::SeqCst);
            }
            Fault::None
        });
        let url = url.await;
        // The request log, which commits by itself, is not written meanwhile.
        let settings = [settings::request_log_flush_milliseconds(60_000)];
        let service = Service::at(database, &url, &settings, router).await;
        Self {
            service,
            round_trips,
        }
    }

    fn round_trips(&self) -> usize {
        self.round_trips.swap(0, Ordering::SeqCst)
    }
}

#[tokio::test]
async fn order_takes_one_transaction_of_one_statement_and_its_replay_none() {
    let counting = CountingService::start().await;
    let service = &counting.service;
    let acme = service.partner("acme").await;
    service.vehicle(Vehicle::lot("glovis_1")).await;
    service.vehicle(Vehicle::lot("glovis_2")).await;
    acme.place_order("glovis_1", 12_000).await.created();
    counting.round_trips();
    let key = key();
    let first = acme.place_order_once(&key, "glovis_2", 12_000).await;
    first.created();
    assert_eq!(first.outcome(), ("bound", "false"));
    assert_eq!(
        counting.round_trips(),
        1,
        "a commit of its own, and no beginning"
    );
    acme.place_order_once(&key, "glovis_2", 12_000)
        .await
        .replays(&first);
    let reused = acme.place_order_once(&key, "glovis_1", 12_000).await;
    reused.refused(422, Code::IdempotencyKeyReused);
    // The key is read by its primary key, and not bound again.
    assert_eq!(counting.round_trips(), 0);
    assert_eq!(service.key_count().await, 2);
}

#[tokio::test]
async fn bid_above_all_rivals_is_placed_at_once_and_any_other_under_the_lock() {
    let counting = CountingService::start().await;
    let service = &counting.service;
    let (acme, rival, third) = (
        service.partner("acme").await,
        service.partner("rival").await,
        service.partner("third").await,
    );
    service.vehicle(Vehicle::lot("glovis_1")).await;
    let first = acme.place_order("glovis_1", 12_000).await;
    counting.round_trips();
    let higher = rival.place_order("glovis_1", 13_000).await.created();
    assert_eq!(counting.round_trips(), 1);
    assert_eq!(
        (&higher["is_highest_bid"], &higher["current_max_bid_usd"]),
        (&json!(true), &json!(13_000))
    );
    let equal = third.place_order("glovis_1", 13_000).await.created();
    assert_eq!(
        counting.round_trips(),
        3,
        "tried at once, then a beginning and a commit"
    );
    assert_eq!(
        (&equal["is_highest_bid"], &equal["current_max_bid_usd"]),
        (&json!(false), &json!(13_000))
    );
    let outbid = acme.order(&first.id()).await.ok();
    assert_eq!(
        (&outbid["is_highest_bid"], &outbid["current_max_bid_usd"]),
        (&json!(false), &json!(13_000))
    );
    let contested = "select count(*) from orders where is_contested";
    assert_eq!(service.count(contested).await, 3);
}

#[tokio::test]
async fn order_decided_on_a_changed_vehicle_is_decided_again() {
    let service = Service::start().await;
    let (acme, rival) = (
        service.partner("acme").await,
        service.partner("rival").await,
    );
    service.vehicle(Vehicle::lot("glovis_1")).await;
    acme.place_order("glovis_1", 12_000).await.created();
    let operator = service.operator();
    operator.reprice("glovis_1", 15_000).await.unwrap();
    let details = rival
        .place_order("glovis_1", 14_000)
        .await
        .refused(400, Code::MissingMaxBid);
    assert_eq!(details, json!({"listing_usd": 15_000, "received": 14_000}));
    let placed = rival.place_order("glovis_1", 16_000).await;
    placed.created();
    let snapshot = rival
        .get(&format!("/v1/orders/{}/vehicle", placed.id()))
        .await;
    assert_eq!(snapshot.ok()["pricing"]["listing_usd"], 15_000);
    assert_eq!(snapshot.body, rival.get("/v1/vehicles/glovis_1").await.body);
    operator.withdraw("glovis_1").await.unwrap();
    let third = service.partner("third").await;
    third
        .place_order("glovis_1", 16_000)
        .await
        .refused(410, Code::VehicleUnavailable);
}

#[tokio::test]
async fn order_that_waited_for_its_vehicle_sees_concurrent_changes() {
    let service = Service::start().await;
    let (acme, rival) = (
        service.partner("acme").await,
        service.partner("rival").await,
    );
    service.vehicle(Vehicle::lot("glovis_1")).await;
    let first = acme.place_order("glovis_1", 12_000).await;
    acme.cancel(&first.id()).await.ok();
    for (what, change, expected) in [
        (
            "its price has risen",
            "update vehicles set listing_usd = 13000",
            Code::MissingMaxBid,
        ),
        (
            "it is withdrawn",
            "update vehicles set withdrawn_at = now()",
            Code::VehicleUnavailable,
        ),
    ] {
        let mut holder = service.lock_vehicles().await;
        let late = {
            let rival = rival.clone();
            tokio::spawn(async move { rival.place_order("glovis_1", 12_000).await })
        };
        wait_for_blocked_session(service.db()).await;
        sqlx::query(change).execute(&mut *holder).await.unwrap();
        holder.commit().await.unwrap();
        let reply = late.await.unwrap();
        assert_eq!(reply.json()["error"]["code"], expected.as_str(), "{what}");
    }
    assert_eq!(service.order_count().await, 1);
}

#[tokio::test]
async fn order_that_waits_past_its_cutoff_is_refused() {
    let counting = CountingService::start().await;
    let service = &counting.service;
    let acme = service.partner("acme").await;
    let lot = |id: &str| Vehicle::lot(id).auction_at("2026-04-20T13:00:00+09:00");
    service.vehicle(lot("glovis_1")).await;
    service.time_is("2026-04-18T23:59:59.999+09:00").await;
    let mut n = 1;
    eventually(
        "the replica hears the time, and decides by it",
        async || {
            n += 1;
            let other = service.vehicle(lot(&format!("glovis_{n}"))).await;
            counting.round_trips();
            acme.place_order(&other.id, 12_000).await.created();
            (counting.round_trips() == 1).then_some(())
        },
    )
    .await;
    let holder = service.lock_vehicles().await;
    let late = {
        let acme = acme.clone();
        tokio::spawn(async move { acme.place_order("glovis_1", 12_000).await })
    };
    wait_for_blocked_session(service.db()).await;
    let midnight = "2026-04-19T00:00:00+09:00";
    service.time_is(midnight).await;
    holder.rollback().await.unwrap();
    let details = late.await.unwrap().refused(409, Code::PastOrderCutoff);
    assert_eq!(details, json!({"cutoff_at": midnight, "now": midnight}));
}

#[tokio::test]
async fn disconnect_while_placing_leaves_at_most_one_order_and_a_usable_key() {
    let service = Service::start().await;
    let acme = service.partner("acme").await;
    service.vehicle(Vehicle::lot("glovis_1")).await;
    let holder = service.lock_vehicles().await;
    let key = key();
    let request = {
        let (acme, key) = (acme.clone(), key.clone());
        tokio::spawn(async move { acme.place_order_once(&key, "glovis_1", 12_000).await })
    };
    wait_for_blocked_session(service.db()).await;
    request.abort();
    holder.rollback().await.unwrap();
    let reply = eventually("the request with the key succeeds", async || {
        let reply = acme.place_order_once(&key, "glovis_1", 12_000).await;
        (reply.status < 300).then_some(reply)
    })
    .await;
    let found = acme
        .get(&format!("/v1/orders?idempotency_key={key}"))
        .await
        .ok();
    assert_eq!(found["data"][0]["id"].as_str().unwrap(), reply.id());
    assert_eq!(service.order_count().await, 1);
}

#[tokio::test]
async fn sandbox_clock_change_applies_to_the_next_order() {
    let service = Service::start().await;
    let acme = service.partner("acme").await;
    service.vehicle(Vehicle::lot("glovis_1")).await;
    service.vehicle(Vehicle::lot("glovis_2")).await;
    acme.place_order("glovis_1", 12_000).await.created();
    let clock = acme.wait(3_600).await;
    let order = acme.place_order("glovis_2", 12_000).await.created();
    let at = |text: &serde_json::Value| {
        chrono::DateTime::parse_from_rfc3339(text.as_str().unwrap()).unwrap()
    };
    assert!(at(&order["created_at"]) >= at(&clock["now"]));
}
