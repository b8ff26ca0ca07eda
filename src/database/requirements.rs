//! The requirements of a database, checked before a server uses it: what violates them is not noticed later, only its
//! consequences are.

use sqlx::{Executor, Row};
use tokio::time::timeout;

use super::{Connection, Database};
use crate::{config, telemetry::metrics::Metrics};

/// The required encoding.
const ENCODING: &str = "UTF8";
/// The number of attempts to see two sessions share a connection to the server. One is enough unless other clients of
/// the pooler take and return connections at the same time.
const ATTEMPTS: usize = 3;

/// A reason why a database does not meet the requirements.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Unsuitable {
    /// A statement of one session may be executed by the server's process of another one.
    #[error(
        "DATABASE_URL leads to a connection pooler in transaction mode, such as PgBouncer with `pool_mode = transaction`: timeouts, \
         locks of a session and notifications would be lost silently; set its mode for this database to `session`, or set \
         DATABASE_URL to PostgreSQL itself (docs/operating.md, \"A connection pooler\")"
    )]
    SharedSessions,
    /// The database cannot store every text.
    #[error(
        "the database has the encoding {0}, which cannot store the names of vehicles and partners in all languages; create one \
         with `create database … template template0 encoding 'UTF8'`"
    )]
    Encoding(String),
    /// The database could not be queried.
    #[error("the database cannot be read")]
    Database(#[from] sqlx::Error),
}

/// Checks that each session has a connection to the server of its own, and that the database stores any text.
///
/// It takes two sessions, and at most the time to acquire both and `database.statement_seconds`.
pub(crate) async fn check_requirements(settings: &config::Database) -> Result<(), Unsuitable> {
    let settings = config::Database {
        connections_max: 2,
        ..settings.clone()
    };
    let database = Database::connect(&settings, Metrics::new())?;
    let limit = settings.acquire * 2 + settings.statement;
    let checked = timeout(limit, check(&database)).await;
    database.close().await;
    checked.map_err(|_| sqlx::Error::PoolTimedOut)?
}

async fn check(database: &Database) -> Result<(), Unsuitable> {
    let mut one = database.acquire().await?;
    let mut other = database.acquire().await?;
    if are_shared(&mut one, &mut other).await? {
        return Err(Unsuitable::SharedSessions);
    }
    let row = one
        .fetch_one("select current_setting('server_encoding')")
        .await?;
    let encoding: String = row.try_get(0)?;
    match encoding == ENCODING {
        true => Ok(()),
        false => Err(Unsuitable::Encoding(encoding)),
    }
}

/// Returns whether two sessions share connections to the server.
///
/// A pooler in transaction mode takes the connection of a session back after each transaction. So while a transaction of
/// the `other` session is open, it has the connection that `one` has used before, or `one` gets another one now.
async fn are_shared(one: &mut Connection, other: &mut Connection) -> Result<bool, sqlx::Error> {
    for _ in 0..ATTEMPTS {
        let before = find_process(one).await?;
        match control(other, "begin").await {
            // A pooler in statement mode refuses transactions; a server does not.
            Err(sqlx::Error::Database(_)) => return Ok(true),
            begun => begun?,
        }
        // In this order: of a single shared connection, `one` would have to wait for the transaction.
        let is_shared = find_process(other).await? == before || find_process(one).await? != before;
        control(other, "rollback").await?;
        if is_shared {
            return Ok(true);
        }
    }
    Ok(false)
}

/// Begins or ends a transaction.
async fn control(session: &mut Connection, statement: &'static str) -> Result<(), sqlx::Error> {
    session.execute(statement).await.map(drop)
}

/// Returns the id of the server's process that executes a statement of a session.
async fn find_process(session: &mut Connection) -> Result<i32, sqlx::Error> {
    // Not prepared: a pooler may prepare the statement on one connection and execute it on another.
    let row = session.fetch_one("select pg_backend_pid()").await?;
    row.try_get(0)
}
