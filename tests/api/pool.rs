//! The connection pool: sessions that are reused or replaced, session settings, and several hosts.

use std::{
    collections::BTreeSet,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use lmn_partner_api::{
    database::{Connection, Database},
    router::router,
};
use sqlx::{Executor, Row};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpListener,
    time::timeout,
};

use crate::{
    database::{TestDatabase, product},
    support::{Service, Vehicle, eventually, pool_sessions, settings},
    wire::{self, Fault, Moment, dial, url_at},
};

/// The server's answer to a new session that it accepts writes.
const ACCEPTS_WRITES: &[u8] = b"D\0\0\0\x0b\0\x01\0\0\0\x01t";
/// A time that is too short for a statement.
const HANG_UP: Duration = Duration::from_millis(20);

#[tokio::test]
async fn write_abandoned_while_it_begins_leaves_no_open_transaction() {
    let database = TestDatabase::new().await;
    // The fault is armed later, because the service loads the catalogue in a transaction, too.
    let (is_armed, begun) = (
        Arc::new(AtomicBool::new(false)),
        Arc::new(AtomicBool::new(false)),
    );
    let (armed, first) = (is_armed.clone(), begun.clone());
    let url = wire::string(&database, move |moment| {
        let is_begin = moment == Moment::Begin && armed.load(Ordering::SeqCst);
        match is_begin && !first.swap(true, Ordering::SeqCst) {
            true => Fault::HoldAnswer(Duration::from_millis(250)),
            false => Fault::None,
        }
    })
    .await;
    // Longer than the test waits, so that no timeout ends a transaction that was not rolled back.
    let settings = [
        settings::statement_seconds(90),
        settings::deadline_seconds(100),
    ];
    let service = Service::at(database, &url, &settings, router).await;
    let acme = service.partner("acme").await;
    service.vehicle(Vehicle::lot("glovis_1")).await;
    let order = acme.place_order("glovis_1", 12_000).await.id();
    is_armed.store(true, Ordering::SeqCst);
    let asked = {
        let (acme, order) = (acme.clone(), order.clone());
        tokio::spawn(async move { acme.cancel(&order).await })
    };
    let open = "select count(*) from pg_stat_activity
                where datname = current_database() and state like 'idle in transaction%'";
    eventually("the transaction has begun", async || {
        let is_open = begun.load(Ordering::SeqCst) && service.count(open).await == 1;
        is_open.then_some(())
    })
    .await;
    asked.abort();
    eventually("no transaction is open", async || {
        (service.count(open).await == 0).then_some(())
    })
    .await;
    assert_eq!(acme.order(&order).await.ok()["status"], "proceed");
    acme.cancel(&order).await.ok();
}

#[tokio::test]
async fn connection_to_a_silent_peer_is_replaced() {
    let database = TestDatabase::new().await;
    let silent = Arc::new(AtomicBool::new(false));
    let port = silencing_proxy(&database, silent.clone()).await;
    let pool = product(&url_at(&database, port), 2);
    select(&pool).await.unwrap();
    {
        let (mut one, mut two) = (pool.acquire().await.unwrap(), pool.acquire().await.unwrap());
        silent.store(true, Ordering::SeqCst);
        let cut = Duration::from_millis(100);
        assert!(timeout(cut, one.execute("select 1")).await.is_err());
        assert!(timeout(cut, two.execute("select 1")).await.is_err());
    }
    let mut answered = Err(sqlx::Error::PoolTimedOut);
    for _ in 0..3 {
        answered = select(&pool).await;
        if answered.is_ok() {
            break;
        }
    }
    answered.expect("the pool recovers by itself");
}

#[tokio::test]
async fn session_whose_caller_hangs_up_is_used_again() {
    let database = TestDatabase::new().await;
    let pool = product(&database.url(), 2);
    let mut seen = BTreeSet::new();
    for _ in 0..20 {
        let mut connection = pool.acquire().await.unwrap();
        seen.insert(pid(&mut connection).await);
        let sleeping = timeout(HANG_UP, connection.execute("select pg_sleep(0.1)"));
        assert!(sleeping.await.is_err(), "the statement takes longer");
        drop(connection);
        assert!(pool_sessions(&database.pool).await.len() <= 2);
    }
    assert!(seen.len() <= 2, "sessions were replaced: {seen:?}");
    let mut connection = pool.acquire().await.unwrap();
    assert!(seen.contains(&pid(&mut connection).await));
    drop(connection);
    eventually("every session is back in the pool", async || {
        (pool.status().used == 0).then_some(())
    })
    .await;
    assert_eq!(pool.status().max, 2);
    pool.close().await;
    assert!(matches!(pool.acquire().await, Err(sqlx::Error::PoolClosed)));
}

