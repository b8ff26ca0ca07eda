//! [`Database`]: the connection pool, and the settings that all of its sessions share.

use std::{
    io,
    sync::atomic::{AtomicU64, Ordering},
    time::Duration,
};

use deadpool::managed::{self, Metrics, Pool, PoolError, QueueMode, RecycleError, RecycleResult};
use secrecy::ExposeSecret;
use sqlx::postgres::PgConnectOptions;
use tokio::time::{Instant, sleep, timeout};
use tokio_util::task::TaskTracker;

use super::{
    connection::{Connection, Limits, Session},
    hosts::Hosts,
    transaction::Tx,
};
use crate::config;

/// Time for a connection to answer a ping, or to end an unfinished statement and transaction, before it is closed.
const SETTLE_TIMEOUT: Duration = Duration::from_millis(500);
/// Idle time after which a connection is pinged before it is used.
const IDLE_UNASKED: Duration = Duration::from_secs(1);
/// Idle time after which a connection is closed.
const IDLE_MAX: Duration = Duration::from_secs(10 * 60);
/// Age after which a connection is replaced.
const AGE_MAX: Duration = Duration::from_secs(30 * 60);
/// Time between two searches for idle connections to close.
const RETIRE_EVERY: Duration = Duration::from_secs(30);
/// Initial time between two attempts to connect. It doubles with each attempt.
const BACKOFF_MIN: Duration = Duration::from_millis(10);
/// Timeout of a statement on a connection that no request waits for.
const ALONE_TIMEOUT: Duration = Duration::from_secs(60);

/// Session settings that override the defaults of the role, the database and the server.
const SESSION: [(&str, &str); 7] = [
    ("application_name", "lmn"),
    ("default_transaction_isolation", "read committed"),
    ("default_transaction_read_only", "off"),
    ("default_transaction_deferrable", "off"),
    ("timezone", "UTC"),
    ("search_path", "public"),
    // Statements are short: compiling them would cost more than it saves.
    ("jit", "off"),
];

/// A pool of connections to the database. It is cheap to clone.
#[derive(Debug, Clone)]
pub struct Database {
    pool: Pool<Manager>,
    /// Time to acquire a connection.
    acquire: Duration,
}

/// The numbers of connections of a pool.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PoolStatus {
    /// In use, or being brought to rest.
    pub used: u32,
    /// Idle.
    pub idle: u32,
    /// The maximum.
    pub max: u32,
}

impl Database {
    /// Creates the pool for requests. It connects on first use.
    pub fn connect(settings: &config::Database) -> Result<Self, sqlx::Error> {
        Self::build(settings, settings.connections_max)
    }

    /// Creates a pool of one connection for background work, which requests cannot delay.
    pub(crate) fn connect_background(settings: &config::Database) -> Result<Self, sqlx::Error> {
        Self::build(settings, 1)
    }

    /// Creates a pool of one connection that is never replaced, for a command that writes much in one session.
    ///
    /// Statements are planned anew each time, because the tables grow meanwhile.
    pub(crate) fn connect_exclusive(settings: &config::Database) -> Result<Self, sqlx::Error> {
        let statement = milliseconds(ALONE_TIMEOUT);
        let own = [
            // Triggers that log changes hold the rows of a batch a second time.
            ("work_mem", "64MB".to_owned()),
            ("plan_cache_mode", "force_custom_plan".to_owned()),
            // A slow disk is no reason to abort.
            ("statement_timeout", statement.clone()),
            ("idle_in_transaction_session_timeout", statement),
        ];
        let limits = Limits {
            settle: ALONE_TIMEOUT,
            transaction: ALONE_TIMEOUT * 2,
        };
        let manager = Manager::new(settings, &own, limits)?.without_retirement();
        Self::of(manager, settings, 1)
    }

    fn build(settings: &config::Database, connections_max: u32) -> Result<Self, sqlx::Error> {
        let limits = Limits {
            settle: SETTLE_TIMEOUT,
            // The server times out first, so that it reports the outcome of the transaction.
            transaction: settings.statement + SETTLE_TIMEOUT,
        };
        // Requests find rows by index. A plan that was made while a table was small must not scan it later.
        let own = [("enable_seqscan", "off".to_owned())];
        let manager = Manager::new(settings, &own, limits)?;
        Self::of(manager, settings, connections_max)
    }

    fn of(
        manager: Manager,
        settings: &config::Database,
        connections_max: u32,
    ) -> Result<Self, sqlx::Error> {
        let connections_max = usize::try_from(connections_max).unwrap_or(usize::MAX);
        let pool = Pool::builder(manager)
            .max_size(connections_max)
            .queue_mode(QueueMode::Lifo)
            .build()
            .map_err(|error| sqlx::Error::Configuration(error.into()))?;
        Ok(Self {
            pool,
            acquire: settings.acquire,
        })
    }

    /// Acquires a connection, waiting at most `database.acquire_seconds`.
    pub async fn acquire(&self) -> Result<Connection, sqlx::Error> {
        self.retire_idle();
        let acquired = timeout(self.acquire, self.pool.get()).await;
        let session = acquired.map_err(|_| sqlx::Error::PoolTimedOut)?;
        session.map(Connection::new).map_err(|error| match error {
            PoolError::Backend(error) => error,
            PoolError::Timeout(_) => sqlx::Error::PoolTimedOut,
            PoolError::Closed => sqlx::Error::PoolClosed,
            PoolError::NoRuntimeSpecified | PoolError::PostCreateHook(_) => {
                sqlx::Error::WorkerCrashed
            }
        })
    }

    /// Acquires a connection and begins a transaction on it.
    pub(crate) async fn begin(&self) -> Result<Tx, sqlx::Error> {
        Tx::begin(self.acquire().await?).await
    }

