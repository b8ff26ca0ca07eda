//! Reports about databases: slow reads, migrations under load, inherited settings, wrong URLs, restores.
//! Fail-over and synchronous standbys are in the modules below.

mod failover;
mod replication;

use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};

use lmn_partner_api::{database::MIGRATOR, errors::catalogue::Code};
use reqwest::Method;
use serde_json::{Value, json};
use sqlx::{Executor, migrate::Migrator};
use tokio::{
    task::{JoinSet, spawn_blocking},
    time::timeout,
};

use crate::{
    database::{TestDatabase, product},
    process::{Process, run, words},
    support::{Partner, Service, Vehicle, eventually, key, wait_for_blocked_session},
};

/// The path of the webhook endpoint.
const ENDPOINT: &str = "/v1/webhook_endpoint";
/// The setting that allows an endpoint on this machine.
const OPEN: (&str, &str) = ("WEBHOOKS__OPEN_NETWORKS", "127.0.0.0/8");
/// The migration that these tests begin with.
const GUARDS: i64 = 15;

/// Counts the sessions of a database that wait for a lock.
async fn blocked(service: &Service) -> i64 {
    let query = "select count(*) from pg_stat_activity
                 where datname = current_database() and wait_event_type = 'Lock'";
    service.count(query).await
}

/// Puts the partner's webhook endpoint with a description.
async fn put_endpoint(acme: &Partner, description: &str) -> u16 {
    let wish = json!({"url": "http://127.0.0.1:9/hook", "description": description});
    let put = acme.ask(Method::PUT, ENDPOINT).json(&wish);
    put.send().await.status
}

