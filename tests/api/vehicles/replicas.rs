//! Two replicas that follow one catalogue during an import: a change that one replica shows is soon shown by the other.

use std::{
    collections::BTreeSet,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant},
};

use lmn_partner_api::router::router;
use serde_json::Value;
use tokio::task::{JoinSet, spawn_blocking};

use super::{
    disable_notifications,
    fresh::{price, watch},
    importer::{begin, demo, import, lot},
};
use crate::{
    database::TestDatabase,
    support::{Partner, Service, Vehicle, eventually},
};

const PAGE: &str = "/v1/vehicles?source=glovis";
const VEHICLE: &str = "/v1/vehicles/glovis_1";
const FACETS: &str = "/v1/vehicles/facets";
/// Tolerance for a busy machine.
const TOLERANCE: Duration = Duration::from_secs(2);
/// Number of vehicles that an import writes in one transaction.
const BATCH: usize = 250;

/// Starts two replicas on one database, and returns them with a partner that calls each of them.
async fn two_replicas() -> ([Service; 2], [Partner; 2]) {
    let first = Service::start().await;
    let url = first.database.url();
    let second = Service::at(TestDatabase::new().await, &url, &[], router).await;
    let acme = first.partner("acme").await;
    let there = acme.at(&second.url);
    ([first, second], [acme, there])
}