#[tokio::test]
async fn statement_that_runs_too_long_after_its_caller_hung_up_ends_with_its_session() {
    let database = TestDatabase::new().await;
    let pool = product(&database.url(), 1);
    let mut connection = pool.acquire().await.unwrap();
    let abandoned = pid(&mut connection).await;
    let sleeping = timeout(HANG_UP, connection.execute("select pg_sleep(6)"));
    assert!(sleeping.await.is_err(), "the statement takes longer");
    drop(connection);
    let mut connection = pool.acquire().await.unwrap();
    assert_ne!(pid(&mut connection).await, abandoned);
    eventually("the server has ended the abandoned session", async || {
        (pool_sessions(&database.pool).await.len() == 1).then_some(())
    })
    .await;
}

#[tokio::test]
async fn session_that_accepts_no_writes_any_more_is_replaced() {
    let database = TestDatabase::new().await;
    let pool = product(&database.url(), 1);
    let mut connection = pool.acquire().await.unwrap();
    let demoted = pid(&mut connection).await;
    let refused = connection
        .execute("begin read only; create table refused ()")
        .await
        .unwrap_err();
    let refused = refused.into_database_error().unwrap();
    assert_eq!(refused.code().as_deref(), Some("25006"));
    drop(connection);
    let mut connection = pool.acquire().await.unwrap();
    assert_ne!(pid(&mut connection).await, demoted);
}

#[tokio::test]
async fn ordinary_error_leaves_the_session_in_the_pool() {
    let database = TestDatabase::new().await;
    let pool = product(&database.url(), 1);
    let mut connection = pool.acquire().await.unwrap();
    let before = pid(&mut connection).await;
    connection.execute("select 1 / 0").await.unwrap_err();
    drop(connection);
    assert_eq!(pool.status().idle, 1);
    let mut connection = pool.acquire().await.unwrap();
    assert_eq!(pid(&mut connection).await, before);
}

#[tokio::test]
async fn defaults_of_the_role_and_the_database_do_not_reach_a_session() {
    let database = TestDatabase::new().await;
    let name = database.pool.connect_options();
    let name = name.get_database().unwrap();
    let leaks = [
        (
            "default_transaction_isolation",
            "'repeatable read'",
            "read committed",
        ),
        ("default_transaction_deferrable", "on", "off"),
        ("timezone", "'Asia/Seoul'", "UTC"),
        ("search_path", "''", "public"),
        ("lock_timeout", "1", "5000"),
        ("statement_timeout", "60000", "8000"),
        ("idle_in_transaction_session_timeout", "1", "8000"),
        ("jit", "on", "off"),
        ("application_name", "'another'", "lmn"),
        ("default_transaction_read_only", "on", "off"),
    ];
    let mut admin = database.pool.acquire().await.unwrap();
    for (setting, value, _) in leaks {
        for scope in [
            format!("database {name}"),
            format!("role current_user in database {name}"),
        ] {
            let alter = format!("alter {scope} set {setting} = {value}");
            admin.execute(sqlx::AssertSqlSafe(alter)).await.unwrap();
        }
    }
    let pool = product(&database.url(), 1);
    let mut connection = pool.acquire().await.unwrap();
    for (setting, _, expected) in leaks {
        let found: String =
            sqlx::query_scalar("select setting from pg_settings where lower(name) = $1")
                .bind(setting)
                .fetch_one(&mut connection)
                .await
                .unwrap();
        assert_eq!(found, expected, "{setting}");
    }
}

