//! The servers of a database: the hosts of its URL, the choice of the one that accepts writes, and the requirements that
//! are checked before a server uses it. What violates them is not noticed later, only its consequences are.

use std::{
    fmt, io,
    sync::atomic::{AtomicUsize, Ordering},
    time::Duration,
};

use sqlx::{
    AssertSqlSafe, Connection as _, Executor, PgConnection, Row, postgres::PgConnectOptions,
};
use tokio::time::timeout;

use super::{Connection, Database};
use crate::{config, telemetry::metrics::Metrics};

/// Queries whether the session accepts writes, and corrects inherited settings that cannot be sent at the start of a
/// session, because the server may not have them, or because a stricter value is kept.
///
/// `session_replication_role` would switch off the triggers. Only a superuser may inherit another value, and only a
/// superuser may correct it; for any other role the session is refused.
macro_rules! opening {
    () => {
        "select not (pg_is_in_recovery() or current_setting('transaction_read_only')::boolean);
         select set_config('transaction_timeout', '0', false)
         where current_setting('transaction_timeout', true) <> '0';
         select set_config('synchronous_commit', 'on', false)
         where current_setting('synchronous_commit') = 'off';
         select set_config('session_replication_role', 'origin', false)
         where current_setting('session_replication_role') <> 'origin'"
    };
}
/// The statements for servers whose platform cannot detect that a client has disconnected.
const OPENING: &str = opening!();
/// The same, and makes the server detect within 500 ms that a client has disconnected.
const OPENING_WITH_CHECK: &str = concat!(
    opening!(),
    "; set client_connection_check_interval = '500ms'"
);

/// The hosts of one database, one of which accepts writes.
pub(super) struct Hosts {
    hosts: Vec<PgConnectOptions>,
    /// Statements that set the settings of every session once more: a pooler such as PgBouncer may drop the settings in
    /// the start-up message.
    settings: String,
    /// The index of the host to try first.
    first: AtomicUsize,
}

impl Hosts {
    /// Parses a URL, which may name several hosts: `postgres://user:password@one:5432,two:5433/name`.
    pub(super) fn parse(url: &str) -> Result<Self, sqlx::Error> {
        let hosts = config::parse_database_url(url);
        Ok(Self {
            hosts: hosts.map_err(|reason| sqlx::Error::Configuration(reason.into()))?,
            settings: String::new(),
            first: AtomicUsize::new(0),
        })
    }

    /// Sets these settings for every session. They override those of the role, the database and the server.
    pub(super) fn with_settings(mut self, settings: &[(&str, String)]) -> Self {
        let hosts = self.hosts.into_iter();
        self.hosts = hosts
            .map(|host| host.options(settings.iter().map(|(name, value)| (name, value))))
            .collect();
        // The name of the application is for people, and may be set in the URL.
        let others = settings.iter().filter(|it| it.0 != "application_name");
        for (name, value) in others {
            let value = value.replace('\'', "''");
            self.settings.push_str(&format!("set {name} = '{value}'; "));
        }
        self
    }

    /// Opens a session on the first host that accepts writes, starting with the one that accepted them last.
    ///
    /// Every host gets an equal part of `within`. If none accepts writes, returns the error of the last host.
    pub(super) async fn connect(&self, within: Duration) -> Result<PgConnection, sqlx::Error> {
        self.find(within).await.map(|(connection, _)| connection)
    }

    /// Returns the host that accepts writes. A single host is returned without a query.
    pub(super) async fn writable(&self, within: Duration) -> Result<PgConnectOptions, sqlx::Error> {
        if let [only] = self.hosts.as_slice() {
            return Ok(only.clone());
        }
        let (connection, host) = self.find(within).await?;
        drop(connection);
        Ok(host.clone())
    }

    async fn find(
        &self,
        within: Duration,
    ) -> Result<(PgConnection, &PgConnectOptions), sqlx::Error> {
        let count = self.hosts.len();
        let within = within / u32::try_from(count).unwrap_or(u32::MAX).max(1);
        let first = self.first.load(Ordering::Relaxed);
        let mut last = sqlx::Error::PoolTimedOut;
        for (index, host) in self
            .hosts
            .iter()
            .enumerate()
            .cycle()
            .skip(first)
            .take(count)
        {
            match timeout(within, open(host, &self.settings)).await {
                Ok(Ok(connection)) => {
                    self.first.store(index, Ordering::Relaxed);
                    return Ok((connection, host));
                }
                Ok(Err(error)) => last = error,
                Err(_) => last = io::Error::from(io::ErrorKind::TimedOut).into(),
            }
            // Stored at once: the caller may give up before the next host has responded.
            self.first.store((index + 1) % count, Ordering::Relaxed);
        }
        Err(last)
    }
}

impl fmt::Debug for Hosts {
    /// Lists the hosts, without passwords.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names = self.hosts.iter().map(PgConnectOptions::get_host);
        f.debug_list().entries(names).finish()
    }
}

/// Opens a session, sets its `settings` and checks that it accepts writes.
async fn open(host: &PgConnectOptions, settings: &str) -> Result<PgConnection, sqlx::Error> {
    let mut connection = PgConnection::connect_with(host).await?;
    let ask = |query: &str| AssertSqlSafe(format!("{settings}{query}"));
    let answer = match connection.fetch_one(ask(OPENING_WITH_CHECK)).await {
        // The server's platform cannot detect it: a statement whose client has gone ends at its timeout.
        Err(sqlx::Error::Database(_)) => connection.fetch_one(ask(OPENING)).await?,
        answer => answer?,
    };
    match answer.try_get(0)? {
        true => Ok(connection),
        false => {
            let reason = format!(
                "{}:{} does not accept writes",
                host.get_host(),
                host.get_port()
            );
            Err(io::Error::new(io::ErrorKind::ConnectionRefused, reason).into())
        }
    }
}

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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn passwords_are_not_printed() {
        let hosts = Hosts::parse("postgres://lmn:secret@one,two/lmn").unwrap();
        assert_eq!(format!("{hosts:?}"), r#"["one", "two"]"#);
    }

    #[test]
    fn url_that_cannot_be_used_is_an_error_of_the_configuration() {
        let refused = Hosts::parse("postgres://one,,two/lmn").unwrap_err();
        assert!(matches!(refused, sqlx::Error::Configuration(_)));
    }
}
