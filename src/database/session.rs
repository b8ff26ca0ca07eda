//! [`Session`]: a session of the database. It knows what is in progress on it and whether it can be used again, bounds
//! every statement, and repeats a statement whose prepared plan is outdated.

use std::time::Duration;

use futures_core::{future::BoxFuture, stream::BoxStream};
use futures_util::TryStreamExt;
use sqlx::{Connection, Executor, PgConnection, postgres::PgRow};
use tokio::{sync::OwnedSemaphorePermit, time::Instant};

use super::{
    failure::{is_outdated_plan, is_read_only, is_server_error, is_silence},
    statement::{Statement, Transmit, execute, in_time},
};

/// Timeouts of a session.
#[derive(Debug, Clone, Copy)]
pub(super) struct Limits {
    /// Time to answer a ping, or to end a statement and a transaction that the holder left unfinished.
    pub(super) settle: Duration,
    /// Time for the server to answer a statement. The server's own timeout is shorter, so only a server or a network
    /// that has fallen silent exceeds this.
    pub(super) answer: Duration,
}

/// A session of the database, with its state and its limits.
#[derive(Debug)]
pub(super) struct Session {
    connection: PgConnection,
    state: State,
    limits: Limits,
    /// The time to answer a statement, if the holder has raised it.
    raised: Option<Duration>,
    /// The holder's permit to read.
    permit: Option<OwnedSemaphorePermit>,
    opened_at: Instant,
    /// When the session last returned to the pool.
    returned_at: Instant,
    /// Since when every statement was prepared.
    prepared_since: Instant,
}

/// A session's work in progress.
#[derive(Debug, Default)]
pub(super) struct State {
    /// A statement was sent and its response is not read to the end yet.
    is_in_flight: bool,
    /// A transaction may be open.
    is_in_transaction: bool,
    /// The statement that began the transaction, while the transaction has done nothing else.
    begun_by: Option<&'static str>,
    /// The session has failed, or the holder may have changed its mode.
    is_broken: bool,
    /// The server is read-only.
    is_read_only: bool,
    /// The server did not answer in time.
    is_silent: bool,
    /// A prepared plan was outdated.
    has_outdated_plans: bool,
}

impl State {
    /// Records the result of a statement that has ended.
    pub(super) fn end<T>(&mut self, result: &Result<T, sqlx::Error>) {
        self.is_in_flight = false;
        if let Err(error) = result {
            self.is_read_only |= is_read_only(error);
            self.is_silent |= is_silence(error);
            self.has_outdated_plans |= is_outdated_plan(error);
            self.is_broken |= self.is_read_only || !is_server_error(error);
        }
    }

    /// Runs a statement within a time limit, and records its beginning and its result.
    pub(super) async fn watch<T>(
        &mut self,
        limit: Duration,
        statement: BoxFuture<'_, Result<T, sqlx::Error>>,
    ) -> Result<T, sqlx::Error> {
        self.is_in_flight = true;
        let result = in_time(limit, statement).await;
        self.end(&result);
        result
    }
}

impl Session {
    /// Wraps a new connection.
    pub(super) fn new(connection: PgConnection, limits: Limits) -> Self {
        let now = Instant::now();
        Self {
            connection,
            state: State::default(),
            limits,
            raised: None,
            permit: None,
            opened_at: now,
            returned_at: now,
            prepared_since: now,
        }
    }

    /// Returns whether no statement and no transaction is in progress and the session has not failed.
    pub(super) fn is_at_rest(&self) -> bool {
        let state = &self.state;
        !(state.is_in_flight || state.is_in_transaction || state.is_broken)
    }

    /// Returns whether the session has failed.
    pub(super) fn is_broken(&self) -> bool {
        self.state.is_broken
    }

    /// Returns whether the server has refused a write because it is a standby.
    pub(super) fn is_read_only(&self) -> bool {
        self.state.is_read_only
    }

    /// Returns whether the server did not answer in time.
    pub(super) fn is_silent(&self) -> bool {
        self.state.is_silent
    }

    /// Returns whether a prepared plan was outdated, so that those of other sessions are, too.
    pub(super) fn has_outdated_plans(&self) -> bool {
        self.state.has_outdated_plans
    }

    /// Returns how long ago the session was opened.
    pub(super) fn age(&self) -> Duration {
        self.opened_at.elapsed()
    }

    /// Returns when the session last returned to the pool.
    pub(super) fn returned_at(&self) -> Instant {
        self.returned_at
    }

    /// Returns the time before which no statement was prepared.
    pub(super) fn prepared_since(&self) -> Instant {
        self.prepared_since
    }

    /// Keeps a permit until the session returns to the pool or is closed.
    pub(super) fn keep(&mut self, permit: OwnedSemaphorePermit) {
        self.permit = Some(permit);
    }

    /// Raises the time to answer a statement until the session returns to the pool.
    pub(super) fn raise(&mut self, limit: Duration) {
        self.raised = Some(limit);
    }

    /// Prepares the session for its return to the pool.
    pub(super) fn rest(&mut self) {
        self.state = State::default();
        self.raised = None;
        self.permit = None;
        self.returned_at = Instant::now();
    }

    /// Pings the server.
    pub(super) async fn ping(&mut self) -> Result<(), sqlx::Error> {
        in_time(self.limits.settle, self.connection.ping()).await
    }

