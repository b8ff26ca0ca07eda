//! An upgrade, rehearsed by the rule of migrations/README.md: a next release expands the schema while this one serves. The
//! replicas of this release need no restart, and another one starts on the newer schema, as after a roll-back.
//!
//! A test has one binary, so the next release is a list of migrations. `.ci/faults rolling_upgrade` replaces replicas.

use std::sync::{
    Arc,
    atomic::{AtomicBool, AtomicUsize, Ordering},
};

use lmn_partner_api::database::MIGRATOR;
use serde_json::Value;
use sqlx::{
    SqlSafeStr,
    migrate::{Migration, MigrationType, Migrator},
};
use tokio::task::{JoinSet, spawn_blocking};

use crate::{
    clients::Client,
    database::TestDatabase,
    invariants::check_invariants,
    orders::add_vehicles,
    process::{Process, run, words},
    seed::seed,
    support::{Partner, count_orders, eventually, settings},
    witness::Witness,
};

/// Number of vehicles, each ordered once at most, and of clients.
const VEHICLES: usize = 10_000;
const CLIENTS: usize = 4;
/// Percentage of orders that are cancelled again.
const CANCELLED_PERCENT: u32 = 25;
/// Orders that are placed before the next step of the upgrade.
const ORDERS_BETWEEN: usize = 40;

/// The migrations of the next release, each with whether it runs in a transaction: columns with and without a default, a
/// table, an index on a large table, and values for the rows that are there. A transaction locks one table only.
const EXPANSIONS: [(&str, bool); 7] = [
    (
        "alter table orders add column note text, add column is_insured boolean not null default false",
        true,
    ),
    (
        "alter table partners add column tier text not null default 'standard'",
        true,
    ),
    (
        "alter table idempotency_keys add column bound_at timestamptz default now()",
        true,
    ),
    ("alter table events add column note text", true),
    (
        "create table order_notes (order_id uuid primary key, note text not null)",
        true,
    ),
    (
        "create index concurrently orders_by_note on orders (note) where note is not null",
        false,
    ),
    (
        "update orders set is_insured = true where id in (select id from orders order by id limit 20)",
        true,
    ),
];

/// The orders that the clients place until they are told to stop.
struct Load {
    is_over: AtomicBool,
    next_vehicle: AtomicUsize,
    placed: AtomicUsize,
    seed: u64,
    witness: Witness,
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn schema_is_expanded_under_load_and_replicas_of_this_release_serve_on() {
    let database = TestDatabase::with_connections(12).await;
    let db = &database.pool;
    add_vehicles(db, VEHICLES).await;
    let former = start(&database).await;
    let acme = Partner::add(db, former.url(), "acme").await;
    let load = Arc::new(Load {
        is_over: AtomicBool::new(false),
        next_vehicle: AtomicUsize::new(1),
        placed: AtomicUsize::new(0),
        seed: seed(),
        witness: Witness::of(db).await,
    });
    let mut clients = JoinSet::new();
    for number in 1..=CLIENTS {
        clients.spawn(place_orders(load.clone(), acme.clone(), number));
    }
    load.wait_for_orders().await;

    for count in 1..=EXPANSIONS.len() {
        let mut connection = db.acquire().await.unwrap();
        let release = next_release(count);
        release.run(&mut *connection).await.unwrap();
        drop(connection);
        load.wait_for_orders().await;
    }
    let migrated = migrate(&database).await;
    assert_eq!(migrated["newer_migrations"], EXPANSIONS.len());
    let beside = start(&database).await;
    for number in CLIENTS + 1..=2 * CLIENTS {
        let acme = acme.at(beside.url());
        clients.spawn(place_orders(load.clone(), acme, number));
    }
    load.wait_for_orders().await;

    load.is_over.store(true, Ordering::SeqCst);
    while let Some(client) = clients.join_next().await {
        client.unwrap();
    }
    for server in [former, beside] {
        spawn_blocking(|| server.stop()).await.unwrap();
    }
    load.witness.check_all().await;
    check_invariants(db).await;
    let placed = load.placed.load(Ordering::SeqCst) as i64;
    assert_eq!(count_orders(db).await, placed);
}

impl Load {
    /// Waits until some more orders have been placed.
    async fn wait_for_orders(&self) {
        let before = self.placed.load(Ordering::SeqCst);
        eventually("orders are placed", async || {
            let placed = self.placed.load(Ordering::SeqCst) - before;
            (placed >= ORDERS_BETWEEN).then_some(())
        })
        .await;
    }
}

/// Places an order on one vehicle after the other, and cancels some of them, until the load is over.
async fn place_orders(load: Arc<Load>, acme: Partner, number: usize) {
    while !load.is_over.load(Ordering::SeqCst) {
        let n = load.next_vehicle.fetch_add(1, Ordering::SeqCst);
        assert!(n <= VEHICLES, "there are vehicles left");
        let stream = (number * 1_000_000 + n) as u64;
        let client = Client::new(&acme, &load.witness, load.seed, stream);
        let order = client.place(&format!("glovis_{n}"), 12_000).await;
        if client.percent(CANCELLED_PERCENT) {
            client.cancel(&order).await;
        }
        load.placed.fetch_add(1, Ordering::SeqCst);
    }
}

/// Returns the migrations of a next release with some of its expansions.
fn next_release(expansions: usize) -> Migrator {
    let newest = MIGRATOR.iter().map(|it| it.version).max().unwrap();
    let next = EXPANSIONS.iter().take(expansions).zip(newest + 1..);
    let next = next.map(|((sql, is_transaction), version)| {
        let kind = MigrationType::Simple;
        Migration::new(
            version,
            "expand".into(),
            kind,
            sql.into_sql_str(),
            !is_transaction,
        )
    });
    Migrator::with_migrations(MIGRATOR.iter().cloned().chain(next).collect())
}

/// Starts a replica of this release.
async fn start(database: &TestDatabase) -> Process {
    let url = database.url();
    let starting =
        spawn_blocking(move || Process::on(&url, &["serve", "--json"], &[settings::LOG_OFF]));
    starting.await.unwrap()
}

/// Runs `lmn migrate` of this release, and returns what it prints.
async fn migrate(database: &TestDatabase) -> Value {
    let url = database.url();
    let migrating = spawn_blocking(move || run(&["migrate", "--json"], &[("DATABASE_URL", &url)]));
    let migrated = migrating.await.unwrap();
    assert!(migrated.status.success(), "{}", words(&migrated));
    serde_json::from_slice(&migrated.stdout).unwrap()
}
