//! Two faults of sqlx 0.9.0's pool, and that ours is free of them (`db/pool.rs`). Delete when a release fixes them.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use lmn_partner_api::{db, router::router, settings::Settings};
use sqlx::{Executor, PgPool};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, UnixStream},
};

use crate::{
    database::TestDatabase,
    support::{Car, Service, eventually},
    wire::{self, Fault, Moment},
};

/// The product's own pool.
fn pool(url: &str, connections: &str) -> PgPool {
    let variables = [
        ("DATABASE_URL", url),
        ("LMN_DATABASE__CONNECTIONS_MAX", connections),
    ];
    let variables = variables.map(|(name, value)| (name.to_owned(), value.to_owned()));
    let settings = Settings::read(None, &variables).expect("the settings are right");
    db::connect(&settings.database).expect("the URL can be read")
}

#[tokio::test]
async fn a_write_that_is_called_off_while_it_begins_leaves_no_transaction_behind() {
    let database = TestDatabase::new().await;
    let begun = Arc::new(AtomicBool::new(false));
    let first = begun.clone();
    let url = wire::string(&database, move |moment| {
        let is_first = moment == Moment::Begin && !first.swap(true, Ordering::SeqCst);
        match is_first {
            true => Fault::HoldAnswer(Duration::from_millis(250)),
            false => Fault::None,
        }
    })
    .await;
    // Far beyond what the test waits for, so that no timeout heals what nobody rolled back.
    let settings = [
        ("DATABASE__STATEMENT_SECONDS", "90"),
        ("SERVER__DEADLINE_SECONDS", "100"),
    ];
    let service = Service::at(database, &url, &settings, router).await;
    let acme = service.partner("acme").await;
    service.car(Car::lot("glovis_1")).await;
    let asked = {
        let acme = acme.clone();
        tokio::spawn(async move { acme.place_order("glovis_1", 12_000).await })
    };
    let open = "select count(*) from pg_stat_activity
                where datname = current_database() and state like 'idle in transaction%'";
    eventually("the database has begun", async || {
        let is_open = begun.load(Ordering::SeqCst) && service.count(open).await == 1;
        is_open.then_some(())
    })
    .await;
    asked.abort();
    eventually("nothing is left open", async || {
        (service.count(open).await == 0).then_some(())
    })
    .await;
    assert_eq!(service.count("select count(*) from orders").await, 0);
    acme.place_order("glovis_1", 12_000).await.created();
}

#[tokio::test]
async fn a_peer_that_falls_silent_costs_no_connection_for_ever() {
    let database = TestDatabase::new().await;
    let silent = Arc::new(AtomicBool::new(false));
    let options = database.pool.connect_options();
    let Some(folder) = options.get_socket() else {
        // With a database of one's own over TCP there is no socket to stand in front of.
        return;
    };
    let port = proxy(folder.join(".s.PGSQL.5432"), silent.clone()).await;
    let name = options.get_database().unwrap();
    let pool = pool(
        &format!("postgres://postgres@127.0.0.1:{port}/{name}?sslmode=disable"),
        "2",
    );
    pool.execute("select 1").await.unwrap();
    {
        let (mut one, mut two) = (pool.acquire().await.unwrap(), pool.acquire().await.unwrap());
        silent.store(true, Ordering::SeqCst);
        let cut = Duration::from_millis(100);
        assert!(
            tokio::time::timeout(cut, one.execute("select 1"))
                .await
                .is_err()
        );
        assert!(
            tokio::time::timeout(cut, two.execute("select 1"))
                .await
                .is_err()
        );
    }
    let mut answered = Err(sqlx::Error::PoolTimedOut);
    for _ in 0..3 {
        answered = pool.execute("select 1").await;
        if answered.is_ok() {
            break;
        }
    }
    answered.expect("the pool recovers by itself");
}

/// Stands before a database; connections from before `silent` never hear from it again.
async fn proxy(database: std::path::PathBuf, silent: Arc<AtomicBool>) -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    tokio::spawn(async move {
        loop {
            let (client, _) = listener.accept().await.unwrap();
            let server = UnixStream::connect(&database).await.unwrap();
            let (mut client_reads, mut client_writes) = client.into_split();
            let (mut server_reads, mut server_writes) = server.into_split();
            let (silent, born_silent) = (silent.clone(), silent.load(Ordering::SeqCst));
            tokio::spawn(async move {
                let mut buffer = [0; 8192];
                while let Ok(length @ 1..) = client_reads.read(&mut buffer).await {
                    if silent.load(Ordering::SeqCst) && !born_silent {
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