    /// Forgets all prepared statements, so that each is prepared anew when it is next used.
    pub(super) async fn forget_plans(&mut self) -> Result<(), sqlx::Error> {
        in_time(
            self.limits.settle,
            self.connection.clear_cached_statements(),
        )
        .await?;
        self.prepared_since = Instant::now();
        Ok(())
    }

    /// Closes the session and notifies the server.
    pub(super) async fn close(self) -> Result<(), sqlx::Error> {
        self.connection.close().await
    }

    /// Brings the session to rest within the time limit: waits for the statement to end and rolls the transaction
    /// back.
    pub(super) async fn settle(&mut self) -> Result<(), sqlx::Error> {
        in_time(self.limits.settle, self.settle_in_time()).await
    }

    async fn settle_in_time(&mut self) -> Result<(), sqlx::Error> {
        // Nothing waits for the result of this statement, so an ordinary error is ignored.
        while let Err(error) = self.connection.ping().await {
            if !is_server_error(&error) || is_read_only(&error) {
                return Err(error);
            }
        }
        if self.state.is_in_transaction {
            self.connection.execute("rollback").await?;
        }
        Ok(())
    }

    /// Returns the connection of the driver, for operations that [`Session::run`] cannot do.
    ///
    /// The session is broken until [`Session::reclaim`].
    pub(super) fn lend(&mut self) -> &mut PgConnection {
        self.state.begun_by = None;
        self.state.is_broken = true;
        &mut self.connection
    }

    /// Ends [`Session::lend`], with the result of the operation.
    pub(super) fn reclaim<T>(&mut self, result: &Result<T, sqlx::Error>) {
        self.state.is_broken = false;
        self.state.end(result);
    }

    /// Begins a transaction.
    pub(super) async fn begin(&mut self, statement: &'static str) -> Result<(), sqlx::Error> {
        self.state.is_in_transaction = true;
        self.run(Statement::of(statement)?, execute).await?;
        self.state.begun_by = Some(statement);
        Ok(())
    }

    /// Commits the transaction.
    pub(super) async fn commit(&mut self, statement: &'static str) -> Result<(), sqlx::Error> {
        self.run(Statement::of(statement)?, execute).await?;
        self.state.is_in_transaction = false;
        Ok(())
    }

    /// Runs a statement, and returns its whole response.
    ///
    /// If its plan is outdated, as after a migration that has changed the type of a column, the statement has done
    /// nothing. It is then prepared anew and sent once more, unless the transaction has done something before: that
    /// cannot be repeated here.
    pub(super) async fn run<T>(
        &mut self,
        statement: Statement,
        send: Transmit<T>,
    ) -> Result<T, sqlx::Error> {
        // Only a prepared statement has a plan.
        let again = statement.is_prepared().then(|| statement.clone());
        let mut result = self.send(statement, send).await;
        let is_outdated = result.as_ref().is_err_and(is_outdated_plan);
        if is_outdated
            && let Some(statement) = again
            && self.renew().await?
        {
            result = self.send(statement, send).await;
        }
        self.state.begun_by = None;
        result
    }

    async fn send<T>(&mut self, statement: Statement, send: Transmit<T>) -> Result<T, sqlx::Error> {
        let (connection, state, limit) = self.parts();
        state.watch(limit, send(connection, statement)).await
    }

    /// Forgets all prepared statements after a statement that has done nothing, and begins its transaction anew.
    ///
    /// Returns `false` if the transaction had done something else.
    async fn renew(&mut self) -> Result<bool, sqlx::Error> {
        let begun_by = self.state.begun_by;
        if self.state.is_in_transaction && begun_by.is_none() {
            return Ok(false);
        }
        self.state.is_in_flight = true;
        let result = in_time(self.limit(), self.renew_in_time(begun_by)).await;
        self.state.end(&result);
        result.map(|()| true)
    }

    async fn renew_in_time(&mut self, begin: Option<&'static str>) -> Result<(), sqlx::Error> {
        if begin.is_some() {
            self.connection.execute("rollback").await?;
        }
        self.connection.clear_cached_statements().await?;
        if let Some(begin) = begin {
            self.connection.execute(begin).await?;
        }
        Ok(())
    }

    /// Returns the connection of the driver, the state that watches it, and the time to answer.
    pub(super) fn parts(&mut self) -> (&mut PgConnection, &mut State, Duration) {
        let limit = self.limit();
        (&mut self.connection, &mut self.state, limit)
    }

    /// Runs a statement, and returns its rows as they arrive.
    pub(super) fn stream(&mut self, sql: &'static str) -> Rows<'_> {
        let limit = self.limit();
        self.state.begun_by = None;
        self.state.is_in_flight = true;
        Rows {
            rows: sqlx::query(sql).fetch(&mut self.connection),
            state: &mut self.state,
            limit,
        }
    }

    /// Returns the time to answer a statement.
    fn limit(&self) -> Duration {
        self.raised.unwrap_or(self.limits.answer)
    }
}

/// The rows of a response, as they arrive. The session is in use until the last one.
pub(crate) struct Rows<'s> {
    rows: BoxStream<'s, Result<PgRow, sqlx::Error>>,
    state: &'s mut State,
    limit: Duration,
}

impl Rows<'_> {
    /// Returns the next row.
    pub(crate) async fn next(&mut self) -> Result<Option<PgRow>, sqlx::Error> {
        let next = in_time(self.limit, self.rows.try_next()).await;
        if !matches!(next, Ok(Some(_))) {
            self.state.end(&next);
        }
        next
    }
}