    /// Returns the current numbers of connections.
    pub fn status(&self) -> PoolStatus {
        let status = self.pool.status();
        let count = |count| u32::try_from(count).unwrap_or(u32::MAX);
        PoolStatus {
            used: count(status.size - status.available),
            idle: count(status.available),
            max: count(status.max_size),
        }
    }

    /// Closes idle connections, and waits for those that are being brought to rest.
    ///
    /// Connections in use are closed when they return.
    pub async fn close(&self) {
        let idle = self.pool.retain(|_, _| false).removed;
        self.pool.close();
        let closing = async {
            for session in idle {
                // An error is ignored: the session ends in any case.
                let _ = session.close().await;
            }
        };
        let _ = timeout(SETTLE_TIMEOUT, closing).await;
        let tasks = self.pool.manager().tasks();
        tasks.close();
        tasks.wait().await;
    }

    /// Finds the host that accepts writes, for a connection outside the pool.
    pub(super) async fn writable_host(
        &self,
        within: Duration,
    ) -> Result<PgConnectOptions, sqlx::Error> {
        self.pool.manager().hosts.writable(within).await
    }

    /// Closes connections that are old or were idle for too long. The pool reuses the most recently used first, so
    /// the others stay idle.
    fn retire_idle(&self) {
        let manager = self.pool.manager();
        if manager.is_retirement_due() {
            drop(self.pool.retain(|session, _| !manager.is_worn(session)));
        }
    }
}

/// Opens sessions, and decides whether they are reused.
#[derive(Debug)]
pub(super) struct Manager {
    hosts: Hosts,
    limits: Limits,
    /// Time to open a session.
    connect: Duration,
    /// Tasks that bring abandoned sessions to rest.
    tasks: TaskTracker,
    /// Whether old and idle sessions are replaced.
    retires: bool,
    made_at: Instant,
    /// When idle sessions were last searched for, in milliseconds since `made_at`.
    retired_at: AtomicU64,
}

impl Manager {
    fn new(
        settings: &config::Database,
        own: &[(&str, String)],
        limits: Limits,
    ) -> Result<Self, sqlx::Error> {
        let common = SESSION.map(|(name, value)| (name, value.to_owned()));
        let limited = [
            ("lock_timeout", milliseconds(settings.lock)),
            ("statement_timeout", milliseconds(settings.statement)),
            (
                "idle_in_transaction_session_timeout",
                milliseconds(settings.statement),
            ),
        ];
        let hosts = Hosts::parse(settings.url.expose_secret())?
            .with_settings(&common)
            .with_settings(&limited)
            .with_settings(own);
        Ok(Self {
            hosts,
            limits,
            connect: settings.acquire,
            tasks: TaskTracker::new(),
            retires: true,
            made_at: Instant::now(),
            retired_at: AtomicU64::new(0),
        })
    }

    /// Keeps sessions regardless of their age.
    fn without_retirement(mut self) -> Self {
        self.retires = false;
        self
    }

    /// Returns the tasks that bring abandoned sessions to rest.
    pub(super) fn tasks(&self) -> &TaskTracker {
        &self.tasks
    }

    /// Returns whether a session is too old, or was idle for too long.
    fn is_worn(&self, session: &Session) -> bool {
        self.retires && (session.age() > AGE_MAX || session.idle_for() > IDLE_MAX)
    }

    /// Returns whether a search for idle sessions is due. Only one caller gets `true` each time.
    fn is_retirement_due(&self) -> bool {
        let now = u64::try_from(self.made_at.elapsed().as_millis()).unwrap_or(u64::MAX);
        let last = self.retired_at.load(Ordering::Relaxed);
        let is_due = u128::from(now - last.min(now)) >= RETIRE_EVERY.as_millis();
        is_due
            && self
                .retired_at
                .compare_exchange(last, now, Ordering::Relaxed, Ordering::Relaxed)
                .is_ok()
    }
}

impl managed::Manager for Manager {
    type Type = Session;
    type Error = sqlx::Error;

    /// Opens a session. Retries while time remains if the server is starting or being promoted.
    async fn create(&self) -> Result<Session, sqlx::Error> {
        let began = Instant::now();
        let mut backoff = BACKOFF_MIN;
        loop {
            let error = match self.hosts.connect(self.connect).await {
                Ok(connection) => return Ok(Session::new(connection, self.limits)),
                Err(error) => error,
            };
            if !is_starting(&error) || began.elapsed() + backoff * 2 > self.connect {
                return Err(error);
            }
            sleep(backoff).await;
            backoff = (backoff * 2).min(self.connect / 5);
        }
    }

    async fn recycle(&self, session: &mut Session, _: &Metrics) -> RecycleResult<sqlx::Error> {
        if !session.is_at_rest() || self.is_worn(session) {
            return Err(RecycleError::message("the session is not reused"));
        }
        // A ping before every use would cost a busy pool a round trip. After an idle time its cost does not matter,
        // and it finds connections that a restarted server has closed.
        if session.idle_for() > IDLE_UNASKED {
            session.ping().await?;
        }
        Ok(())
    }
}

/// Returns whether a server that refuses sessions now may accept them in a moment.
fn is_starting(error: &sqlx::Error) -> bool {
    const TOO_MANY_CONNECTIONS: &str = "53300";
    const CANNOT_CONNECT_NOW: &str = "57P03";
    if let sqlx::Error::Io(error) = error {
        return error.kind() == io::ErrorKind::ConnectionRefused;
    }
    let code = error.as_database_error().and_then(|it| it.code());
    code.is_some_and(|code| [TOO_MANY_CONNECTIONS, CANNOT_CONNECT_NOW].contains(&code.as_ref()))
}

fn milliseconds(duration: Duration) -> String {
    format!("{}ms", duration.as_millis())
}
