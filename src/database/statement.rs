//! [`Statement`]: a statement that can be sent again, the ways to send one, and the record of its result.

use std::{borrow::Cow, io, time::Duration};

use futures_core::future::BoxFuture;
use futures_util::TryStreamExt;
use sqlx::{
    Either, Execute, Executor, PgConnection, Postgres, SqlStr,
    error::BoxDynError,
    postgres::{PgArguments, PgQueryResult, PgRow, PgStatement},
};
use tokio::time::timeout;

use crate::telemetry::operations::Running;

/// A statement with its arguments, which can be sent again.
#[derive(Clone)]
pub(super) struct Statement {
    sql: SqlStr,
    /// `None` if it is not prepared.
    arguments: Option<PgArguments>,
    is_cached: bool,
}

impl Statement {
    /// Takes the parts of a query.
    pub(super) fn of<'q>(mut query: impl Execute<'q, Postgres>) -> Result<Self, sqlx::Error> {
        let is_cached = query.persistent();
        let arguments = query.take_arguments().map_err(sqlx::Error::Encode)?;
        Ok(Self {
            sql: query.sql(),
            arguments,
            is_cached,
        })
    }

    /// Returns the SQL.
    pub(super) fn text(&self) -> &str {
        self.sql.as_str()
    }

    /// Returns whether the server prepares a plan for the statement.
    pub(super) fn is_prepared(&self) -> bool {
        self.arguments.is_some()
    }
}

impl Execute<'_, Postgres> for Statement {
    fn sql(self) -> SqlStr {
        self.sql
    }

    fn statement(&self) -> Option<&PgStatement> {
        None
    }

    fn take_arguments(&mut self) -> Result<Option<PgArguments>, BoxDynError> {
        Ok(self.arguments.take())
    }

    fn persistent(&self) -> bool {
        self.is_cached
    }
}

/// A function that sends a statement and returns its whole response.
pub(super) type Transmit<T> =
    for<'c> fn(&'c mut PgConnection, Statement) -> BoxFuture<'c, Result<T, sqlx::Error>>;

/// Sends a statement, and ignores its rows.
pub(super) fn execute(
    connection: &mut PgConnection,
    statement: Statement,
) -> BoxFuture<'_, Result<PgQueryResult, sqlx::Error>> {
    connection.execute(statement)
}

/// Sends a statement and collects rows and results.
pub(super) fn fetch_many(
    connection: &mut PgConnection,
    statement: Statement,
) -> BoxFuture<'_, Result<Vec<Either<PgQueryResult, PgRow>>, sqlx::Error>> {
    Box::pin(connection.fetch_many(statement).try_collect::<Vec<_>>())
}

/// Sends a statement and collects its rows.
pub(super) fn fetch_all(
    connection: &mut PgConnection,
    statement: Statement,
) -> BoxFuture<'_, Result<Vec<PgRow>, sqlx::Error>> {
    connection.fetch_all(statement)
}

/// Sends a statement and returns its first row.
pub(super) fn fetch_optional(
    connection: &mut PgConnection,
    statement: Statement,
) -> BoxFuture<'_, Result<Option<PgRow>, sqlx::Error>> {
    connection.fetch_optional(statement)
}

/// Awaits a response of the server. Its silence is an error of the connection.
pub(super) async fn in_time<T>(
    limit: Duration,
    response: impl Future<Output = Result<T, sqlx::Error>>,
) -> Result<T, sqlx::Error> {
    let response = timeout(limit, response).await;
    response.unwrap_or_else(|_| Err(io::Error::from(io::ErrorKind::TimedOut).into()))
}

/// Ends the recording of a statement, if it is recorded.
pub(super) fn record<T>(running: Option<Running>, result: &Result<T, sqlx::Error>) {
    if let Some(running) = running {
        running.end(result.as_ref().err().map(error_type));
    }
}

/// Returns the type of an error for its span: the SQLSTATE, or `connection` if the server did not report one.
fn error_type(error: &sqlx::Error) -> Cow<'static, str> {
    let state = error.as_database_error().and_then(|it| it.code());
    state.map_or(Cow::Borrowed("connection"), |it| {
        Cow::Owned(it.into_owned())
    })
}
