//! The pool, and [`Tx`], the transaction without which nothing is written.

use std::{
    ops::{Deref, DerefMut},
    str::FromStr,
    time::Duration,
};

use secrecy::ExposeSecret;
use sqlx::{
    Connection, Executor, PgConnection, PgPool, Postgres, Transaction,
    postgres::{PgConnectOptions, PgPoolOptions},
};

use crate::settings::Database;

/// How long a returned connection may take to answer before it is thrown away.
const RELEASE_TIMEOUT: Duration = Duration::from_millis(500);
/// A connection that was idle for longer is asked whether it is alive before it is used.
const IDLE_UNASKED: Duration = Duration::from_secs(1);
/// How soon the database notices that nobody waits for a statement any more (PostgreSQL 14, where the system can).
const NOTICE_HANGUP: &str = "set client_connection_check_interval = '500ms'";

/// Opens a pool on the database of the settings; it connects when it is first used.
pub fn connect(settings: &Database) -> Result<PgPool, sqlx::Error> {
    Ok(pool(settings).connect_lazy_with(connection(settings)?))
}

/// Opens a pool for statements whose text says all that a plan depends on: they are planned but once.
///
/// To plan a walk with many lanes takes longer than to do it.
pub(crate) fn connect_planned_once(
    settings: &Database,
    connections_max: u32,
) -> Result<PgPool, sqlx::Error> {
    let session = connection(settings)?.options([("plan_cache_mode", "force_generic_plan")]);
    let pool = pool(settings).max_connections(connections_max);
    Ok(pool.connect_lazy_with(session))
}

/// Opens a pool of one connection, which is kept: all that is done by it is one session's, which writes much.
///
/// A commit is not waited for until it is on disk, as long as nobody asks for that: what a crash of the server undoes
/// is then done again. Statements are planned anew each time, because the tables grow under them.
pub(crate) fn connect_alone(settings: &Database) -> Result<PgPool, sqlx::Error> {
    let session = connection(settings)?.options([
        ("synchronous_commit", "off"),
        ("plan_cache_mode", "force_custom_plan"),
        // Nobody waits for it but who began it, and a busy disk is no reason to stop.
        ("statement_timeout", "60s"),
        ("idle_in_transaction_session_timeout", "60s"),
    ]);
    let pool = pool(settings).max_connections(1);
    // It is not thrown away because it was slow to answer once, as another would be.
    let pool = pool.after_release(|_, _| Box::pin(async { Ok(true) }));
    let pool = pool.idle_timeout(None).max_lifetime(None);
    Ok(pool.connect_lazy_with(session))
}

fn connection(settings: &Database) -> Result<PgConnectOptions, sqlx::Error> {
    let options = PgConnectOptions::from_str(settings.url.expose_secret())?.options([
        ("application_name", "lmn".to_owned()),
        ("lock_timeout", milliseconds(settings.lock)),
        ("statement_timeout", milliseconds(settings.statement)),
        (
            "idle_in_transaction_session_timeout",
            milliseconds(settings.statement),
        ),
        // The statements are short: compiling them would cost more than it saves.
        ("jit", "off".to_owned()),
    ]);
    Ok(options)
}

fn pool(settings: &Database) -> PgPoolOptions {
    PgPoolOptions::new()
        .max_connections(settings.connections_max)
        .acquire_timeout(settings.acquire)
        // A ping before every use would cost a busy pool a round trip; before the first use after a rest it costs
        // nothing, and finds the connections that a restarted database has closed.
        .test_before_acquire(false)
        .before_acquire(|connection, meta| {
            Box::pin(async move {
                let rested = meta.idle_for > IDLE_UNASKED;
                Ok(!rested || connection.ping().await.is_ok())
            })
        })
        .after_connect(|connection, _| {
            Box::pin(async move {
                // Where it is not to be had, a statement that nobody waits for ends at its timeout.
                let _ = connection.execute(NOTICE_HANGUP).await;
                Ok(())
            })
        })
        .after_release(|connection, _| Box::pin(async move { release(connection).await }))
}

/// Makes sure that the peer of a returned connection is alive.
///
/// sqlx 0.9.0 waits without limit on a peer that fell silent (#4349); failing here closes hard.
async fn release(connection: &mut PgConnection) -> Result<bool, sqlx::Error> {
    match tokio::time::timeout(RELEASE_TIMEOUT, connection.ping()).await {
        Ok(Ok(())) => Ok(true),
        Ok(Err(_)) | Err(_) => Err(sqlx::Error::WorkerCrashed),
    }
}

fn milliseconds(duration: Duration) -> String {
    format!("{}ms", duration.as_millis())
}

/// A transaction. Store functions that write take it, so a write outside one does not compile.
///
/// Dropped without [`Tx::commit`], it rolls back.
#[derive(Debug)]
pub(crate) struct Tx(Transaction<'static, Postgres>);

/// Begins a transaction.
///
/// Its caller may be cancelled at any time; the beginning itself is not. sqlx 0.9.0 returns a connection inside an open
/// transaction when it is (#4385), so it runs as a task, and what nobody waits for any more is rolled back.
pub(crate) async fn begin(pool: &PgPool) -> Result<Tx, sqlx::Error> {
    let pool = pool.clone();
    #[expect(
        clippy::disallowed_methods,
        reason = "this is the one place that begins; it is bounded by the pool's own timeouts"
    )]
    let begun = tokio::spawn(async move { pool.begin().await.map(Tx) });
    begun.await.map_err(|_| sqlx::Error::WorkerCrashed)?
}

impl Tx {
    /// Commits; an error that is not [`db::is_rolled_back`](crate::db::is_rolled_back) leaves the outcome unknown.
    pub(crate) async fn commit(self) -> Result<(), sqlx::Error> {
        self.0.commit().await
    }
}

impl Deref for Tx {
    type Target = PgConnection;

    fn deref(&self) -> &PgConnection {
        &self.0
    }
}

impl DerefMut for Tx {
    fn deref_mut(&mut self) -> &mut PgConnection {
        &mut self.0
    }
}
