//! What one replica shows after a change: its own at once, that of others soon, and never anything older afterwards.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicI64, Ordering},
    },
    time::{Duration, Instant},
};

use reqwest::Method;
use serde_json::json;
use tokio::task::JoinSet;

use super::silence;
use crate::support::{Car, Partner, Service, eventually};

const PAGE: &str = "/v1/vehicles?source=glovis&sort=auction_date_asc";
const VEHICLE: &str = "/v1/vehicles/glovis_1";
/// What a busy machine may take longer.
const SLACK: Duration = Duration::from_secs(2);

/// Reads the price of the vehicle on a page, or of the vehicle alone.
async fn price(acme: &Partner, path: &str) -> i64 {
    let body = acme.get(path).await.ok();
    let vehicle = if path == VEHICLE {
        &body
    } else {
        &body["data"][0]
    };
    vehicle["pricing"]["listing_usd"].as_i64().unwrap()
}

/// Reads again and again in every way; `known` is the latest price that anybody has been shown.
fn read_all(acme: &Partner, known: &Arc<AtomicI64>, stop: &Arc<AtomicBool>) -> JoinSet<usize> {
    let mut readers = JoinSet::new();
    for path in [PAGE, VEHICLE, PAGE, "/v1/vehicles?ids=glovis_1", VEHICLE] {
        let (acme, known, stop) = (acme.clone(), known.clone(), stop.clone());
        readers.spawn(async move {
            let mut reads = 0;
            while !stop.load(Ordering::SeqCst) {
                let before = known.load(Ordering::SeqCst);
                let price = price(&acme, path).await;
                assert!(price >= before, "{path}: {price} after {before} was shown");
                known.fetch_max(price, Ordering::SeqCst);
                reads += 1;
            }
            reads
        });
    }
    readers
}

