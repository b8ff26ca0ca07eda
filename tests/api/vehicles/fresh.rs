//! Answers are kept in memory, and yet nobody gets one that is older than one already given.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicI64, Ordering},
    },
    time::{Duration, Instant},
};

use lmn_partner_api::vehicles::facets::counting::refresh;
use reqwest::Method;
use serde_json::json;
use tokio::task::JoinSet;

use crate::support::{Car, Partner, Service, eventually};

const PAGE: &str = "/v1/vehicles?source=glovis&sort=auction_date_asc";
const CAR: &str = "/v1/vehicles/glovis_1";

/// Reads the price of the car on a page, or of the car alone.
async fn price(acme: &Partner, path: &str) -> i64 {
    let body = acme.get(path).await.ok();
    let car = if path == CAR { &body } else { &body["data"][0] };
    car["pricing"]["listing_usd"].as_i64().unwrap()
}

/// Reads again and again in every way; `known` is the latest price that anybody has been told.
fn read_all(acme: &Partner, known: &Arc<AtomicI64>, stop: &Arc<AtomicBool>) -> JoinSet<usize> {
    let mut readers = JoinSet::new();
    for path in [PAGE, CAR, PAGE, "/v1/vehicles?ids=glovis_1", CAR] {
        let (acme, known, stop) = (acme.clone(), known.clone(), stop.clone());
        readers.spawn(async move {
            let mut reads = 0;
            while !stop.load(Ordering::SeqCst) {
                let before = known.load(Ordering::SeqCst);
                let price = price(&acme, path).await;
                assert!(price >= before, "{path}: {price} after {before} was told");
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
        assert!(reads.expect("nothing older is told") > 20);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_a_replica_has_acknowledged_is_what_it_tells_from_then_on() {
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
        for path in [PAGE, CAR] {
            assert_eq!(self::price(&acme, path).await, price, "{path}");
        }
    }
    finish(readers, &stop).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_others_change_is_told_within_the_trust_time_and_never_taken_back() {
    let service = Service::start().await;
    let acme = service.partner("acme").await;
    service.car(Car::lot("glovis_1")).await;
    let (known, stop) = (
        Arc::new(AtomicI64::new(0)),
        Arc::new(AtomicBool::new(false)),
    );
    let readers = read_all(&acme, &known, &stop);
    for change in 1..=60 {
        let price = 10_000 + change;
        service
            .sql(&format!(
                "update vehicles set listing_usd = {price}, updated_at = now()"
            ))
            .await;
        let changed = Instant::now();
        for path in [PAGE, CAR] {
            eventually("the change is told", async || {
                (self::price(&acme, path).await == price).then_some(())
            })
            .await;
        }
        let trust = service.app.settings().catalogue.trust;
        assert!(
            changed.elapsed() < trust + Duration::from_secs(2),
            "change {change}"
        );
    }
    finish(readers, &stop).await;
}

/// Lets the catalogue change without a word; its version still tells.
async fn silence(service: &Service) {
    service
        .sql(
            "create or replace function raise_catalogue_version() returns trigger language plpgsql as $$
             begin
                 delete from catalogue_changes where transaction_id = new.transaction_id;
                 update catalogue set version = version + 1;
                 return null;
             end $$",
        )
        .await;
}

#[tokio::test]
async fn who_has_told_of_a_change_in_any_way_tells_nothing_older_in_another() {
    let service = Service::start().await;
    let acme = service.partner("acme").await;
    for n in 1..=3 {
        service.car(Car::lot(&format!("glovis_{n}"))).await;
    }
    service.car(Car::dealers("encar_1")).await;
    refresh(&service.app).await.unwrap();
    silence(&service).await;
    for (change, way) in [
        "/v1/vehicles?source=glovis&limit=7",
        "/v1/vehicles?ids=glovis_2,glovis_3",
        "/v1/vehicles/glovis_2",
        "/v1/vehicles/nobodys",
        "/v1/vehicles?make=hyundai&auction_status=sold",
        "/v1/vehicles/facets",
    ]
    .into_iter()
    .enumerate()
    {
        let old = price(&acme, CAR).await;
        let new = 11_000 + i64::try_from(change).unwrap();
        assert_eq!(
            [price(&acme, PAGE).await, price(&acme, CAR).await],
            [old; 2]
        );
        service
            .sql(&format!(
                "update vehicles set listing_usd = {new}, updated_at = now()"
            ))
            .await;
        service
            .sql("update facets set as_of = as_of - interval '1 minute'")
            .await;
        refresh(&service.app).await.unwrap();
        // Nobody has asked it yet, so this comes from the database.
        acme.get(way).await;
        assert_eq!(
            [price(&acme, PAGE).await, price(&acme, CAR).await],
            [new; 2],
            "{way}"
        );
    }
    // And if nobody tells of it at all, it is found out in time.
    service.sql("update vehicles set listing_usd = 50000").await;
    eventually("the change is found out", async || {
        (price(&acme, PAGE).await == 50_000).then_some(())
    })
    .await;
}

#[tokio::test]
async fn a_car_is_known_by_its_etag_until_its_price_changes() {
    let service = Service::start().await;
    let acme = service.partner("acme").await;
    service.car(Car::lot("glovis_1")).await;
    let known = async |etag: &str| {
        let ask = acme.ask(Method::GET, CAR).header("if-none-match", etag);
        ask.send().await
    };
    let mut etag = acme.get(CAR).await.header("etag").to_owned();
    for (n, price) in [(2, 11_000), (3, 9_000), (4, 11_000)] {
        let same = known(&etag).await;
        assert_eq!((same.status, same.body.len()), (304, 0));
        service.operator().reprice("glovis_1", price).await.unwrap();
        let changed = eventually("the change is told", async || {
            let reply = known(&etag).await;
            (reply.status == 200).then_some(reply)
        })
        .await;
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
    let again = acme.get(CAR).await;
    assert_eq!(again.header("etag"), etag);
    assert_eq!(again.header("cache-control"), "private, no-cache");
}

#[tokio::test]
async fn a_withdrawn_car_is_recovered_by_who_ordered_it_as_it_was_then() {
    let service = Service::start().await;
    let (acme, other) = (
        service.partner("acme").await,
        service.partner("other").await,
    );
    service.car(Car::lot("glovis_1")).await;
    acme.place_order("glovis_1", 20_000).await.created();
    let then = acme.get(CAR).await.ok();
    // It is listed still, so everybody sees it as it is.
    service
        .operator()
        .reprice("glovis_1", 12_000)
        .await
        .unwrap();
    eventually("the change is told", async || {
        let reply = acme.get(CAR).await;
        assert_eq!(reply.header("x-lmn-snapshot"), "");
        (reply.ok()["pricing"]["listing_usd"] == 12_000).then_some(())
    })
    .await;
    service.operator().withdraw("glovis_1").await.unwrap();
    let recovered = eventually("it is withdrawn", async || {
        let reply = acme.get(CAR).await;
        (reply.header("x-lmn-snapshot") == "true").then_some(reply)
    })
    .await;
    assert_eq!(recovered.ok(), then);
    other.get(CAR).await.expect(404);
    assert_eq!(acme.get(PAGE).await.ids(), [""; 0]);
    let ask = acme
        .ask(Method::GET, CAR)
        .header("if-none-match", recovered.header("etag"));
    let known = ask.send().await;
    assert_eq!(
        (known.status, known.header("x-lmn-snapshot")),
        (304, "true")
    );
}
