//! A partner before and after a restore.

use std::{net::SocketAddr, ops::RangeInclusive};

use bytes::Bytes;
use dev_postgres::Cluster;
use lmn_partner_api::operators::model::Role;
use serde_json::json;
use sqlx::{AssertSqlSafe, Executor, PgPool, postgres::PgPoolOptions};
use tempfile::TempDir;
use tokio::task::spawn_blocking;

use crate::{
    cluster,
    database::product,
    invariants::check_invariants,
    orders::add_vehicles,
    process::{Process, run, words},
    support::{Operator, OperatorApi, Partner, Reply, Sink, eventually, key, settings},
};

/// The database on each cluster.
pub const DATABASE: &str = "lmn";
/// Number of vehicles, each ordered once.
pub const VEHICLES: usize = 12;
/// The bid of every order.
pub const BID: i64 = 12_000;
/// The feed of all events, oldest first.
const FEED: &str = "/v1/events?after=evt_00000000000000000000000000";

/// A server on a cluster of its own, with a partner whose receiver is away.
pub struct Scene {
    pub folder: TempDir,
    pub cluster: Cluster,
    server: Process,
    pub db: PgPool,
    pub acme: Partner,
    receiver: SocketAddr,
}

/// A write of the partner that placed an order.
pub struct Placed {
    pub key: String,
    pub vehicle: String,
    pub reply: Reply,
}

/// The orders, events and cursor of the partner at a moment.
pub struct Known {
    pub placed: Vec<Placed>,
    /// The orders as they are read, in the sequence in which they were placed.
    orders: Vec<Bytes>,
    /// The ids of the first events, and the cursor of those after them.
    read: (Vec<String>, Option<String>),
    /// The ids of all events, oldest first.
    feed: Vec<String>,
}

impl Scene {
    /// Starts a server on a cluster, with vehicles and a partner.
    pub async fn on(folder: TempDir, cluster: Cluster) -> Self {
        let url = create_database(&cluster).await;
        migrate(&url).await;
        let db = connect(&url).await;
        add_vehicles(&db, VEHICLES).await;
        // It also renders the vehicles.
        migrate(&url).await;
        let server = serve(&url).await;
        let acme = Partner::add(&db, server.url(), "acme").await;
        let sink = Sink::start().await;
        acme.hook(json!({"url": sink.url()})).await.expect(201);
        let receiver = sink.stop().await;
        Self {
            folder,
            cluster,
            server,
            db,
            acme,
            receiver,
        }
    }

    /// Places an order on each of these vehicles, and changes its price twice, which makes two events.
    pub async fn place_orders(&self, vehicles: RangeInclusive<usize>) -> Vec<Placed> {
        let operator = Operator::at(&product(&self.cluster.url(DATABASE), 2));
        let mut all = Vec::new();
        for n in vehicles {
            let (key, vehicle) = (key(), format!("glovis_{n}"));
            let reply = self.acme.place_order_once(&key, &vehicle, BID).await;
            reply.created();
            for price in [10_500, 11_000] {
                operator.reprice(&vehicle, price).await.unwrap();
            }
            all.push(Placed {
                key,
                vehicle,
                reply,
            });
        }
        all
    }

    pub async fn execute(&self, statement: &str) {
        let executed = self.db.execute(AssertSqlSafe(statement.to_owned())).await;
        executed.unwrap();
    }

    /// Stops the server and its cluster: a restored database must not meet their clients.
    pub async fn end(self) -> (TempDir, Partner, SocketAddr) {
        stop(self.server).await;
        self.db.close().await;
        cluster::stop(self.cluster).await;
        (self.folder, self.acme, self.receiver)
    }
}

impl Known {
    /// Reads what the partner has.
    pub async fn of(
        acme: &Partner,
        placed: Vec<Placed>,
        read: (Vec<String>, Option<String>),
    ) -> Self {
        let orders = read_orders(acme, &placed).await;
        assert!(read.1.is_some(), "the walk is not over");
        Self {
            placed,
            orders,
            read,
            feed: walk(acme, None).await,
        }
    }
}

/// A server on a restored database.
pub struct Restored {
    server: Process,
    pub db: PgPool,
    pub acme: Partner,
}

impl Restored {
    /// Starts a server on a restored database, and checks that its partner finds everything as it was and goes on.
    pub async fn check(url: &str, acme: Partner, known: Known, receiver: SocketAddr) -> Self {
        let db = connect(url).await;
        let before = migrations(&db).await;
        migrate(url).await;
        assert_eq!(migrations(&db).await, before, "no migration was missing");
        check_invariants(&db).await;
        let server = serve(url).await;
        let acme = acme.at(server.url());

        assert_eq!(read_orders(&acme, &known.placed).await, known.orders);
        let listed = acme.get("/v1/orders?limit=200").await.ids();
        assert_eq!(listed.len(), known.orders.len());
        for it in &known.placed {
            let again = acme.place_order_once(&it.key, &it.vehicle, BID).await;
            again.replays(&it.reply);
        }
        let (first, cursor) = known.read;
        let rest = walk(&acme, cursor).await;
        assert_eq!([first, rest].concat(), known.feed, "the cursor goes on");

        let restored = Self { server, db, acme };
        restored.check_deliveries(&known.placed, receiver).await;
        restored
    }

