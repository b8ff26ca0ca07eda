//! The pool, and [`Tx`], the transaction without which nothing is written.

use std::{
    ops::{Deref, DerefMut},
    str::FromStr,
    time::Duration,
};

use secrecy::ExposeSecret;
use sqlx::{
    Executor, PgConnection, PgPool, Postgres, Transaction,
    postgres::{PgConnectOptions, PgPoolOptions},
};

use crate::settings::Database;

/// How long a returned connection may take to answer before it is thrown away.
const RELEASE_TIMEOUT: Duration = Duration::from_secs(2);

/// Opens a pool on the database of the settings; it connects when it is first used.
pub fn connect(settings: &Database) -> Result<PgPool, sqlx::Error> {
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
        // Silences "there is no transaction in progress", which every release provokes.
        ("client_min_messages", "error".to_owned()),
    ]);
    Ok(PgPoolOptions::new()
        .max_connections(settings.connections_max)
        .acquire_timeout(settings.acquire)
        // A ping before every use costs a round trip; a broken connection is found by using it.
        .test_before_acquire(false)
        .after_release(|connection, _| Box::pin(async move { release(connection).await }))
        .connect_lazy_with(options))
}

/// Makes sure that a returned connection is outside any transaction and its peer is alive.
///
/// sqlx 0.9.0 returns a connection inside an open transaction when a `begin` is cancelled midway (#4385), and waits
/// without limit on a peer that fell silent (#4349). A rollback under a timeout heals both; failing closes hard.
async fn release(connection: &mut PgConnection) -> Result<bool, sqlx::Error> {
    match tokio::time::timeout(RELEASE_TIMEOUT, connection.execute("rollback")).await {
        Ok(Ok(_)) => Ok(true),
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
pub(crate) async fn begin(pool: &PgPool) -> Result<Tx, sqlx::Error> {
    #[expect(
        clippy::disallowed_methods,
        reason = "this is the one place that begins"
    )]
    pool.begin().await.map(Tx)
}

impl Tx {
    /// Commits; an error that is not the database's own word leaves the outcome unknown.
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