#[tokio::test]
async fn host_that_is_dead_silent_or_a_standby_is_passed_over() {
    let database = TestDatabase::new().await;
    let dead = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let dead_port = dead.local_addr().unwrap().port();
    drop(dead);
    let silent = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let silent_port = silent.local_addr().unwrap().port();
    let standby_port = standby(&database).await;
    for (first, what) in [
        (dead_port, "dead"),
        (silent_port, "silent"),
        (standby_port, "a standby"),
    ] {
        let pool = product(&two_hosts(&database, first).await, 1);
        let selected = select(&pool).await;
        selected.unwrap_or_else(|error| panic!("the first host is {what}: {error}"));
    }
    let alone = product(&url_at(&database, standby_port), 1);
    assert!(select(&alone).await.is_err(), "a standby is not used");
}

#[tokio::test]
async fn service_with_a_dead_host_receives_the_heartbeat_of_the_other_host() {
    let database = TestDatabase::new().await;
    let dead = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let dead_port = dead.local_addr().unwrap().port();
    drop(dead);
    let url = two_hosts(&database, dead_port).await;
    let service = Service::at(database, &url, &[], router).await;
    let listening = "select count(*) from pg_stat_activity
                     where datname = current_database() and application_name = 'lmn heartbeat'";
    eventually("the service listens", async || {
        (service.count(listening).await == 1).then_some(())
    })
    .await;
}

async fn select(pool: &Database) -> sqlx::Result<()> {
    pool.acquire().await?.execute("select 1").await.map(drop)
}

/// Returns the process id of the backend that serves a session.
async fn pid(connection: &mut Connection) -> i32 {
    let row = sqlx::query("select pg_backend_pid()");
    row.fetch_one(connection).await.unwrap().get(0)
}

/// Returns a URL with a host at a port of this machine, and the database itself as the second.
async fn two_hosts(database: &TestDatabase, first: u16) -> String {
    let second = wire::string(database, |_| Fault::None).await;
    second.replace("@127.0.0.1", &format!("@127.0.0.1:{first},127.0.0.1"))
}

/// Starts a proxy in front of a database that tells new sessions it is a standby; returns its port.
async fn standby(database: &TestDatabase) -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let options = (*database.pool.connect_options()).clone();
    tokio::spawn(async move {
        loop {
            let (client, _) = listener.accept().await.unwrap();
            let server = dial(&options).await.unwrap();
            let (mut client_reads, mut client_writes) = client.into_split();
            let (mut server_reads, mut server_writes) = tokio::io::split(server);
            tokio::spawn(
                async move { tokio::io::copy(&mut client_reads, &mut server_writes).await },
            );
            tokio::spawn(async move {
                let mut buffer = [0; 8192];
                while let Ok(length @ 1..) = server_reads.read(&mut buffer).await {
                    let answer = &mut buffer[..length];
                    let size = ACCEPTS_WRITES.len();
                    if let Some(at) = answer.windows(size).position(|it| it == ACCEPTS_WRITES) {
                        answer[at + size - 1] = b'f';
                    }
                    if client_writes.write_all(answer).await.is_err() {
                        break;
                    }
                }
            });
        }
    });
    port
}

/// Starts a proxy in front of a database; once `silent` is set, it forwards nothing more from the connections
/// opened before. Returns its port.
async fn silencing_proxy(database: &TestDatabase, silent: Arc<AtomicBool>) -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let options = (*database.pool.connect_options()).clone();
    tokio::spawn(async move {
        loop {
            let (client, _) = listener.accept().await.unwrap();
            let server = dial(&options).await.unwrap();
            let (mut client_reads, mut client_writes) = client.into_split();
            let (mut server_reads, mut server_writes) = tokio::io::split(server);
            let (silent, opened_silent) = (silent.clone(), silent.load(Ordering::SeqCst));
            tokio::spawn(async move {
                let mut buffer = [0; 8192];
                while let Ok(length @ 1..) = client_reads.read(&mut buffer).await {
                    if silent.load(Ordering::SeqCst) && !opened_silent {
                        std::future::pending::<()>().await;
                    }
                    if server_writes.write_all(&buffer[..length]).await.is_err() {
                        break;
                    }
                }
            });
            tokio::spawn(
                async move { tokio::io::copy(&mut server_reads, &mut client_writes).await },
            );
        }
    });
    port
}
