//! [`Connection`]: a pooled session that returns to the pool by itself, and only in a state that the next holder can
//! use.

use std::time::Duration;

use deadpool::managed::Object;
use futures_core::{future::BoxFuture, stream::BoxStream};
use futures_util::{TryStreamExt, stream};
use sqlx::{
    Describe, Either, Execute, Executor, PgConnection, Postgres, SqlStr,
    postgres::{PgQueryResult, PgRow, PgStatement, PgTypeInfo},
};
use tokio::{runtime::Handle, sync::OwnedSemaphorePermit};

use super::{
    manager::Manager,
    session::{Rows, Session},
    statement::{Statement, Transmit, execute, fetch_all, fetch_many, fetch_optional, record},
};
use crate::telemetry::operations::{Operations, Running};

/// A connection of the pool, which executes statements.
///
/// Dropped while at rest, it returns to the pool at once. Dropped in the middle of a statement or a transaction, it
/// returns when the statement has ended and the transaction is rolled back, and keeps its place in the pool until
/// then; if that takes too long, it is closed. Dropped after the session itself failed, it is closed.
#[derive(Debug)]
pub struct Connection {
    /// Taken by `drop` only.
    session: Option<Object<Manager>>,
    /// Records the statements, if the connection serves a sampled request.
    operations: Option<Operations>,
}

impl Connection {
    /// Wraps a session from the pool. The permit is kept until the session is back in the pool.
    pub(super) fn new(mut session: Object<Manager>, permit: Option<OwnedSemaphorePermit>) -> Self {
        if let Some(permit) = permit {
            session.keep(permit);
        }
        Self {
            session: Some(session),
            operations: Operations::current(),
        }
    }

    /// Returns the connection of the driver, for operations that an [`Executor`] does not have, such as `copy`.
    ///
    /// The session is closed instead of returned to the pool unless [`Connection::reclaim`] follows.
    pub(crate) fn lend(&mut self) -> &mut PgConnection {
        self.session().lend()
    }

    /// Ends [`Connection::lend`], with the result of the operation. The response of the server must be read to its
    /// end.
    pub(crate) fn reclaim<T>(&mut self, result: &Result<T, sqlx::Error>) {
        self.session().reclaim(result);
    }

    /// Raises the time that the server may take to answer a statement, for a caller that has raised the server's own
    /// timeouts.
    pub(crate) fn raise_timeout(&mut self, limit: Duration) {
        self.session().raise(limit);
    }

    /// Executes a statement and returns its rows as they arrive, for a response that is too large to be held.
    pub(crate) fn stream(&mut self, sql: &'static str) -> Rows<'_> {
        self.session().stream(sql)
    }

    /// Begins a transaction.
    pub(super) async fn begin(&mut self, statement: &'static str) -> Result<(), sqlx::Error> {
        let running = self.start(statement);
        let result = self.session().begin(statement).await;
        record(running, &result);
        result
    }

    /// Commits the transaction.
    pub(super) async fn commit(&mut self, statement: &'static str) -> Result<(), sqlx::Error> {
        let running = self.start(statement);
        let result = self.session().commit(statement).await;
        record(running, &result);
        result
    }

    /// Runs a statement, and returns its whole response. If it is sent again, its recording includes both times.
    async fn run<T>(
        &mut self,
        statement: Result<Statement, sqlx::Error>,
        send: Transmit<T>,
    ) -> Result<T, sqlx::Error> {
        let statement = statement?;
        let running = self.start(statement.text());
        let result = self.session().run(statement, send).await;
        record(running, &result);
        result
    }

    /// Starts the recording of a statement, if the request is sampled.
    fn start(&self, sql: &str) -> Option<Running> {
        let operations = self.operations.as_ref()?;
        Some(operations.statement(sql))
    }

    fn session(&mut self) -> &mut Session {
        match &mut self.session {
            Some(session) => session,
            None => unreachable!("nothing is executed on a connection that was dropped"),
        }
    }
}

impl Drop for Connection {
    fn drop(&mut self) {
        let Some(mut session) = self.session.take() else {
            return;
        };
        if session.has_outdated_plans()
            && let Some(pool) = Object::pool(&session)
        {
            pool.manager().outdate_plans();
        }
        if session.is_broken() {
            close(session);
        } else if session.is_at_rest() {
            session.rest();
        } else {
            settle(session);
        }
    }
}

/// Removes a session from the pool and closes it without a message to the server, which may not respond any more.
fn close(session: Object<Manager>) {
    if let Some(pool) = Object::pool(&session) {
        if session.is_read_only() {
            // The other sessions are on the same server.
            drop(pool.retain(|_, _| false));
        }
        if session.is_silent() {
            pool.manager().distrust_idle();
        }
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
            Ok(()) => session.rest(),
            Err(error) => {
                tracing::debug!(%error, "closing a session that could not be brought to rest");
                close(session);
            }
        }
    };
    pool.manager().tasks().spawn_on(settling, &runtime);
}

/// Executes statements. A response is read whole before any of it is returned, so that its statement can be repeated.
impl<'c> Executor<'c> for &'c mut Connection {
    type Database = Postgres;

    fn execute<'e, 'q: 'e, E>(self, query: E) -> BoxFuture<'e, Result<PgQueryResult, sqlx::Error>>
    where
        'c: 'e,
        E: 'q + Execute<'q, Postgres>,
    {
        let statement = Statement::of(query);
        Box::pin(self.run(statement, execute))
    }

    fn fetch_many<'e, 'q: 'e, E>(
        self,
        query: E,
    ) -> BoxStream<'e, Result<Either<PgQueryResult, PgRow>, sqlx::Error>>
    where
        'c: 'e,
        E: 'q + Execute<'q, Postgres>,
    {
        let statement = Statement::of(query);
        let items = async move {
            let items = self.run(statement, fetch_many).await?;
            Ok::<_, sqlx::Error>(stream::iter(items.into_iter().map(Ok::<_, sqlx::Error>)))
        };
        Box::pin(stream::once(items).try_flatten())
    }

    fn fetch_all<'e, 'q: 'e, E>(self, query: E) -> BoxFuture<'e, Result<Vec<PgRow>, sqlx::Error>>
    where
        'c: 'e,
        E: 'q + Execute<'q, Postgres>,
    {
        let statement = Statement::of(query);
        Box::pin(self.run(statement, fetch_all))
    }

    fn fetch_optional<'e, 'q: 'e, E>(
        self,
        query: E,
    ) -> BoxFuture<'e, Result<Option<PgRow>, sqlx::Error>>
    where
        'c: 'e,
        E: 'q + Execute<'q, Postgres>,
    {
        let statement = Statement::of(query);
        Box::pin(self.run(statement, fetch_optional))
    }

    fn prepare_with<'e>(
        self,
        sql: SqlStr,
        parameters: &'e [PgTypeInfo],
    ) -> BoxFuture<'e, Result<PgStatement, sqlx::Error>>
    where
        'c: 'e,
    {
        let (connection, state, limit) = self.session().parts();
        Box::pin(state.watch(limit, connection.prepare_with(sql, parameters)))
    }

    fn describe<'e>(self, sql: SqlStr) -> BoxFuture<'e, Result<Describe<Postgres>, sqlx::Error>>
    where
        'c: 'e,
    {
        let (connection, state, limit) = self.session().parts();
        Box::pin(state.watch(limit, connection.describe(sql)))
    }
}
