//! A synchronous standby that is gone. No commit is acknowledged that a failover would lose, not even later, as a replay.
//!
//! Each test has a server of its own, because the setting concerns a whole server.

use dev_postgres::{Cluster, Purpose};
use lmn_partner_api::{cli::dev_db, errors::catalogue::Code};
use reqwest::Method;
use serde_json::json;
use sqlx::{
    PgPool,
    postgres::{PgListener, PgPoolOptions},
};
use tokio::task::spawn_blocking;

use super::{ENDPOINT, OPEN, put_endpoint};
use crate::{
    process::Process,
    support::{Partner, Service, eventually, key},
};

/// Counts the sessions whose commits wait for the standby.
const WAITING: &str = "select count(*) from pg_stat_activity where wait_event = 'SyncRep'";
/// Counts those of the replica.
const REPLICA_WAITING: &str = "select count(*) from pg_stat_activity
                               where wait_event = 'SyncRep' and application_name = 'lmn'";

/// A replica on a PostgreSQL server of its own.
struct Scene {
    db: PgPool,
    server: Process,
    acme: Partner,
    // Dropped last: the server runs as long as the cluster is held.
    _cluster: Cluster,
    _folder: tempfile::TempDir,
}

impl Scene {
    /// Starts both, with two lots and no standby.
    async fn start() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let dir = folder.path().join("pg");
        let started = spawn_blocking(move || {
            let supervisor = dev_db::supervisor(env!("CARGO_BIN_EXE_lmn"));
            // The settings for tests would switch replication off.
            let cluster = Cluster::ensure(&dir, Purpose::Data, &supervisor, &|_| {}).unwrap();
            let url = cluster.url("postgres");
            let variables = [
                ("DATABASE_URL", url.as_str()),
                ("LMN_SERVER__LISTEN", "127.0.0.1:0"),
                ("LMN_DATABASE__STATEMENT_SECONDS", "2"),
                ("LMN_DATABASE__LOCK_SECONDS", "1"),
                ("LMN_WEBHOOKS__OPEN_NETWORKS", "127.0.0.0/8"),
                ("LMN_LOG__FILTER", "off"),
            ];
            let arguments = ["serve", "--migrate", "--json", "--no-worker"];
            (Process::start(&arguments, &variables), url, cluster)
        });
        let (server, url, cluster) = started.await.unwrap();
        let db = PgPoolOptions::new().connect(&url).await.unwrap();
        let acme = Partner::add(&db, server.url(), "acme").await;
        let scene = Self {
            db,
            server,
            acme,
            _cluster: cluster,
            _folder: folder,
        };
        scene
            .sql(
                "create table witness (n integer);
                 insert into vehicles (id, source, make, model, year, mileage_km, listing_usd, auction_date,
                                       auction_result, listed_at, updated_at, priced_at, summary, detail)
                 select 'glovis_' || n, 'glovis', 'Hyundai', 'Grandeur', 2021, 40000, 10000,
                        date_trunc('day', now() + interval '10 days'), 'upcoming', date_trunc('day', now()),
                        date_trunc('day', now()), date_trunc('day', now()), '{}', '{}'
                 from generate_series(1, 2) as n",
            )
            .await;
        eventually("the lots are listed", async || {
            let listed = scene.acme.get("/v1/vehicles?ids=glovis_1,glovis_2").await;
            (listed.status == 200 && listed.ids().len() == 2).then_some(())
        })
        .await;
        scene
    }

    async fn sql(&self, statement: &'static str) {
        let done = sqlx::raw_sql(statement).execute(&self.db).await;
        done.expect(statement);
    }

    /// Configures a synchronous standby that does not exist, and waits until commits wait for it.
    async fn lose_standby(&self) {
        self.sql("alter system set synchronous_standby_names = 'absent'")
            .await;
        self.sql("select pg_reload_conf()").await;
        let db = self.db.clone();
        // Commits until a commit waits.
        let committing = tokio::spawn(async move {
            loop {
                let committed = sqlx::raw_sql("insert into witness values (1)");
                committed.execute(&db).await.unwrap();
            }
        });
        eventually("commits wait for the standby", async || {
            (self.count(WAITING).await > 0).then_some(())
        })
        .await;
        committing.abort();
    }

    /// Takes the standby out of the configuration, which releases all commits.
    async fn forget_standby(&self) {
        self.sql("alter system reset synchronous_standby_names")
            .await;
        self.sql("select pg_reload_conf()").await;
        eventually("no commit waits", async || {
            (self.count(WAITING).await == 0).then_some(())
        })
        .await;
    }

    /// Waits until more commits of the replica wait for the standby than before.
    async fn replica_waits(&self, before: i64) {
        eventually("a commit of the replica waits", async || {
            (self.count(REPLICA_WAITING).await > before).then_some(())
        })
        .await;
    }

    async fn count(&self, query: &'static str) -> i64 {
        sqlx::query_scalar(query)
            .fetch_one(&self.db)
            .await
            .expect(query)
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn commit_whose_wait_for_the_standby_is_cancelled_is_not_acknowledged() {
    let scene = Scene::start().await;
    scene.lose_standby().await;
    let key = key();
    let placing = {
        let (acme, key) = (scene.acme.clone(), key.clone());
        tokio::spawn(async move { acme.place_order_once(&key, "glovis_1", 12_000).await })
    };
    scene.replica_waits(0).await;
    scene
        .sql(
            "select pg_cancel_backend(pid) from pg_stat_activity
             where wait_event = 'SyncRep' and application_name = 'lmn'",
        )
        .await;
    let reply = placing.await.unwrap();
    reply.refused(503, Code::ServiceUnavailable);
    assert_eq!(reply.outcome(), ("unknown", "false"));
    scene.forget_standby().await;
    let reply = scene.acme.place_order_once(&key, "glovis_1", 12_000).await;
    reply.ok();
    assert_eq!(reply.outcome(), ("replayed", "true"));
    assert_eq!(scene.count("select count(*) from orders").await, 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn replay_waits_until_the_standby_has_its_commit() {
    let scene = Scene::start().await;
    scene.lose_standby().await;
    let key = key();
    let place = || {
        let (acme, key) = (scene.acme.clone(), key.clone());
        tokio::spawn(async move { acme.place_order_once(&key, "glovis_1", 12_000).await })
    };
    let placing = place();
    scene.replica_waits(0).await;
    // The session ends, so the order is visible on this server, and on no other.
    scene
        .sql(
            "select pg_terminate_backend(pid) from pg_stat_activity
             where wait_event = 'SyncRep' and application_name = 'lmn'",
        )
        .await;
    let reply = placing.await.unwrap();
    reply.refused(503, Code::ServiceUnavailable);
    assert_eq!(reply.outcome(), ("unknown", "false"));
    assert_eq!(scene.count("select count(*) from orders").await, 1);
    // The first repetition finds the key when it is bound, the second in what this replica remembers.
    for turn in 0..2 {
        if turn > 0 {
            scene.lose_standby().await;
        }
        let before = scene.count(REPLICA_WAITING).await;
        let replaying = place();
        scene.replica_waits(before).await;
        assert!(!replaying.is_finished(), "the replay waits");
        scene.forget_standby().await;
        let reply = replaying.await.unwrap();
        reply.ok();
        assert_eq!(reply.outcome(), ("replayed", "true"));
    }
    assert_eq!(scene.count("select count(*) from orders").await, 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn commit_of_an_event_holds_no_lock_of_the_whole_server() {
    let scene = Scene::start().await;
    assert_eq!(put_endpoint(&scene.acme, "hook").await, 201);
    scene.lose_standby().await;
    let testing = {
        let acme = scene.acme.clone();
        tokio::spawn(async move { acme.post(&format!("{ENDPOINT}/test"), json!({})).await })
    };
    scene.replica_waits(0).await;
    // The lock of a transaction that notifies, from before its commit is written until the standby has it.
    let locks = "select count(*) from pg_locks
                 where locktype = 'object' and classid = 'pg_database'::regclass and objid = 0";
    assert_eq!(scene.count(locks).await, 0);
    scene.forget_standby().await;
    assert!(matches!(testing.await.unwrap().status, 202 | 503));
}

#[tokio::test]
async fn delivery_is_announced_after_the_commit_of_its_event() {
    let service = Service::with(&[OPEN]).await;
    let acme = service.partner("acme").await;
    assert_eq!(put_endpoint(&acme, "hook").await, 201);
    let mut listener = PgListener::connect_with(service.db()).await.unwrap();
    listener.listen("lmn_webhooks").await.unwrap();
    let test = acme.ask(Method::POST, &format!("{ENDPOINT}/test"));
    test.key(&key()).json(&json!({})).send().await.expect(202);
    listener.recv().await.unwrap();
    let pending = "select count(*) from events where delivery_status = 'pending'";
    assert_eq!(service.count(pending).await, 1);
}