    /// Lets the receiver come back, and checks that it gets every event, those of an order in their sequence.
    async fn check_deliveries(&self, placed: &[Placed], receiver: SocketAddr) {
        let sink = Sink::at(&receiver.to_string()).await;
        let pending = "select count(*) from events where delivery_status <> 'delivered'";
        eventually("every event is delivered", async || {
            let pending: i64 = sqlx::query_scalar(pending)
                .fetch_one(&self.db)
                .await
                .unwrap();
            if pending > 0 {
                // Failed attempts are repeated some minutes later.
                self.acme.wait(60).await;
            }
            (pending == 0).then_some(())
        })
        .await;
        let taken = sink.taken();
        for order in placed.iter().map(|it| it.reply.id()) {
            let of_order = taken.iter().filter(|it| it.0 == order);
            let mut sequence: Vec<i64> = of_order.map(|it| it.1).collect();
            // An event may arrive twice.
            sequence.dedup();
            assert_eq!(sequence, [1, 2], "{order}");
        }
    }

    /// Checks that the operators' feed of changes shows the orders.
    pub async fn check_changes(&self, orders: usize) {
        let operator_url = self.server.operator_url();
        let vera = OperatorApi::at(&self.db, operator_url, "vera", Role::Viewer).await;
        eventually("the changes are shown", async || {
            let changes = vera.rows("/changes?limit=200").await;
            let placed = changes.iter().filter(|it| it["action"] == "order.placed");
            (placed.count() == orders).then_some(())
        })
        .await;
    }

    pub async fn end(self) {
        stop(self.server).await;
        check_invariants(&self.db).await;
        self.db.close().await;
    }
}

/// Creates the database of a cluster, and returns its URL.
pub async fn create_database(cluster: &Cluster) -> String {
    let url = cluster.url("postgres");
    let arguments = [
        "--maintenance-db",
        &url,
        "--template=template0",
        "--encoding=UTF8",
        DATABASE,
    ];
    cluster::run(cluster, "createdb", &arguments).await;
    cluster.url(DATABASE)
}

async fn connect(url: &str) -> PgPool {
    let options = PgPoolOptions::new().max_connections(4);
    options.connect(url).await.unwrap()
}

/// Runs `lmn migrate`.
async fn migrate(url: &str) {
    let url = url.to_owned();
    let migrating = spawn_blocking(move || run(&["migrate"], &[("DATABASE_URL", &url)]));
    let migrated = migrating.await.unwrap();
    assert!(
        migrated.status.success() && words(&migrated).contains("is up to date"),
        "{}",
        words(&migrated)
    );
}

/// Returns the number of applied migrations and the time of the last one.
async fn migrations(db: &PgPool) -> (i64, String) {
    sqlx::query_as("select count(*), max(installed_on)::text from _sqlx_migrations")
        .fetch_one(db)
        .await
        .unwrap()
}

/// Starts a server, which also delivers events.
async fn serve(url: &str) -> Process {
    let url = url.to_owned();
    let starting = spawn_blocking(move || {
        let settings = [
            settings::LOCAL_ENDPOINTS,
            settings::poll_milliseconds(50),
            settings::LOG_OFF,
        ];
        Process::on(&url, &["serve", "--json"], &settings)
    });
    starting.await.unwrap()
}

async fn stop(server: Process) {
    spawn_blocking(|| server.stop()).await.unwrap();
}

/// Reads the orders.
async fn read_orders(acme: &Partner, placed: &[Placed]) -> Vec<Bytes> {
    let mut orders = Vec::new();
    for it in placed {
        let order = acme.order(&it.reply.id()).await;
        order.ok();
        orders.push(order.body);
    }
    orders
}

/// Reads a page of the feed; returns the ids of its events and the cursor of the next one.
pub async fn page(
    acme: &Partner,
    limit: usize,
    cursor: Option<&str>,
) -> (Vec<String>, Option<String>) {
    let cursor = cursor.map_or_else(String::new, |it| format!("&cursor={it}"));
    let page = acme.get(&format!("{FEED}&limit={limit}{cursor}")).await;
    let next = page.ok()["next_cursor"].as_str().map(str::to_owned);
    (page.ids(), next)
}

/// Reads the feed to its end, from a cursor or from its beginning; returns the ids of the events.
pub async fn walk(acme: &Partner, cursor: Option<String>) -> Vec<String> {
    let (mut all, mut next) = page(acme, 3, cursor.as_deref()).await;
    while let Some(cursor) = next {
        let (ids, after) = page(acme, 3, Some(&cursor)).await;
        all.extend(ids);
        next = after;
    }
    all
}
