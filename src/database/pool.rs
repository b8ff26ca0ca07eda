//! [`Database`]: the connection pool, and [`WriteHealth`]: since when no write could begin.

use std::{
    io,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use deadpool::managed::{Object, Pool, PoolError, QueueMode};
use sqlx::postgres::PgConnectOptions;
use tokio::{
    sync::Semaphore,
    time::{Instant, timeout},
};

use super::{
    connection::Connection,
    failure::is_transient,
    manager::{Manager, milliseconds},
    session::Limits,
    transaction::Tx,
};
use crate::{
    config,
    telemetry::{load::WaitFor, metrics::Metrics, operations::Operations},
};

/// Time for a connection to answer a ping, or to end an unfinished statement and transaction, before it is closed.
const SETTLE_TIMEOUT: Duration = Duration::from_millis(500);
/// Timeout of a statement on a connection that no request waits for.
const ALONE_TIMEOUT: Duration = Duration::from_secs(60);
/// Reads use all connections but one in this many: no read, however slow, keeps a write from its connection.
const WRITE_SHARE: usize = 4;

/// A pool of connections to the database. It is cheap to clone.
#[derive(Debug, Clone)]
pub struct Database(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    pool: Pool<Manager>,
    /// A permit for each connection that reads may use at once.
    reads: Arc<Semaphore>,
    writes: WriteHealth,
    /// Time to acquire a connection.
    acquire: Duration,
    /// Records how long callers wait for connections.
    metrics: Metrics,
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
    pub fn connect(settings: &config::Database, metrics: Metrics) -> Result<Self, sqlx::Error> {
        Self::build(settings, settings.connections_max, metrics)
    }

    /// Creates a pool of one connection for background work, which requests cannot delay.
    pub(crate) fn connect_background(
        settings: &config::Database,
        metrics: Metrics,
    ) -> Result<Self, sqlx::Error> {
        Self::build(settings, 1, metrics)
    }

    /// Creates a pool of one connection that is never replaced, for a command that writes much in one session.
    ///
    /// Statements are planned anew each time, because the tables grow meanwhile.
    pub(crate) fn connect_exclusive(
        settings: &config::Database,
        metrics: Metrics,
    ) -> Result<Self, sqlx::Error> {
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
            answer: ALONE_TIMEOUT * 2,
        };
        let manager = Manager::new(settings, &own, limits)?.without_retirement();
        Self::of(manager, settings, 1, metrics)
    }

    fn build(
        settings: &config::Database,
        connections_max: u32,
        metrics: Metrics,
    ) -> Result<Self, sqlx::Error> {
        let limits = Limits {
            settle: SETTLE_TIMEOUT,
            // The server times out first, so that it reports the outcome of the statement.
            answer: settings.statement + SETTLE_TIMEOUT,
        };
        let own = [
            // Requests find rows by index. A plan that was made while a table was small must not scan it later.
            ("enable_seqscan", "off".to_owned()),
            // One plan suits every value, because a statement whose plan depends on a value has it as a literal. Left to
            // itself, PostgreSQL plans a read of one key each time, which takes longer than the read.
            ("plan_cache_mode", "force_generic_plan".to_owned()),
        ];
        let manager = Manager::new(settings, &own, limits)?;
        Self::of(manager, settings, connections_max, metrics)
    }

    fn of(
        manager: Manager,
        settings: &config::Database,
        connections_max: u32,
        metrics: Metrics,
    ) -> Result<Self, sqlx::Error> {
        let connections_max = usize::try_from(connections_max).unwrap_or(usize::MAX);
        let pool = Pool::builder(manager)
            .max_size(connections_max)
            .queue_mode(QueueMode::Lifo)
            .build()
            .map_err(|error| sqlx::Error::Configuration(error.into()))?;
        let reads_max = connections_max - connections_max / WRITE_SHARE;
        Ok(Self(Arc::new(Inner {
            pool,
            reads: Arc::new(Semaphore::new(reads_max.min(Semaphore::MAX_PERMITS))),
            writes: WriteHealth::default(),
            acquire: settings.acquire,
            metrics,
        })))
    }

    /// Acquires a connection for reads, waiting at most `database.acquire_seconds`.
    pub async fn acquire(&self) -> Result<Connection, sqlx::Error> {
        let reads = self.0.reads.clone();
        let acquired = async {
            // The semaphore is never closed.
            let permit = reads.acquire_owned().await.ok();
            self.session().await.map(|it| Connection::new(it, permit))
        };
        self.timed(WaitFor::Read, self.in_time(acquired)).await
    }

    /// Acquires a connection for a write that is a single statement.
    pub(crate) async fn acquire_for_write(&self) -> Result<Connection, sqlx::Error> {
        let acquired = self.timed(WaitFor::Write, self.write_connection()).await;
        self.0.writes.record(acquired.is_ok());
        acquired
    }

    /// Acquires a connection and begins a transaction on it, for a write.
    pub(crate) async fn begin(&self) -> Result<Tx, sqlx::Error> {
        let begun = async { Tx::begin(self.write_connection().await?).await };
        let begun = self.timed(WaitFor::Write, begun).await;
        self.0.writes.record(begun.is_ok());
        begun
    }

    /// Returns since when writes have failed to begin.
    pub(super) fn write_health(&self) -> &WriteHealth {
        &self.0.writes
    }

    /// Awaits a connection and records the time that it took, also if it failed.
    async fn timed<T>(&self, purpose: WaitFor, wait: impl Future<Output = T>) -> T {
        let acquiring = Operations::current().map(|it| it.acquire());
        let began = Instant::now();
        let result = wait.await;
        if let Some(acquiring) = acquiring {
            acquiring.end(None);
        }
        let metrics = &self.0.metrics;
        metrics.record_connection_wait(purpose, began.elapsed());
        result
    }

    async fn write_connection(&self) -> Result<Connection, sqlx::Error> {
        let session = self.in_time(self.session()).await;
        session.map(|it| Connection::new(it, None))
    }

    async fn in_time<T>(
        &self,
        wait: impl Future<Output = Result<T, sqlx::Error>>,
    ) -> Result<T, sqlx::Error> {
        let result = timeout(self.0.acquire, wait).await;
        result.map_err(|_| sqlx::Error::PoolTimedOut)?
    }

    async fn session(&self) -> Result<Object<Manager>, sqlx::Error> {
        self.retire_idle();
        let session = self.0.pool.get().await;
        session.map_err(|error| match error {
            PoolError::Backend(error) if is_transient(&error) => error,
            // Whatever keeps a session from opening, such as a changed password, is no fault of the request.
            PoolError::Backend(error) => io::Error::other(error).into(),
            PoolError::Timeout(_) => sqlx::Error::PoolTimedOut,
            PoolError::Closed => sqlx::Error::PoolClosed,
            PoolError::NoRuntimeSpecified | PoolError::PostCreateHook(_) => {
                sqlx::Error::WorkerCrashed
            }
        })
    }

    /// Returns the current numbers of connections.
    pub fn status(&self) -> PoolStatus {
        let status = self.0.pool.status();
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
        let idle = self.0.pool.retain(|_, _| false).removed;
        self.0.pool.close();
        let closing = async {
            for session in idle {
                // An error is ignored: the session ends in any case.
                let _ = session.close().await;
            }
        };
        let _ = timeout(SETTLE_TIMEOUT, closing).await;
        let tasks = self.0.pool.manager().tasks();
        tasks.close();
        tasks.wait().await;
    }

    /// Finds the host that accepts writes, for a connection outside the pool.
    pub(super) async fn writable_host(
        &self,
        within: Duration,
    ) -> Result<PgConnectOptions, sqlx::Error> {
        self.0.pool.manager().writable_host(within).await
    }

    /// Closes connections that are old or were idle for too long. The pool reuses the most recently used first, so
    /// the others stay idle.
    fn retire_idle(&self) {
        let manager = self.0.pool.manager();
        if manager.is_retirement_due() {
            drop(self.0.pool.retain(|session, _| !manager.is_worn(session)));
        }
    }
}

