//! A database that is killed and restarted under load: the server is not restarted, and every response is correct.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};

use dev_postgres::Cluster;
use lmn_partner_api::errors::catalogue::Code;
use rustix::process::{Signal, kill_process};
use sqlx::{PgPool, postgres::PgPoolOptions};
use tokio::task::{JoinSet, spawn_blocking};

use crate::{
    cluster,
    process::Process,
    support::{Partner, Reply, eventually, key, settings},
};

/// Number of partners, of clients of each partner, and of vehicles.
const PARTNERS: usize = 3;
const CLIENTS: usize = 3;
const VEHICLES: usize = 20_000;
/// Longest time of a request: the deadline, and a margin for busy machines.
const ANSWERED: Duration = Duration::from_secs(13);
/// Longest time until requests succeed again.
const RECOVERED: Duration = Duration::from_secs(15);
/// Requests of all clients together that must fail before the database is restarted.
const FAILED: usize = 30;

/// A database cluster of this test, which can be killed.
struct Database {
    folder: tempfile::TempDir,
    clusters: Vec<Cluster>,
}

impl Database {
    async fn start() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let mut database = Self {
            folder,
            clusters: Vec::new(),
        };
        database.start_again().await;
        database
    }

    async fn start_again(&mut self) {
        // Commits must survive the kill, so the cluster is durable, although slower.
        let cluster = cluster::start(self.folder.path().join("pg")).await;
        self.clusters.push(cluster);
    }

    fn cluster(&self) -> &Cluster {
        self.clusters.last().unwrap()
    }

    fn kill(&self, signal: Signal) {
        kill_process(cluster::server_of(self.cluster()), signal).unwrap();
    }
}

/// Counters shared by the clients.
#[derive(Default)]
struct Run {
    is_over: AtomicBool,
    next_vehicle: AtomicUsize,
    failed: AtomicUsize,
    served: AtomicUsize,
}

/// Checks a response; returns whether it is a success.
fn is_served(run: &Run, reply: &Reply, took: Duration) -> bool {
    assert!(took < ANSWERED, "answered only after {took:?}: {reply:?}");
    if reply.status < 300 {
        run.served.fetch_add(1, Ordering::SeqCst);
        return true;
    }
    let details = reply.refused(503, Code::ServiceUnavailable);
    assert_eq!(
        details["retry_after"].to_string(),
        reply.header("retry-after")
    );
    run.failed.fetch_add(1, Ordering::SeqCst);
    false
}

/// Orders one vehicle after the other, repeating each order until it succeeds, and reads the order and the vehicle.
/// Returns the orders.
async fn place_orders(run: Arc<Run>, acme: Partner) -> Vec<String> {
    let mut orders = Vec::new();
    while !run.is_over.load(Ordering::SeqCst) {
        let vehicle = format!("glovis_{}", run.next_vehicle.fetch_add(1, Ordering::SeqCst));
        let key = key();
        let order = loop {
            let began = Instant::now();
            let reply = acme.place_order_once(&key, &vehicle, 12_000).await;
            if is_served(&run, &reply, began.elapsed()) {
                break reply.id();
            }
        };
        let began = Instant::now();
        let seen = acme.order(&order).await;
        is_served(&run, &seen, began.elapsed());
        let began = Instant::now();
        let listed = acme.get(&format!("/v1/vehicles?ids={vehicle}")).await;
        if is_served(&run, &listed, began.elapsed()) {
            let vehicles = listed.json()["data"].as_array().unwrap().len();
            assert_eq!(vehicles, 1, "an existing vehicle is listed");
        }
        orders.push(order);
    }
    orders
}

/// Calls the probes without a pause; returns how often the replica was not ready.
async fn probe(run: Arc<Run>, operator: String) -> usize {
    let (client, mut unready) = (reqwest::Client::new(), 0);
    let ask = |path: &str| client.get(format!("{operator}/{path}")).send();
    while !run.is_over.load(Ordering::SeqCst) {
        let alive = ask("healthz").await.unwrap();
        assert_eq!(alive.status(), 200);
        let ready = ask("readyz").await.unwrap();
        unready += usize::from(ready.status() == 503);
    }
    unready
}

