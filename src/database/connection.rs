//! [`Connection`]: a pooled session that returns to the pool by itself, and only in a state that the next holder can
//! use.

use std::{
    pin::Pin,
    task::{Context, Poll, ready},
    time::Duration,
};

use deadpool::managed::Object;
use futures_core::{Stream, future::BoxFuture, stream::BoxStream};
use sqlx::{
    Connection as _, Describe, Either, Execute, Executor, PgConnection, Postgres, SqlStr,
    postgres::{PgQueryResult, PgRow, PgStatement, PgTypeInfo},
};
use tokio::{
    runtime::Handle,
    time::{Instant, timeout},
};

use super::{
    failure::{is_read_only, is_server_error},
    manager::Manager,
};

/// A connection of the pool, which executes statements.
///
/// Dropped while at rest, it returns to the pool at once. Dropped in the middle of a statement or a transaction, it
/// returns when the statement has ended and the transaction is rolled back, and keeps its place in the pool until
/// then; if that takes too long, it is closed. Dropped after the session itself failed, it is closed.
#[derive(Debug)]
pub struct Connection {
    /// Taken by `drop` only.
    session: Option<Object<Manager>>,
}

/// A session of the database, with its state and its limits.
#[derive(Debug)]
pub(super) struct Session {
    connection: PgConnection,
    state: State,
    limits: Limits,
    opened_at: Instant,
    /// When the session last returned to the pool.
    returned_at: Instant,
}

/// Timeouts of a session.
#[derive(Debug, Clone, Copy)]
pub(super) struct Limits {
    /// Time to answer a ping, or to end a statement and a transaction that the holder left unfinished.
    pub(super) settle: Duration,
    /// Time to begin or to commit a transaction.
    pub(super) transaction: Duration,
}

/// A session's work in progress.
#[derive(Debug, Default)]
struct State {
    /// A statement was sent and its response is not read to the end yet.
    is_in_flight: bool,
    /// A transaction may be open.
    is_in_transaction: bool,
    /// The session has failed, or the holder may have changed its mode.
    is_broken: bool,
    /// The server is read-only.
    is_read_only: bool,
}

impl State {
    /// Records the result of a statement that has ended.
    fn end<T>(&mut self, result: &Result<T, sqlx::Error>) {
        self.is_in_flight = false;
        if let Err(error) = result {
            self.is_read_only |= is_read_only(error);
            self.is_broken |= self.is_read_only || !is_server_error(error);
        }
    }

    /// Runs a statement and records its beginning and its result.
    async fn watch<T>(
        &mut self,
        statement: BoxFuture<'_, Result<T, sqlx::Error>>,
    ) -> Result<T, sqlx::Error> {
        self.is_in_flight = true;
        let result = statement.await;
        self.end(&result);
        result
    }
}

impl Session {
    /// Wraps a new connection.
    pub(super) fn new(connection: PgConnection, limits: Limits) -> Self {
        Self {
            connection,
            state: State::default(),
            limits,
            opened_at: Instant::now(),
            returned_at: Instant::now(),
        }
    }

    /// Returns whether no statement and no transaction is in progress and the session has not failed.
    pub(super) fn is_at_rest(&self) -> bool {
        let state = &self.state;
        !(state.is_in_flight || state.is_in_transaction || state.is_broken)
    }

    /// Returns how long ago the session was opened.
    pub(super) fn age(&self) -> Duration {
        self.opened_at.elapsed()
    }

    /// Returns how long ago the session returned to the pool.
    pub(super) fn idle_for(&self) -> Duration {
        self.returned_at.elapsed()
    }

    /// Pings the server.
    pub(super) async fn ping(&mut self) -> Result<(), sqlx::Error> {
        let pinging = timeout(self.limits.settle, self.connection.ping());
        pinging.await.map_err(|_| sqlx::Error::PoolTimedOut)?
    }

    /// Closes the session and notifies the server.
    pub(super) async fn close(self) -> Result<(), sqlx::Error> {
        self.connection.close().await
    }

    /// Brings the session to rest within the time limit: waits for the statement to end and rolls the transaction
    /// back.
    async fn settle(&mut self) -> Result<(), sqlx::Error> {
        let limit = self.limits.settle;
        let settling = timeout(limit, self.settle_in_time());
        settling.await.map_err(|_| sqlx::Error::PoolTimedOut)?
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
        self.state = State::default();
        Ok(())
    }
}

impl Connection {
    /// Wraps a session from the pool.
    pub(super) fn new(session: Object<Manager>) -> Self {
        Self {
            session: Some(session),
        }
    }

    /// Returns the connection of the driver, for operations that an [`Executor`] does not have, such as `copy`.
    ///
    /// The session is closed instead of returned to the pool unless [`Connection::reclaim`] follows.
    pub(crate) fn lend(&mut self) -> &mut PgConnection {
        let (connection, state) = self.parts();
        state.is_broken = true;
        connection
    }

    /// Ends [`Connection::lend`], with the result of the operation. The response of the server must be read to its
    /// end.
    pub(crate) fn reclaim<T>(&mut self, result: &Result<T, sqlx::Error>) {
        let (_, state) = self.parts();
        state.is_broken = false;
        state.end(result);
    }