/// Waits until a replica shows a price in the list and on the vehicle.
async fn shows(acme: &Partner, expected: i64) {
    for path in [PAGE, VEHICLE] {
        eventually("the price is shown", async || {
            (price(acme, path).await == expected).then_some(())
        })
        .await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn imported_change_shown_by_one_replica_is_soon_shown_by_the_other() {
    let (services, [here, there]) = two_replicas().await;
    let database = &services[0].database;
    import(database, &[lot("glovis_1", 10_000)]).await;
    services[0].app.catch_up().await;
    services[1].app.catch_up().await;
    let staleness = services[0].app.settings().catalogue.staleness;
    let stop = Arc::new(AtomicBool::new(false));
    let paths = [PAGE, VEHICLE];
    let mut watchers =
        [&here, &there].map(|replica| watch(replica, &paths, &Arc::default(), &stop));
    for change in 1..=8 {
        let price = 10_000 + change;
        let (first, second) = match change % 2 {
            0 => (&here, &there),
            _ => (&there, &here),
        };
        let vehicles = [lot("glovis_1", price)];
        let (mut first_shown, mut imported) = (None, None);
        tokio::join!(
            async {
                import(database, &vehicles).await;
                imported = Some(Instant::now());
            },
            async {
                shows(first, price).await;
                first_shown = Some(Instant::now());
                shows(second, price).await;
            },
        );
        for since in [first_shown, imported] {
            assert!(since.unwrap().elapsed() < staleness + TOLERANCE, "{change}");
        }
    }
    stop.store(true, Ordering::SeqCst);
    for watchers in &mut watchers {
        while let Some(reads) = watchers.join_next().await {
            assert!(reads.expect("nothing older is shown") > 20);
        }
    }
}

#[tokio::test]
async fn change_whose_notification_is_lost_is_shown_within_the_staleness() {
    let (services, partners) = two_replicas().await;
    services[0].vehicle(Vehicle::lot("glovis_1")).await;
    services[1].app.catch_up().await;
    disable_notifications(&services[0]).await;
    let staleness = services[0].app.settings().catalogue.staleness;
    for change in 1..=10 {
        let price = 10_000 + change;
        let make = format!("Make {change}");
        let statement = format!("update vehicles set listing_usd = {price}, make = '{make}'");
        services[0].sql_elsewhere(&statement).await;
        let changed = Instant::now();
        for acme in &partners {
            shows(acme, price).await;
            let facets = acme.get(FACETS).await.ok();
            assert_eq!(facets["makes"], serde_json::json!([make]));
        }
        assert!(changed.elapsed() < staleness + TOLERANCE, "change {change}");
    }
}

/// A catalogue as the text of an import file.
struct Catalogue {
    text: String,
    /// Query that matches all of its vehicles.
    everything: String,
    /// Number of dealers' vehicles after each whole batch, as `X-LMN-Filtered-Out` shows it.
    dealers: BTreeSet<String>,
}

impl Catalogue {
    /// Shuffles the lines of a file, so that every batch has dealers' vehicles.
    fn of(text: &str) -> Self {
        let lines: Vec<_> = text.lines().collect();
        let mixed = (0..lines.len()).map(|n| lines[n * 7_919 % lines.len()]);
        let text: String = mixed.flat_map(|line| [line, "\n"]).collect();
        let vehicles: Vec<Value> = text
            .lines()
            .map(|it| serde_json::from_str(it).unwrap())
            .collect();
        let makes: BTreeSet<_> = vehicles
            .iter()
            .map(|it| it["make"].as_str().unwrap())
            .collect();
        let makes: Vec<_> = makes.into_iter().collect();
        let everything = form_urlencoded::Serializer::new(String::new())
            .append_pair("make", &makes.join(","))
            .finish();
        let count = |vehicles: &[Value]| {
            vehicles
                .iter()
                .filter(|it| it["source"] == "dealer")
                .count()
        };
        let ends = (0..vehicles.len()).step_by(BATCH).chain([vehicles.len()]);
        let dealers = ends.map(|end| format!("dealer={}", count(&vehicles[..end])));
        Self {
            dealers: dealers.collect(),
            text,
            everything,
        }
    }

    /// Returns `X-LMN-Filtered-Out` of a query that drops all dealers' vehicles of a replica.
    async fn dealers_at(&self, acme: &Partner) -> String {
        let path = format!("/v1/vehicles?{}&auction_status=upcoming", self.everything);
        let reply = acme.get(&path).await;
        reply.ok();
        reply.header("x-lmn-filtered-out").to_owned()
    }

    /// Reads the ids of all vehicles of a replica.
    async fn ids_at(&self, acme: &Partner) -> BTreeSet<String> {
        let (mut ids, mut cursor) = (BTreeSet::new(), String::new());
        loop {
            let path = format!("/v1/vehicles?{}&limit=200{cursor}", self.everything);
            let page = acme.get(&path).await;
            ids.extend(page.ids());
            match page.json()["next_cursor"].as_str() {
                Some(next) => cursor = format!("&cursor={next}"),
                None => return ids,
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn replicas_show_only_whole_batches_of_a_killed_import() {
    let (services, partners) = two_replicas().await;
    let catalogue = Arc::new(Catalogue::of(&demo("4500").await));
    assert!(catalogue.dealers.len() > 4, "batches can be told apart");
    let stop = Arc::new(AtomicBool::new(false));
    let mut watchers = JoinSet::new();
    for acme in partners.clone() {
        let (catalogue, stop) = (catalogue.clone(), stop.clone());
        watchers.spawn(async move {
            let mut seen = BTreeSet::new();
            while !stop.load(Ordering::SeqCst) {
                let dealers = catalogue.dealers_at(&acme).await;
                assert!(catalogue.dealers.contains(&dealers), "{dealers}");
                seen.insert(dealers);
            }
            seen
        });
    }
    // The input stays open, so the last, incomplete batch is not written.
    let (mut import, writing) = begin(&services[0].database, catalogue.text.clone());
    eventually("some batches are there", async || {
        let count = services[0].count("select count(*) from vehicles").await;
        (count >= 2_000).then_some(())
    })
    .await;
    import.kill().unwrap();
    let ending = spawn_blocking(move || {
        drop(writing.join());
        import.wait().unwrap()
    });
    ending.await.unwrap();
    for acme in &partners {
        eventually("the replica shows what there is", async || {
            let listed = "select id from vehicles where withdrawn_at is null";
            let ids: Vec<String> = sqlx::query_scalar(listed)
                .fetch_all(services[0].db())
                .await
                .unwrap();
            assert!(ids.len().is_multiple_of(BATCH) && ids.len() < 4_500);
            let shown = catalogue.ids_at(acme).await;
            (shown == ids.into_iter().collect()).then_some(())
        })
        .await;
    }
    stop.store(true, Ordering::SeqCst);
    while let Some(seen) = watchers.join_next().await {
        let seen = seen.expect("only whole batches are shown");
        assert!(seen.len() > 1, "{seen:?}");
    }
}
