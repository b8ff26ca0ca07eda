//! [`Manager`]: opens the sessions of the pool, with their common settings, and decides whether they are reused.

use std::{
    io,
    sync::atomic::{AtomicU64, Ordering},
    time::Duration,
};

use deadpool::managed::{self, Metrics, RecycleError, RecycleResult};
use secrecy::ExposeSecret;
use sqlx::postgres::PgConnectOptions;
use tokio::time::{Instant, sleep};
use tokio_util::task::TaskTracker;

use super::{
    failure::is_silence,
    hosts::Hosts,
    session::{Limits, Session},
};
use crate::config;

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

/// Session settings that override the defaults of the role, the database and the server: whatever changes the meaning
/// or the outcome of a statement. Others are corrected when the session is opened ([`Hosts`]).
pub(super) const SESSION: [(&str, &str); 19] = [
    ("application_name", "lmn"),
    ("default_transaction_isolation", "read committed"),
    ("default_transaction_read_only", "off"),
    ("default_transaction_deferrable", "off"),
    ("timezone", "UTC"),
    ("search_path", "public"),
    ("standard_conforming_strings", "on"),
    ("transform_null_equals", "off"),
    ("array_nulls", "on"),
    ("row_security", "on"),
    ("exit_on_error", "off"),
    // A commit that is not replicated is reported as a warning, see `replication`.
    ("client_min_messages", "warning"),
    ("idle_session_timeout", "0"),
    ("plan_cache_mode", "auto"),
    // Statements are short: compiling them would cost more than it saves.
    ("jit", "off"),
    // The server ends the session of a machine that has vanished, and frees its locks.
    ("tcp_keepalives_idle", "30"),
    ("tcp_keepalives_interval", "10"),
    ("tcp_keepalives_count", "3"),
    ("tcp_user_timeout", "30s"),
];

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
    /// When idle sessions were last searched for, in microseconds since `made_at`.
    retired_at: AtomicU64,
    /// When the server last fell silent, in microseconds since `made_at`.
    silent_at: AtomicU64,
    /// When a plan was last found to be outdated, in microseconds since `made_at`.
    plans_outdated_at: AtomicU64,
}

impl Manager {
    /// Creates a manager whose sessions have the common settings and their `own`.
    pub(super) fn new(
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
            silent_at: AtomicU64::new(0),
            plans_outdated_at: AtomicU64::new(0),
        })
    }

    /// Keeps sessions regardless of their age.
    pub(super) fn without_retirement(mut self) -> Self {
        self.retires = false;
        self
    }

    /// Finds the host that accepts writes, for a connection outside the pool.
    pub(super) async fn writable_host(
        &self,
        within: Duration,
    ) -> Result<PgConnectOptions, sqlx::Error> {
        self.hosts.writable(within).await
    }

    /// Returns the tasks that bring abandoned sessions to rest.
    pub(super) fn tasks(&self) -> &TaskTracker {
        &self.tasks
    }

    /// Returns whether a session is too old, or was idle for too long.
    pub(super) fn is_worn(&self, session: &Session) -> bool {
        self.retires && (session.age() > AGE_MAX || session.returned_at().elapsed() > IDLE_MAX)
    }

    /// Returns whether a search for idle sessions is due. Only one caller gets `true` each time.
    pub(super) fn is_retirement_due(&self) -> bool {
        let now = self.micros(Instant::now());
        let last = self.retired_at.load(Ordering::Relaxed);
        let is_due = u128::from(now - last.min(now)) >= RETIRE_EVERY.as_micros();
        is_due
            && self
                .retired_at
                .compare_exchange(last, now, Ordering::Relaxed, Ordering::Relaxed)
                .is_ok()
    }

    /// Closes the sessions that are idle now before they are used: the server of one of them has fallen silent, and
    /// asking each of them would take its time.
    pub(super) fn distrust_idle(&self) {
        let now = self.micros(Instant::now());
        self.silent_at.store(now, Ordering::Relaxed);
    }

    /// Lets every session prepare its statements anew: a migration has changed the type of a column.
    pub(super) fn outdate_plans(&self) {
        let now = self.micros(Instant::now());
        self.plans_outdated_at.store(now, Ordering::Relaxed);
    }

    /// Returns whether a moment is before the one that is stored.
    fn is_before(&self, moment: Instant, stored: &AtomicU64) -> bool {
        self.micros(moment) < stored.load(Ordering::Relaxed)
    }

    /// Returns a moment in microseconds since the manager was made.
    fn micros(&self, moment: Instant) -> u64 {
        let since = moment.saturating_duration_since(self.made_at);
        u64::try_from(since.as_micros()).unwrap_or(u64::MAX)
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
        let is_distrusted = self.is_before(session.returned_at(), &self.silent_at);
        if !session.is_at_rest() || self.is_worn(session) || is_distrusted {
            return Err(RecycleError::message("the session is not reused"));
        }
        // A ping before every use would cost a busy pool a round trip. After an idle time its cost does not matter,
        // and it finds connections that a restarted server has closed.
        if session.returned_at().elapsed() > IDLE_UNASKED
            && let Err(error) = session.ping().await
        {
            if is_silence(&error) {
                self.distrust_idle();
            }
            return Err(error.into());
        }
        if self.is_before(session.prepared_since(), &self.plans_outdated_at) {
            session.forget_plans().await?;
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

/// Formats a duration as the value of a setting.
pub(super) fn milliseconds(duration: Duration) -> String {
    format!("{}ms", duration.as_millis())
}