#[tokio::test]
async fn slow_reads_leave_connections_for_writes() {
    // A pool of eight connections.
    let service = Service::start().await;
    let (acme, rival) = (
        service.partner("acme").await,
        service.partner("rival").await,
    );
    service.vehicle(Vehicle::lot("glovis_1")).await;
    acme.get("/v1/events").await.ok();
    // The key of the rival is cached from now on.
    rival.get("/v1/events").await.ok();
    // Lists of events wait for this lock, and orders do not need the table.
    let mut holder = service.db().begin().await.unwrap();
    holder
        .execute("lock table events in access exclusive mode")
        .await
        .unwrap();
    let mut reads = JoinSet::new();
    for _ in 0..20 {
        let acme = acme.clone();
        reads.spawn(async move { acme.get("/v1/events").await.status });
    }
    eventually("all reads are in progress", async || {
        let in_flight = service.metric("lmn_http_requests_in_flight").await;
        (in_flight >= 20.0 && blocked(&service).await >= 6).then_some(())
    })
    .await;
    let began = Instant::now();
    rival.place_order("glovis_1", 12_000).await.created();
    assert!(
        began.elapsed() < Duration::from_secs(2),
        "{:?}",
        began.elapsed()
    );
    assert_eq!(blocked(&service).await, 6, "reads have six of the eight");
    holder.rollback().await.unwrap();
    while let Some(status) = reads.join_next().await {
        assert!(matches!(status.unwrap(), 200 | 503));
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn migration_that_retypes_columns_under_load_fails_no_read_and_no_replay() {
    let service = Service::with(&[OPEN]).await;
    let acme = service.partner("acme").await;
    service.vehicle(Vehicle::lot("glovis_1")).await;
    assert_eq!(put_endpoint(&acme, "0").await, 201);
    let key = key();
    let placed = acme.place_order_once(&key, "glovis_1", 12_000).await;
    placed.created();
    let mut load = JoinSet::new();
    let answered = Arc::new(AtomicUsize::new(0));
    for n in 0..6 {
        let (acme, key, placed) = (acme.clone(), key.clone(), placed.clone());
        let answered = answered.clone();
        load.spawn(async move {
            for turn in 0..60 {
                answered.fetch_add(1, Ordering::SeqCst);
                match n % 3 {
                    0 => drop(acme.get(ENDPOINT).await.ok()),
                    1 => {
                        let again = acme.place_order_once(&key, "glovis_1", 12_000).await;
                        again.replays(&placed);
                    }
                    // Its transaction has locked the feed before it reads the endpoint, so it may have to be sent again.
                    _ => {
                        let status = put_endpoint(&acme, &turn.to_string()).await;
                        assert!(matches!(status, 200 | 503), "{status}");
                    }
                }
            }
        });
    }
    let mut flips = 0;
    while !load.is_empty() {
        let to = ["varchar", "text"][flips % 2];
        service
            .sql_elsewhere(&format!(
                "alter table webhook_endpoints alter column description type {to};
                 alter table idempotency_keys alter column reply_location type {to}"
            ))
            .await;
        flips += 1;
        // A statement is sent again once, so the next change waits until each plan has been used.
        let before = answered.load(Ordering::SeqCst);
        eventually("requests were answered meanwhile", async || {
            while let Some(done) = load.try_join_next() {
                done.unwrap();
            }
            let is_used = answered.load(Ordering::SeqCst) >= before + 24;
            (is_used || load.is_empty()).then_some(())
        })
        .await;
    }
    assert!(flips > 2, "the types changed under load");
}

#[tokio::test]
async fn write_whose_plan_dies_in_mid_transaction_is_503_once() {
    // One session, whose plans are known.
    let service = Service::with(&[OPEN, ("DATABASE__CONNECTIONS_MAX", "1")]).await;
    let acme = service.partner("acme").await;
    assert_eq!(put_endpoint(&acme, "0").await, 201);
    let rotate = async |key: &str| {
        let path = format!("{ENDPOINT}/rotate_secret");
        acme.post_once(key, &path, json!({})).await
    };
    rotate(&key()).await.ok();
    let retype = "alter table webhook_endpoints alter column description type varchar";
    service.sql_elsewhere(retype).await;
    let key = key();
    let reply = rotate(&key).await;
    reply.refused(503, Code::ServiceUnavailable);
    assert_eq!(reply.outcome(), ("unbound", "false"));
    let reply = rotate(&key).await;
    reply.ok();
    assert_eq!(reply.outcome(), ("bound", "false"));
    assert_eq!(service.metric("lmn_internal_errors_total").await, 0.0);
}

#[tokio::test]
async fn session_whose_plans_the_server_has_forgotten_prepares_them_anew() {
    let database = TestDatabase::new().await;
    let pool = product(&database.url(), 1);
    let mut connection = pool.acquire().await.unwrap();
    let mut pids = Vec::new();
    for _ in 0..2 {
        let pid: i32 = sqlx::query_scalar("select pg_backend_pid()")
            .fetch_one(&mut connection)
            .await
            .unwrap();
        pids.push(pid);
        // As a pooler does between two clients.
        connection.execute("deallocate all").await.unwrap();
    }
    assert_eq!(pids[0], pids[1], "the session is the same");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn inherited_settings_change_nothing() {
    let database = TestDatabase::new().await;
    let mut admin = database.pool.acquire().await.unwrap();
    let name = database.pool.connect_options();
    let name = name.get_database().unwrap();
    Vehicle::lot("glovis_1").insert(&database).await;
    let hostile = [
        ("default_transaction_isolation", "'serializable'"),
        ("default_transaction_read_only", "on"),
        ("default_transaction_deferrable", "on"),
        ("timezone", "'Asia/Kathmandu'"),
        ("search_path", "''"),
        ("statement_timeout", "1"),
        ("lock_timeout", "1"),
        ("idle_in_transaction_session_timeout", "1"),
        ("idle_session_timeout", "50"),
        ("client_min_messages", "'error'"),
        ("standard_conforming_strings", "off"),
        ("transform_null_equals", "on"),
        ("array_nulls", "off"),
        ("exit_on_error", "on"),
        ("plan_cache_mode", "'force_custom_plan'"),
        ("synchronous_commit", "off"),
        ("session_replication_role", "'replica'"),
    ];
    for (setting, value) in hostile {
        for scope in [
            format!("database {name}"),
            format!("role current_user in database {name}"),
        ] {
            let alter = format!("alter {scope} set {setting} = {value}");
            let altered = admin.execute(sqlx::AssertSqlSafe(alter)).await;
            altered.unwrap();
        }
    }
    let url = database.url();
    let server = spawn_blocking(move || {
        let variables = [
            ("DATABASE_URL", url.as_str()),
            ("LMN_SERVER__LISTEN", "127.0.0.1:0"),
            ("LMN_LOG__FILTER", "off"),
        ];
        let arguments = ["serve", "--migrate", "--json", "--no-worker"];
        Process::start(&arguments, &variables)
    });
    let server = server.await.unwrap();
    // The sessions of the test would inherit the settings, too, so it adds the partner by the one that is open.
    let acme = add_partner(&mut admin, server.url()).await;
    let key = key();
    let mut requests = JoinSet::new();
    for _ in 0..8 {
        let (acme, key) = (acme.clone(), key.clone());
        requests.spawn(async move { acme.place_order_once(&key, "glovis_1", 12_000).await });
    }
    let mut statuses: Vec<_> = requests
        .join_all()
        .await
        .iter()
        .map(|it| it.status)
        .collect();
    statuses.sort_unstable();
    assert_eq!(statuses, [200, 200, 200, 200, 200, 200, 200, 201]);
    // The triggers run: this one gives each changed catalogue a version, and replicas see the change.
    let change = "set search_path = public; set session_replication_role = 'origin';
                  update vehicles set listing_usd = 11000 where id = 'glovis_1'";
    admin.execute(change).await.unwrap();
    eventually("the price is shown", async || {
        let vehicle = acme.get("/v1/vehicles/glovis_1").await.ok();
        (vehicle["pricing"]["listing_usd"] == 11_000).then_some(())
    })
    .await;
}

/// Adds a partner with a key over one connection.
async fn add_partner(admin: &mut sqlx::PgConnection, url: &str) -> Partner {
    let id = uuid::Uuid::new_v4();
    let api_key = format!("lmn_stg_{:0<28}", "hostile");
    sqlx::query(
        "insert into partners (id, name, created_at, read_limit, read_window_seconds, read_burst)
         values ($1, 'acme', now(), 100000, 1, 100000)",
    )
    .bind(id)
    .execute(&mut *admin)
    .await
    .unwrap();
    sqlx::query(
        "insert into api_keys (id, partner_id, digest, prefix, created_at)
         values ($1, $2, sha256($3::text::bytea), left($3, 12), now())",
    )
    .bind(uuid::Uuid::new_v4())
    .bind(id)
    .bind(&api_key)
    .execute(&mut *admin)
    .await
    .unwrap();
    Partner::known(url, id, &api_key)
}

#[tokio::test(flavor = "multi_thread")]
async fn database_of_the_other_environment_is_refused_before_anything_is_changed() {
    let database = TestDatabase::empty().await;
    let url = database.url();
    let production = [
        ("DATABASE_URL", url.as_str()),
        ("LMN_ENVIRONMENT", "production"),
    ];
    let made = run(&["migrate"], &production);
    assert!(made.status.success(), "{}", words(&made));
    // As if the binary had one migration more than the database.
    let newest = "delete from _sqlx_migrations
                  where version = (select max(version) from _sqlx_migrations)";
    database.pool.execute(newest).await.unwrap();
    let state = async || -> (i64, String) {
        sqlx::query_as("select count(*), max(installed_on)::text from _sqlx_migrations")
            .fetch_one(&database.pool)
            .await
            .unwrap()
    };
    let before = state().await;
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path().to_str().unwrap();
    let sandbox = [
        ("DATABASE_URL", url.as_str()),
        ("LMN_SERVER__LISTEN", "127.0.0.1:0"),
    ];
    for command in [
        ["migrate"].as_slice(),
        &["serve", "--migrate"],
        &["dev", "--port", "0", "--data-dir", folder],
    ] {
        let refused = run(command, &sandbox);
        assert_eq!(refused.status.code(), Some(1), "{command:?}");
        let said = words(&refused);
        assert!(said.contains("the database is a production one"), "{said}");
        assert_eq!(state().await, before, "{command:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn older_binary_accepts_a_newer_schema_that_serves_it() {
    let database = TestDatabase::new().await;
    let url = database.url();
    let variables = [("DATABASE_URL", url.as_str())];
    let newer =
        "insert into _sqlx_migrations (version, description, success, checksum, execution_time)
                 values (9999, 'of a newer binary', true, '', 0)";
    database.pool.execute(newer).await.unwrap();
    let accepted = run(&["migrate", "--json"], &variables);
    assert!(accepted.status.success(), "{}", words(&accepted));
    let printed: Value = serde_json::from_slice(&accepted.stdout).unwrap();
    assert_eq!(printed["newer_migrations"], 1);
    assert!(
        words(&accepted).contains("newer than this binary by 1 migrations"),
        "{}",
        words(&accepted)
    );
    // A migration that takes away what this binary uses.
    let contracted = "update deployment set oldest_binary = 9999";
    database.pool.execute(contracted).await.unwrap();
    for command in [["migrate"].as_slice(), &["serve"], &["partner", "list"]] {
        let refused = run(command, &variables);
        assert_eq!(refused.status.code(), Some(1), "{command:?}");
        let said = words(&refused);
        assert!(
            said.contains("serves only binaries that know migration 9999"),
            "{command:?}: {said}"
        );
    }
}

#[tokio::test]
async fn rows_written_with_an_empty_search_path_run_their_triggers() {
    let service = Service::start().await;
    let acme = service.partner("acme").await;
    // As a restore does it.
    service
        .sql(
            "begin;
             set local search_path = '';
             insert into public.vehicles (id, source, make, model, year, mileage_km, listing_usd, auction_date,
                                          auction_result, listed_at, updated_at, priced_at)
             select 'glovis_' || n, 'glovis', 'Hyundai', 'Grandeur', 2021, 40000, 10000,
                    date_trunc('day', now() + interval '10 days'), 'upcoming', date_trunc('day', now()),
                    date_trunc('day', now()), date_trunc('day', now())
             from generate_series(1, 3) as n;
             update public.vehicles set listing_usd = 11000 where id = 'glovis_2';
             delete from public.vehicles where id = 'glovis_3';
             update public.partners set clock_offset_seconds = 0;
             update public.api_keys set expires_at = null;
             insert into public.allowed_networks (partner_id, network, created_at)
             select id, '127.0.0.0/8', now() from public.partners;
             commit",
        )
        .await;
    let vehicle = acme.get("/v1/vehicles/glovis_2").await.ok();
    assert_eq!(vehicle["pricing"]["listing_usd"], 11_000);
    assert_eq!(acme.get("/v1/vehicles/glovis_3").await.status, 404);
    let order = acme.place_order("glovis_1", 12_000).await;
    order.created();
    let mut restore = service.db().begin().await.unwrap();
    restore.execute("set local search_path = ''").await.unwrap();
    let kept = restore.execute("delete from public.vehicles").await;
    let kept = kept.unwrap_err().into_database_error().unwrap();
    assert_eq!(kept.code().as_deref(), Some("23503"), "{kept}");
    restore.rollback().await.unwrap();
    // The kind: a trigger's function that names one of our tables without its schema.
    let unqualified: Vec<(String, String)> = sqlx::query_as(
        "select proname::text, relname::text
         from pg_proc join pg_class on relnamespace = 'public'::regnamespace and relkind in ('r', 'v')
         where pg_proc.oid in (select tgfoid from pg_trigger) and pronamespace = 'public'::regnamespace
           and prosrc ~* ('\\m(from|join|into|update)\\s+' || relname || '\\M')",
    )
    .fetch_all(service.db())
    .await
    .unwrap();
    assert!(unqualified.is_empty(), "{unqualified:?}");
}

#[test]
fn database_url_is_checked_with_the_other_settings() {
    for (url, is_valid) in [
        ("postgres://lmn:secret@one:5433,two/lmn", true),
        ("postgres://lmn:secret%231@one/lmn", true),
        ("postgresql:///lmn?host=/run/postgresql", true),
        ("postgres://lmn:secret#1@one/lmn", false),
        ("postgres://lmn:12#secret@one/lmn", false),
        ("postgres://lmn:12/secret@one/lmn", false),
        ("postgres://lmn:secret@one:port/lmn", false),
        ("postgres://lmn:secret@one,,two/lmn", false),
        ("postgres:///lmn?host=one,two", false),
    ] {
        let checked = run(&["config", "check", "--json"], &[("DATABASE_URL", url)]);
        assert_eq!(checked.status.success(), is_valid, "{url}");
        let printed = String::from_utf8(checked.stdout.clone()).unwrap();
        assert!(!printed.contains("secret") && !words(&checked).contains("secret"));
        let printed: Value = serde_json::from_str(&printed).unwrap();
        assert_eq!(printed["valid"], is_valid, "{url}");
        let complaints = printed["complaints"].as_array().unwrap();
        assert!(
            complaints
                .iter()
                .all(|it| it.as_str().unwrap().starts_with("database.url: ")),
            "{complaints:?}"
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn migration_behind_a_dump_lets_the_traffic_pass_and_gives_up() {
    let database = TestDatabase::empty().await;
    let mut connection = database.pool.acquire().await.unwrap();
    connection
        .execute("select set_config('lmn.environment', 'sandbox', false)")
        .await
        .unwrap();
    let earlier = MIGRATOR.iter().filter(|it| it.version < GUARDS).cloned();
    Migrator::with_migrations(earlier.collect())
        .run(&mut *connection)
        .await
        .unwrap();
    drop(connection);
    let mut dump = database.pool.begin().await.unwrap();
    dump.execute("lock table deployment in access share mode")
        .await
        .unwrap();
    let url = database.url();
    let migrate = {
        let url = url.clone();
        move || run(&["migrate"], &[("DATABASE_URL", &url)])
    };
    let migrating = spawn_blocking(migrate.clone());
    wait_for_blocked_session(&database.pool).await;
    let mut longest = Duration::ZERO;
    while !migrating.is_finished() {
        let began = Instant::now();
        let read = database.pool.execute("select from deployment");
        let read = timeout(Duration::from_secs(3), read).await;
        read.expect("traffic passes").unwrap();
        longest = longest.max(began.elapsed());
    }
    assert!(longest < Duration::from_secs(2), "{longest:?}");
    let refused = migrating.await.unwrap();
    assert_eq!(refused.status.code(), Some(1));
    let said = words(&refused);
    assert!(said.contains("did not get a lock in 4 tries"), "{said}");
    dump.rollback().await.unwrap();
    let migrated = migrate();
    assert!(migrated.status.success(), "{}", words(&migrated));
}
