//! A database that dies and comes back under load: the server is not restarted, and nobody is told anything untrue.

use std::{
    path::Path,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};

use lmn_partner_api::{
    database::embedded::{Cluster, Keeper, Purpose},
    error::catalogue::Code,
};
use rustix::process::{Pid, Signal, kill_process};
use sqlx::{PgPool, postgres::PgPoolOptions};
use tokio::task::{JoinSet, spawn_blocking};

use crate::{
    process::Process,
    support::{Partner, Reply, eventually, key},
};

/// Partners, the clients of each, and cars, each of which every client may order once.
const PARTNERS: usize = 3;
const CLIENTS: usize = 3;
const CARS: usize = 20_000;
/// What a request may take: the deadline, and time for a busy machine to say so.
const ANSWERED: Duration = Duration::from_secs(13);
/// How soon requests succeed again.
const RECOVERED: Duration = Duration::from_secs(15);
/// Requests that are made in vain by all clients together before the database comes back.
const IN_VAIN: usize = 30;

/// A database of this test's own, which may be killed.
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
        let dir = self.folder.path().join("pg");
        let cluster = spawn_blocking(move || {
            let keeper = Keeper::new(env!("CARGO_BIN_EXE_lmn"), ["dev-db", "keep"]);
            // What was committed is kept, so as data, although it is slower.
            Cluster::ensure(&dir, Purpose::Data, &keeper, &|_| {}).unwrap()
        });
        self.clusters.push(cluster.await.unwrap());
    }

    fn cluster(&self) -> &Cluster {
        self.clusters.last().unwrap()
    }

    fn kill(&self, signal: Signal) {
        let file = self.cluster().dir().join("data/postmaster.pid");
        let text = std::fs::read_to_string(Path::new(&file)).unwrap();
        let server = text.lines().next().unwrap().trim().parse().unwrap();
        kill_process(Pid::from_raw(server).unwrap(), signal).unwrap();
    }
}

/// What goes on while the database comes and goes.
#[derive(Default)]
struct Scene {
    over: AtomicBool,
    next_car: AtomicUsize,
    in_vain: AtomicUsize,
    served: AtomicUsize,
}

/// Checks an answer, and says whether it was a success.
fn is_served(scene: &Scene, reply: &Reply, took: Duration) -> bool {
    assert!(took < ANSWERED, "answered only after {took:?}: {reply:?}");
    if reply.status < 300 {
        scene.served.fetch_add(1, Ordering::SeqCst);
        return true;
    }
    let details = reply.refused(503, Code::ServiceUnavailable);
    assert_eq!(
        details["retry_after"].to_string(),
        reply.header("retry-after")
    );
    scene.in_vain.fetch_add(1, Ordering::SeqCst);
    false
}

/// Orders one car after the other, each until it is ordered, and looks at the order and the vehicle. Returns the orders.
async fn order_on(scene: Arc<Scene>, acme: Partner) -> Vec<String> {
    let mut orders = Vec::new();
    while !scene.over.load(Ordering::SeqCst) {
        let car = format!("glovis_{}", scene.next_car.fetch_add(1, Ordering::SeqCst));
        let key = key();
        let order = loop {
            let began = Instant::now();
            let reply = acme.place_order_once(&key, &car, 12_000).await;
            if is_served(&scene, &reply, began.elapsed()) {
                break reply.id();
            }
        };
        let began = Instant::now();
        let seen = acme.order(&order).await;
        is_served(&scene, &seen, began.elapsed());
        let began = Instant::now();
        let listed = acme.get(&format!("/v1/vehicles?ids={car}")).await;
        if is_served(&scene, &listed, began.elapsed()) {
            let vehicles = listed.json()["data"].as_array().unwrap().len();
            assert_eq!(vehicles, 1, "a vehicle that is there is listed");
        }
        orders.push(order);
    }
    orders
}

/// Asks the probes all the time; returns how often the replica was said not to be ready.
async fn probe(scene: Arc<Scene>, operator: String) -> usize {
    let (client, mut unready) = (reqwest::Client::new(), 0);
    let ask = |path: &str| client.get(format!("{operator}/{path}")).send();
    while !scene.over.load(Ordering::SeqCst) {
        let alive = ask("healthz").await.unwrap();
        assert_eq!(alive.status(), 200);
        let ready = ask("readyz").await.unwrap();
        unready += usize::from(ready.status() == 503);
    }
    unready
}

