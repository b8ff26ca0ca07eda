//! Freshness of one replica: it shows its own changes at once, those of other processes soon, and never an older state
//! afterwards.

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

use super::disable_notifications;
use crate::support::{Partner, Service, Vehicle, eventually};

const PAGE: &str = "/v1/vehicles?source=glovis&sort=auction_date_asc";
const VEHICLE: &str = "/v1/vehicles/glovis_1";
/// Every route that shows the price.
const PATHS: [&str; 5] = [PAGE, VEHICLE, PAGE, "/v1/vehicles?ids=glovis_1", VEHICLE];
/// Tolerance for a busy machine.
const TOLERANCE: Duration = Duration::from_secs(2);

/// Reads the price of the vehicle on a page, or of the vehicle alone.
pub(super) async fn price(acme: &Partner, path: &str) -> i64 {
    let body = acme.get(path).await.ok();
    let vehicle = if path == VEHICLE {
        &body
    } else {
        &body["data"][0]
    };
    vehicle["pricing"]["listing_usd"].as_i64().unwrap()
}

/// Starts a task for each path that reads the price until `stop`; `latest_shown` is the latest price that any of them has
/// read, and none may be below it.
pub(super) fn watch(
    acme: &Partner,
    paths: &[&'static str],
    latest_shown: &Arc<AtomicI64>,
    stop: &Arc<AtomicBool>,
) -> JoinSet<usize> {
    let mut readers = JoinSet::new();
    for path in paths.iter().copied() {
        let (acme, latest_shown, stop) = (acme.clone(), latest_shown.clone(), stop.clone());
        readers.spawn(async move {
            let mut reads = 0;
            while !stop.load(Ordering::SeqCst) {
                let before = latest_shown.load(Ordering::SeqCst);
                let price = price(&acme, path).await;
                assert!(price >= before, "{path}: {price} after {before} was shown");
                latest_shown.fetch_max(price, Ordering::SeqCst);
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
async fn change_acknowledged_by_a_replica_is_shown_by_it_from_then_on() {
    let service = Service::start().await;
    let acme = service.partner("acme").await;
    service.vehicle(Vehicle::lot("glovis_1")).await;
    acme.place_order("glovis_1", 900_000).await.created();
    let (latest_shown, stop) = (
        Arc::new(AtomicI64::new(0)),
        Arc::new(AtomicBool::new(false)),
    );
    let readers = watch(&acme, &PATHS, &latest_shown, &stop);
    for change in 1..=60 {
        let price = 10_000 + change;
        let body = json!({"listing_usd": price});
        acme.post("/v1/sandbox/vehicles/glovis_1/price", body)
            .await
            .ok();
        latest_shown.fetch_max(price, Ordering::SeqCst);
        for path in [PAGE, VEHICLE] {
            assert_eq!(self::price(&acme, path).await, price, "{path}");
        }
    }
    finish(readers, &stop).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn change_by_another_process_is_shown_within_the_staleness_and_never_undone() {
    let service = Service::start().await;
    let acme = service.partner("acme").await;
    service.vehicle(Vehicle::lot("glovis_1")).await;
    let (latest_shown, stop) = (
        Arc::new(AtomicI64::new(0)),
        Arc::new(AtomicBool::new(false)),
    );
    let readers = watch(&acme, &PATHS, &latest_shown, &stop);
    let staleness = service.app.settings().catalogue.staleness;
    for change in 1..=60 {
        let price = 10_000 + change;
        service.set_prices_elsewhere(price).await;
        let changed = Instant::now();
        for path in [PAGE, VEHICLE] {
            eventually("the change is shown", async || {
                (self::price(&acme, path).await == price).then_some(())
            })
            .await;
        }
        assert!(changed.elapsed() < staleness + TOLERANCE, "change {change}");
    }
    finish(readers, &stop).await;
}

#[tokio::test]
async fn change_shown_by_one_route_is_shown_by_every_other() {
    let service = Service::start().await;
    let acme = service.partner("acme").await;
    service.vehicle(Vehicle::lot("glovis_1")).await;
    for n in 1..=10 {
        let vehicle = Vehicle {
            source: "sk",
            ..Vehicle::lot(&format!("sk_{n}"))
        };
        service.vehicle(vehicle).await;
    }
    disable_notifications(&service).await;
    let mut old = 10_000;
    for n in 1..=10 {
        // Both responses are cached, and the replica gets no notification of the change.
        assert_eq!(
            [price(&acme, PAGE).await, price(&acme, VEHICLE).await],
            [old; 2]
        );
        let new = old + 1;
        service.set_prices_elsewhere(new).await;
        // This vehicle is not cached yet, so it is read from the database.
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
async fn vehicle_etag_stays_until_its_price_changes() {
    let service = Service::start().await;
    let acme = service.partner("acme").await;
    service.vehicle(Vehicle::lot("glovis_1")).await;
    let conditional = async |etag: &str| {
        let ask = acme.ask(Method::GET, VEHICLE).header("if-none-match", etag);
        ask.send().await
    };
    let mut etag = acme.get(VEHICLE).await.header("etag").to_owned();
    for (n, price) in [(2, 11_000), (3, 9_000), (4, 11_000)] {
        let same = conditional(&etag).await;
        assert_eq!((same.status, same.body.len()), (304, 0));
        service.operator().reprice("glovis_1", price).await.unwrap();
        service.app.catch_up().await;
        let changed = conditional(&etag).await;
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
    // A further read returns the same tag.
    let again = acme.get(VEHICLE).await;
    assert_eq!(again.header("etag"), etag);
    assert_eq!(again.header("cache-control"), "private, no-cache");
}

#[tokio::test]
async fn withdrawn_vehicle_is_shown_as_ordered_to_the_partner_that_ordered_it() {
    let service = Service::start().await;
    let (acme, other) = (
        service.partner("acme").await,
        service.partner("other").await,
    );
    service.vehicle(Vehicle::lot("glovis_1")).await;
    acme.place_order("glovis_1", 20_000).await.created();
    let then = acme.get(VEHICLE).await.ok();
    // It is still listed, so every partner gets its current state.
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
    let reply = ask.send().await;
    assert_eq!(
        (reply.status, reply.header("x-lmn-snapshot")),
        (304, "true")
    );
}