/// Since when writes have failed to get a connection or to begin. Cheap to clone.
///
/// The heartbeat has a connection of its own, so the database can answer it while no write can begin.
#[derive(Debug, Clone, Default)]
pub(super) struct WriteHealth(Arc<Mutex<Option<Instant>>>);

impl WriteHealth {
    /// Records whether a write could begin.
    pub(super) fn record(&self, could_begin: bool) {
        let mut failing_since = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        match could_begin {
            true => *failing_since = None,
            false => {
                failing_since.get_or_insert_with(Instant::now);
            }
        }
    }

    /// Returns for how long no write could begin; zero if the last one could.
    pub(super) fn failing_for(&self) -> Duration {
        let failing_since = *self.0.lock().unwrap_or_else(PoisonError::into_inner);
        failing_since.map_or(Duration::ZERO, |it| it.elapsed())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn failure_lasts_until_a_write_can_begin() {
        let writes = WriteHealth::default();
        assert_eq!(writes.failing_for(), Duration::ZERO);
        writes.record(false);
        tokio::time::advance(Duration::from_secs(1)).await;
        writes.record(false);
        tokio::time::advance(Duration::from_secs(1)).await;
        assert_eq!(writes.failing_for(), Duration::from_secs(2));
        writes.record(true);
        assert_eq!(writes.failing_for(), Duration::ZERO);
    }
}