async fn add_vehicles(db: &PgPool) {
    sqlx::query(
        "insert into vehicles (id, source, make, model, year, mileage_km, listing_usd, auction_date, auction_result,
                               listed_at, updated_at, priced_at, summary, detail)
         select 'glovis_' || n, 'glovis', 'Hyundai', 'Grandeur', 2021, 40000, 10000, date_trunc('day', now() + interval '10 days'),
                'upcoming', date_trunc('day', now()), date_trunc('day', now()), date_trunc('day', now()), '{}', '{}'
         from generate_series(0, $1) n",
    )
    .bind(VEHICLES as i64)
    .execute(db)
    .await
    .unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn database_killed_twice_under_load_loses_no_order_and_needs_no_server_restart() {
    let mut database = Database::start().await;
    let url = database.cluster().url("postgres");
    let database_url = url.clone();
    let server = spawn_blocking(move || {
        let arguments = ["serve", "--migrate", "--json"];
        let settings = [settings::acquire_seconds(1), settings::LOG_OFF];
        Process::on(&database_url, &arguments, &settings)
    });
    let server = server.await.unwrap();
    let db = PgPoolOptions::new().connect(&url).await.unwrap();
    add_vehicles(&db).await;
    let run = Arc::new(Run::default());
    let mut clients = JoinSet::new();
    for n in 0..PARTNERS {
        let acme = Partner::add(&db, server.url(), &format!("partner {n}")).await;
        eventually("the vehicles are listed", async || {
            let listed = acme.get("/v1/vehicles?ids=glovis_0").await;
            // The list may be refused while this many vehicles are merged into the catalogue.
            (listed.status == 200 && listed.ids().len() == 1).then_some(())
        })
        .await;
        for _ in 0..CLIENTS {
            clients.spawn(place_orders(run.clone(), acme.clone()));
        }
    }
    let probes = tokio::spawn(probe(run.clone(), server.operator_url().to_owned()));
    let ready = async || {
        let answer = reqwest::get(format!("{}/readyz", server.operator_url())).await;
        answer.unwrap().status().as_u16()
    };
    for signal in [Signal::QUIT, Signal::KILL] {
        wait_for_service(&run).await;
        let before = run.failed.load(Ordering::SeqCst);
        database.kill(signal);
        eventually("requests fail, and the replica is not ready", async || {
            let failed = run.failed.load(Ordering::SeqCst) - before;
            (failed >= FAILED && ready().await == 503).then_some(())
        })
        .await;
        database.start_again().await;
        let restarted = Instant::now();
        wait_for_service(&run).await;
        eventually("the replica is ready", async || {
            (ready().await == 200).then_some(())
        })
        .await;
        assert!(restarted.elapsed() < RECOVERED, "{:?}", restarted.elapsed());
    }
    run.is_over.store(true, Ordering::SeqCst);
    let mut orders = clients.join_all().await.concat();
    assert!(probes.await.unwrap() > 0);
    orders.sort_unstable();
    check_orders(&db, &orders).await;
    spawn_blocking(|| server.stop()).await.unwrap();
}

/// Waits until four times as many requests were served as there are clients.
async fn wait_for_service(run: &Run) {
    let before = run.served.load(Ordering::SeqCst);
    eventually("requests are served", async || {
        let served = run.served.load(Ordering::SeqCst) - before;
        (served >= PARTNERS * CLIENTS * 4).then_some(())
    })
    .await;
}

async fn check_orders(db: &PgPool, confirmed: &[String]) {
    let statement = "select id, vehicle_id from orders order by id";
    let stored: Vec<(uuid::Uuid, String)> = sqlx::query_as(statement).fetch_all(db).await.unwrap();
    let ids: Vec<String> = stored
        .iter()
        .map(|(id, _)| lmn_partner_api::values::id::OrderId::from(*id).to_string())
        .collect();
    assert_eq!(ids, confirmed, "the confirmed orders are the stored ones");
    let mut vehicles: Vec<_> = stored.iter().map(|(_, vehicle)| vehicle).collect();
    vehicles.sort_unstable();
    vehicles.dedup();
    assert_eq!(vehicles.len(), ids.len(), "no vehicle was ordered twice");
    let keys: i64 = sqlx::query_scalar("select count(distinct order_id) from idempotency_keys")
        .fetch_one(db)
        .await
        .unwrap();
    assert_eq!(usize::try_from(keys), Ok(ids.len()));
}