async fn add_cars(db: &PgPool) {
    sqlx::query(
        "insert into vehicles (id, source, make, model, year, mileage_km, listing_usd, auction_date, auction_result,
                               listed_at, updated_at, priced_at, summary, detail)
         select 'glovis_' || n, 'glovis', 'Hyundai', 'Grandeur', 2021, 40000, 10000, date_trunc('day', now() + interval '10 days'),
                'upcoming', date_trunc('day', now()), date_trunc('day', now()), date_trunc('day', now()), '{}', '{}'
         from generate_series(0, $1) n",
    )
    .bind(CARS as i64)
    .execute(db)
    .await
    .unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_database_that_dies_twice_under_load_costs_nothing_but_time() {
    let mut database = Database::start().await;
    let url = database.cluster().url("postgres");
    let given = url.clone();
    let server = spawn_blocking(move || {
        let variables = [
            ("DATABASE_URL", given.as_str()),
            ("LMN_SERVER__LISTEN", "127.0.0.1:0"),
            ("LMN_DATABASE__ACQUIRE_SECONDS", "1"),
            ("LMN_LOG__FILTER", "off"),
        ];
        Process::start(&["serve", "--migrate", "--json"], &variables)
    });
    let server = server.await.unwrap();
    let db = PgPoolOptions::new().connect(&url).await.unwrap();
    add_cars(&db).await;
    let scene = Arc::new(Scene::default());
    let mut clients = JoinSet::new();
    for n in 0..PARTNERS {
        let acme = Partner::add(&db, server.url(), &format!("partner {n}")).await;
        eventually("the vehicles are listed", async || {
            let listed = acme.get("/v1/vehicles?ids=glovis_0").await;
            // They are many, so it may be refused while they are merged.
            (listed.status == 200 && listed.ids().len() == 1).then_some(())
        })
        .await;
        for _ in 0..CLIENTS {
            clients.spawn(order_on(scene.clone(), acme.clone()));
        }
    }
    let probes = tokio::spawn(probe(scene.clone(), server.operator_url().to_owned()));
    let ready = async || {
        let answer = reqwest::get(format!("{}/readyz", server.operator_url())).await;
        answer.unwrap().status().as_u16()
    };
    for signal in [Signal::QUIT, Signal::KILL] {
        served_more(&scene).await;
        let before = scene.in_vain.load(Ordering::SeqCst);
        database.kill(signal);
        eventually(
            "requests are made in vain, and probes know why",
            async || {
                let in_vain = scene.in_vain.load(Ordering::SeqCst) - before;
                (in_vain >= IN_VAIN && ready().await == 503).then_some(())
            },
        )
        .await;
        database.start_again().await;
        let back = Instant::now();
        served_more(&scene).await;
        eventually("it is ready", async || (ready().await == 200).then_some(())).await;
        assert!(back.elapsed() < RECOVERED, "{:?}", back.elapsed());
    }
    scene.over.store(true, Ordering::SeqCst);
    let mut orders = clients.join_all().await.concat();
    assert!(probes.await.unwrap() > 0);
    orders.sort_unstable();
    assert_every_order_is_there_once(&db, &orders).await;
    spawn_blocking(|| server.stop()).await.unwrap();
}

/// Waits until twice as many requests were served as there are clients: each has come through.
async fn served_more(scene: &Scene) {
    let before = scene.served.load(Ordering::SeqCst);
    eventually("requests are served", async || {
        let served = scene.served.load(Ordering::SeqCst) - before;
        (served >= PARTNERS * CLIENTS * 4).then_some(())
    })
    .await;
}

async fn assert_every_order_is_there_once(db: &PgPool, told: &[String]) {
    let statement = "select id, vehicle_id from orders order by id";
    let stored: Vec<(uuid::Uuid, String)> = sqlx::query_as(statement).fetch_all(db).await.unwrap();
    let ids: Vec<String> = stored
        .iter()
        .map(|(id, _)| lmn_partner_api::id::OrderId::from(*id).to_string())
        .collect();
    assert_eq!(ids, told, "what was told is what there is");
    let mut cars: Vec<_> = stored.iter().map(|(_, car)| car).collect();
    cars.sort_unstable();
    cars.dedup();
    assert_eq!(cars.len(), ids.len(), "no car was ordered twice");
    let keys: i64 = sqlx::query_scalar("select count(distinct order_id) from idempotency_keys")
        .fetch_one(db)
        .await
        .unwrap();
    assert_eq!(usize::try_from(keys), Ok(ids.len()));
}