    /// Executes a statement that begins or ends a transaction, within the timeout of a transaction.
    pub(super) async fn control(&mut self, statement: &'static str) -> Result<(), sqlx::Error> {
        let limit = self.session().limits.transaction;
        self.session().state.is_in_transaction = true;
        let executing = timeout(limit, self.execute(statement));
        executing.await.map_err(|_| sqlx::Error::PoolTimedOut)??;
        Ok(())
    }

    /// Records that the transaction has ended.
    pub(super) fn end_transaction(&mut self) {
        self.session().state.is_in_transaction = false;
    }

    fn session(&mut self) -> &mut Session {
        match &mut self.session {
            Some(session) => session,
            None => unreachable!("nothing is executed on a connection that was dropped"),
        }
    }

    fn parts(&mut self) -> (&mut PgConnection, &mut State) {
        let session = self.session();
        (&mut session.connection, &mut session.state)
    }
}

impl Drop for Connection {
    fn drop(&mut self) {
        let Some(mut session) = self.session.take() else {
            return;
        };
        if session.state.is_broken {
            close(session);
        } else if session.is_at_rest() {
            session.returned_at = Instant::now();
        } else {
            settle(session);
        }
    }
}

/// Removes a session from the pool and closes it without a message to the server, which may not respond any more.
fn close(session: Object<Manager>) {
    if session.state.is_read_only
        && let Some(pool) = Object::pool(&session)
    {
        // The other sessions are on the same server.
        drop(pool.retain(|_, _| false));
    }
    drop(Object::take(session));
}

/// Brings a session to rest and returns it to the pool, in a task that [`Database::close`](super::Database::close)
/// waits for.
fn settle(mut session: Object<Manager>) {
    let (Some(pool), Ok(runtime)) = (Object::pool(&session), Handle::try_current()) else {
        return drop(Object::take(session));
    };
    let settling = async move {
        match session.settle().await {
            Ok(()) => session.returned_at = Instant::now(),
            Err(error) => {
                tracing::debug!(%error, "closing a session that could not be brought to rest");
                close(session);
            }
        }
    };
    pool.manager().tasks().spawn_on(settling, &runtime);
}

impl<'c> Executor<'c> for &'c mut Connection {
    type Database = Postgres;

    fn execute<'e, 'q: 'e, E>(self, query: E) -> BoxFuture<'e, Result<PgQueryResult, sqlx::Error>>
    where
        'c: 'e,
        E: 'q + Execute<'q, Postgres>,
    {
        let (connection, state) = self.parts();
        Box::pin(state.watch(connection.execute(query)))
    }

    fn fetch_many<'e, 'q: 'e, E>(
        self,
        query: E,
    ) -> BoxStream<'e, Result<Either<PgQueryResult, PgRow>, sqlx::Error>>
    where
        'c: 'e,
        E: 'q + Execute<'q, Postgres>,
    {
        let (connection, state) = self.parts();
        state.is_in_flight = true;
        let answer = connection.fetch_many(query);
        Box::pin(Answer { answer, state })
    }

    fn fetch_all<'e, 'q: 'e, E>(self, query: E) -> BoxFuture<'e, Result<Vec<PgRow>, sqlx::Error>>
    where
        'c: 'e,
        E: 'q + Execute<'q, Postgres>,
    {
        let (connection, state) = self.parts();
        Box::pin(state.watch(connection.fetch_all(query)))
    }

    fn fetch_optional<'e, 'q: 'e, E>(
        self,
        query: E,
    ) -> BoxFuture<'e, Result<Option<PgRow>, sqlx::Error>>
    where
        'c: 'e,
        E: 'q + Execute<'q, Postgres>,
    {
        let (connection, state) = self.parts();
        Box::pin(state.watch(connection.fetch_optional(query)))
    }

    fn prepare_with<'e>(
        self,
        sql: SqlStr,
        parameters: &'e [PgTypeInfo],
    ) -> BoxFuture<'e, Result<PgStatement, sqlx::Error>>
    where
        'c: 'e,
    {
        let (connection, state) = self.parts();
        Box::pin(state.watch(connection.prepare_with(sql, parameters)))
    }

    fn describe<'e>(self, sql: SqlStr) -> BoxFuture<'e, Result<Describe<Postgres>, sqlx::Error>>
    where
        'c: 'e,
    {
        let (connection, state) = self.parts();
        Box::pin(state.watch(connection.describe(sql)))
    }
}

/// The response to a statement, row by row.
struct Answer<'e> {
    answer: BoxStream<'e, Result<Either<PgQueryResult, PgRow>, sqlx::Error>>,
    state: &'e mut State,
}

impl Stream for Answer<'_> {
    type Item = Result<Either<PgQueryResult, PgRow>, sqlx::Error>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let item = ready!(self.answer.as_mut().poll_next(cx));
        match &item {
            Some(Ok(_)) => {}
            Some(failed) => self.state.end(failed),
            None => self.state.is_in_flight = false,
        }
        Poll::Ready(item)
    }
}
