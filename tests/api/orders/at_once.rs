//! Placing at once: one round trip where nothing is in doubt, and the vehicle's lock where something is.

use std::sync::{
    Arc,
    atomic::{AtomicUsize, Ordering},
};

use lmn_partner_api::{error::catalogue::Code, router::router};
use serde_json::json;

use crate::{
    database::TestDatabase,
    support::{Car, Service, eventually, key, somebody_waits},
    wire::{self, Fault, Moment},
};

/// A service whose round trips to the database are counted.
struct Counted {
    service: Service,
    trips: Arc<AtomicUsize>,
}

impl Counted {
    async fn start() -> Self {
        let (database, trips) = (TestDatabase::new().await, Arc::new(AtomicUsize::new(0)));
        let counted = trips.clone();
        let url = wire::string(&database, move |moment| {
            // Of the heartbeat, which asks all the time, nothing is counted.
            if matches!(moment, Moment::Begin | Moment::Commit) {
                counted.fetch_add(1, Ordering::SeqCst);
            }
            Fault::None
        });
        let url = url.await;
        let service = Service::at(database, &url, &[], router).await;
        Self { service, trips }
    }

    fn trips(&self) -> usize {
        self.trips.swap(0, Ordering::SeqCst)
    }
}

#[tokio::test]
async fn order_and_its_replay_take_one_transaction_of_one_statement() {
    let counted = Counted::start().await;
    let service = &counted.service;
    let acme = service.partner("acme").await;
    service.car(Car::lot("glovis_1")).await;
    service.car(Car::lot("glovis_2")).await;
    acme.place_order("glovis_1", 12_000).await.created();
    counted.trips();
    let key = key();
    let first = acme.place_order_once(&key, "glovis_2", 12_000).await;
    first.created();
    assert_eq!(first.outcome(), ("bound", "false"));
    assert_eq!(counted.trips(), 1, "a commit of its own, and no beginning");
    acme.place_order_once(&key, "glovis_2", 12_000)
        .await
        .replays(&first);
    let reused = acme.place_order_once(&key, "glovis_1", 12_000).await;
    reused.refused(422, Code::IdempotencyKeyReused);
    assert_eq!(counted.trips(), 2);
    assert_eq!(
        service.count("select count(*) from idempotency_keys").await,
        2
    );
}

#[tokio::test]
async fn bid_above_all_rivals_is_placed_at_once_and_any_other_under_the_lock() {
    let counted = Counted::start().await;
    let service = &counted.service;
    let (acme, rival, third) = (
        service.partner("acme").await,
        service.partner("rival").await,
        service.partner("third").await,
    );
    service.car(Car::lot("glovis_1")).await;
    let first = acme.place_order("glovis_1", 12_000).await;
    counted.trips();
    let higher = rival.place_order("glovis_1", 13_000).await.created();
    assert_eq!(counted.trips(), 1);
    assert_eq!(
        (&higher["is_highest_bid"], &higher["current_max_bid_usd"]),
        (&json!(true), &json!(13_000))
    );
    let equal = third.place_order("glovis_1", 13_000).await.created();
    assert_eq!(
        counted.trips(),
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
async fn order_decided_on_a_vehicle_that_has_changed_is_decided_anew() {
    let service = Service::start().await;
    let (acme, rival) = (
        service.partner("acme").await,
        service.partner("rival").await,
    );
    service.car(Car::lot("glovis_1")).await;
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
    let kept = rival
        .get(&format!("/v1/orders/{}/vehicle", placed.id()))
        .await;
    assert_eq!(kept.ok()["pricing"]["listing_usd"], 15_000);
    assert_eq!(kept.body, rival.get("/v1/vehicles/glovis_1").await.body);
    operator.withdraw("glovis_1").await.unwrap();
    let third = service.partner("third").await;
    third
        .place_order("glovis_1", 16_000)
        .await
        .refused(410, Code::VehicleUnavailable);
}

#[tokio::test]
async fn order_that_waited_for_its_vehicle_sees_what_was_done_meanwhile() {
    let service = Service::start().await;
    let (acme, rival) = (
        service.partner("acme").await,
        service.partner("rival").await,
    );
    service.car(Car::lot("glovis_1")).await;
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
        somebody_waits(service.db()).await;
        sqlx::query(change).execute(&mut *holder).await.unwrap();
        holder.commit().await.unwrap();
        let reply = late.await.unwrap();
        assert_eq!(reply.json()["error"]["code"], expected.as_str(), "{what}");
    }
    assert_eq!(service.count("select count(*) from orders").await, 1);
}

#[tokio::test]
async fn cutoff_that_passes_while_an_order_waits_refuses_it() {
    let counted = Counted::start().await;
    let service = &counted.service;
    let acme = service.partner("acme").await;
    let lot = |id: &str| Car::lot(id).on("timestamptz '2026-04-20T13:00:00+09:00'");
    service.car(lot("glovis_1")).await;
    service.time_is("2026-04-18T23:59:59.999+09:00").await;
    let mut n = 1;
    eventually(
        "the replica hears the time, and decides by it",
        async || {
            n += 1;
            let other = service.car(lot(&format!("glovis_{n}"))).await;
            counted.trips();
            acme.place_order(&other.id, 12_000).await.created();
            (counted.trips() == 1).then_some(())
        },
    )
    .await;
    let holder = service.lock_vehicles().await;
    let late = {
        let acme = acme.clone();
        tokio::spawn(async move { acme.place_order("glovis_1", 12_000).await })
    };
    somebody_waits(service.db()).await;
    let midnight = "2026-04-19T00:00:00+09:00";
    service.time_is(midnight).await;
    holder.rollback().await.unwrap();
    let details = late.await.unwrap().refused(409, Code::PastOrderCutoff);
    assert_eq!(details, json!({"cutoff_at": midnight, "now": midnight}));
}

#[tokio::test]
async fn hang_up_in_the_middle_of_placing_leaves_one_order_or_none_and_the_key_tells() {
    let service = Service::start().await;
    let acme = service.partner("acme").await;
    service.car(Car::lot("glovis_1")).await;
    let holder = service.lock_vehicles().await;
    let key = key();
    let asked = {
        let (acme, key) = (acme.clone(), key.clone());
        tokio::spawn(async move { acme.place_order_once(&key, "glovis_1", 12_000).await })
    };
    somebody_waits(service.db()).await;
    asked.abort();
    holder.rollback().await.unwrap();
    let reply = eventually("the key is answered for", async || {
        let reply = acme.place_order_once(&key, "glovis_1", 12_000).await;
        (reply.status < 300).then_some(reply)
    })
    .await;
    let found = acme
        .get(&format!("/v1/orders?idempotency_key={key}"))
        .await
        .ok();
    assert_eq!(found["data"][0]["id"].as_str().unwrap(), reply.id());
    assert_eq!(service.count("select count(*) from orders").await, 1);
}

#[tokio::test]
async fn sandbox_time_that_moved_is_the_time_of_the_next_order() {
    let service = Service::start().await;
    let acme = service.partner("acme").await;
    service.car(Car::lot("glovis_1")).await;
    service.car(Car::lot("glovis_2")).await;
    acme.place_order("glovis_1", 12_000).await.created();
    let clock = acme.wait(3_600).await;
    let order = acme.place_order("glovis_2", 12_000).await.created();
    let at = |text: &serde_json::Value| {
        chrono::DateTime::parse_from_rfc3339(text.as_str().unwrap()).unwrap()
    };
    assert!(at(&order["created_at"]) >= at(&clock["now"]));
}
