//! A fault of sqlx 0.9.0's pool, and that ours is free of it (`db/pool.rs`). Delete when a release fixes it.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use lmn_partner_api::{db, settings::Settings};
use sqlx::{Executor, PgPool};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, UnixStream},
};

use crate::database::TestDatabase;

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