async fn finish(mut readers: JoinSet<usize>, stop: &AtomicBool) {
    stop.store(true, Ordering::SeqCst);
    while let Some(reads) = readers.join_next().await {
        assert!(reads.expect("nothing older is shown") > 20);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn change_that_a_replica_has_acknowledged_is_shown_by_it_from_then_on() {
    let service = Service::start().await;
    let acme = service.partner("acme").await;
    service.car(Car::lot("glovis_1")).await;
    acme.place_order("glovis_1", 900_000).await.created();
    let (known, stop) = (
        Arc::new(AtomicI64::new(0)),
        Arc::new(AtomicBool::new(false)),
    );
    let readers = read_all(&acme, &known, &stop);
    for change in 1..=60 {
        let price = 10_000 + change;
        let body = json!({"listing_usd": price});
        acme.post("/v1/sandbox/vehicles/glovis_1/price", body)
            .await
            .ok();
        known.fetch_max(price, Ordering::SeqCst);
        for path in [PAGE, VEHICLE] {
            assert_eq!(self::price(&acme, path).await, price, "{path}");
        }
    }
    finish(readers, &stop).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn change_of_others_is_shown_within_the_staleness_and_never_taken_back() {
    let service = Service::start().await;
    let acme = service.partner("acme").await;
    service.car(Car::lot("glovis_1")).await;
    let (known, stop) = (
        Arc::new(AtomicI64::new(0)),
        Arc::new(AtomicBool::new(false)),
    );
    let readers = read_all(&acme, &known, &stop);
    let staleness = service.app.settings().catalogue.staleness;
    for change in 1..=60 {
        let price = 10_000 + change;
        let statement = format!("update vehicles set listing_usd = {price}, updated_at = now()");
        service.sql_elsewhere(&statement).await;
        let changed = Instant::now();
        for path in [PAGE, VEHICLE] {
            eventually("the change is shown", async || {
                (self::price(&acme, path).await == price).then_some(())
            })
            .await;
        }
        assert!(changed.elapsed() < staleness + SLACK, "change {change}");
    }
    finish(readers, &stop).await;
}

#[tokio::test]
async fn change_that_was_shown_in_one_way_is_shown_in_every_other() {
    let service = Service::start().await;
    let acme = service.partner("acme").await;
    service.car(Car::lot("glovis_1")).await;
    for n in 1..=10 {
        let vehicle = Car {
            source: "sk",
            ..Car::lot(&format!("sk_{n}"))
        };
        service.car(vehicle).await;
    }
    silence(&service).await;
    let mut old = 10_000;
    for n in 1..=10 {
        // These are cached, and nothing tells the replica of the change.
        assert_eq!(
            [price(&acme, PAGE).await, price(&acme, VEHICLE).await],
            [old; 2]
        );
        let new = old + 1;
        let statement = format!("update vehicles set listing_usd = {new}, updated_at = now()");
        service.sql_elsewhere(&statement).await;
        // Nobody has asked for this one yet, so it comes from the database.
        let shown = match n % 2 {
            0 => acme.get(&format!("/v1/vehicles/sk_{n}")).await.ok(),
            _ => acme.get(&format!("/v1/vehicles?ids=sk_{n}")).await.ok()["data"][0].take(),
        };
        assert_eq!(shown["pricing"]["listing_usd"], new);
        assert_eq!(
            [price(&acme, PAGE).await, price(&acme, VEHICLE).await],
            [new; 2],
            "{shown}"
        );
        old = new;
    }
}

#[tokio::test]
async fn vehicle_is_known_by_its_etag_until_its_price_changes() {
    let service = Service::start().await;
    let acme = service.partner("acme").await;
    service.car(Car::lot("glovis_1")).await;
    let known = async |etag: &str| {
        let ask = acme.ask(Method::GET, VEHICLE).header("if-none-match", etag);
        ask.send().await
    };
    let mut etag = acme.get(VEHICLE).await.header("etag").to_owned();
    for (n, price) in [(2, 11_000), (3, 9_000), (4, 11_000)] {
        let same = known(&etag).await;
        assert_eq!((same.status, same.body.len()), (304, 0));
        service.operator().reprice("glovis_1", price).await.unwrap();
        service.app.catch_up().await;
        let changed = known(&etag).await;
        assert_eq!(changed.status, 200);
        assert_ne!(changed.header("etag"), etag);
        changed.header("etag").clone_into(&mut etag);
        let pricing = changed.json()["pricing"].clone();
        let history = pricing["history"].as_array().unwrap();
        assert_eq!(
            (pricing["listing_usd"].as_i64(), history.len()),
            (Some(price), n)
        );
        assert_eq!(history[n - 1]["listing_usd"], price);
        let times: Vec<_> = history
            .iter()
            .map(|it| it["recorded_at"].as_str().unwrap())
            .collect();
        assert!(
            times.is_sorted() && times.iter().all(|it| it.ends_with("+09:00")),
            "{times:?}"
        );
    }
    // The same for every key of the partner, and the bytes of every replica.
    let again = acme.get(VEHICLE).await;
    assert_eq!(again.header("etag"), etag);
    assert_eq!(again.header("cache-control"), "private, no-cache");
}

#[tokio::test]
async fn withdrawn_vehicle_is_shown_to_the_partner_that_ordered_it_as_it_was_then() {
    let service = Service::start().await;
    let (acme, other) = (
        service.partner("acme").await,
        service.partner("other").await,
    );
    service.car(Car::lot("glovis_1")).await;
    acme.place_order("glovis_1", 20_000).await.created();
    let then = acme.get(VEHICLE).await.ok();
    // It is listed still, so everybody sees it as it is.
    service
        .operator()
        .reprice("glovis_1", 12_000)
        .await
        .unwrap();
    service.app.catch_up().await;
    let now = acme.get(VEHICLE).await;
    assert_eq!(now.header("x-lmn-snapshot"), "");
    assert_eq!(now.ok()["pricing"]["listing_usd"], 12_000);
    service.operator().withdraw("glovis_1").await.unwrap();
    service.app.catch_up().await;
    let recovered = acme.get(VEHICLE).await;
    assert_eq!(recovered.header("x-lmn-snapshot"), "true");
    assert_eq!(recovered.ok(), then);
    other.get(VEHICLE).await.expect(404);
    assert_eq!(acme.get(PAGE).await.ids(), [""; 0]);
    let ask = acme
        .ask(Method::GET, VEHICLE)
        .header("if-none-match", recovered.header("etag"));
    let known = ask.send().await;
    assert_eq!(
        (known.status, known.header("x-lmn-snapshot")),
        (304, "true")
    );
}
