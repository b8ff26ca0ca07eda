//! What a failed statement means: our bug, or something that passes.

use sqlx::{
    Error,
    postgres::{PgDatabaseError, PgSeverity},
};

/// The SQLSTATE of a write to a server that has become a standby.
const READ_ONLY: &str = "25006";

/// Says whether `error` is a passing inability of the database, which waiting and retrying can heal.
///
/// Anything that is not is a bug: a statement that does not fit the schema, a broken constraint, a missing row.
pub(crate) fn is_passing(error: &Error) -> bool {
    if let Error::Database(database) = error {
        return database.code().is_some_and(|code| is_passing_state(&code));
    }
    matches!(
        error,
        Error::Io(_)
            | Error::Tls(_)
            | Error::Protocol(_)
            | Error::PoolTimedOut
            | Error::PoolClosed
            | Error::WorkerCrashed
            | Error::BeginFailed
    )
}

/// SQLSTATEs (PostgreSQL, appendix A) of situations that pass by themselves.
fn is_passing_state(code: &str) -> bool {
    // Connection trouble, serialization and deadlock, resources, operator intervention (also a statement timeout).
    const CLASSES: [&str; 4] = ["08", "40", "53", "57"];
    const LOCK_NOT_AVAILABLE: &str = "55P03";
    const IDLE_IN_TRANSACTION: &str = "25P03";
    CLASSES.iter().any(|class| code.starts_with(class))
        || [LOCK_NOT_AVAILABLE, IDLE_IN_TRANSACTION, READ_ONLY].contains(&code)
}

/// Says whether a transaction only met others, and can be tried again at once: a deadlock, a lock that was not to be
/// had in time, or a row that somebody else added first.
pub(crate) fn is_collision(error: &Error) -> bool {
    has_state(error, &["40001", "40P01", "55P03", "23505"])
}

/// Says whether the database named one of these SQLSTATEs.
fn has_state(error: &Error, states: &[&str]) -> bool {
    let state = error.as_database_error().and_then(|it| it.code());
    state.is_some_and(|it| states.contains(&it.as_ref()))
}

/// Says whether the answer to a commit is the database's own word that it rolled back.
///
/// A fatal error, or one of the connection, may come from a pooler or a shutdown after the commit was done.
pub(crate) fn is_rolled_back(error: &Error) -> bool {
    const ELSEWHERE: [&str; 3] = ["08", "57", "58"];
    let elsewhere = |code: &str| ELSEWHERE.iter().any(|class| code.starts_with(class));
    server_error(error).is_some_and(|error| !elsewhere(error.code()))
}

/// Says whether a statement failed and its session did not: the server reports an ordinary error.
pub(crate) fn is_server_error(error: &Error) -> bool {
    server_error(error).is_some()
}

/// Says whether the server takes no writes.
pub(super) fn is_read_only(error: &Error) -> bool {
    has_state(error, &[READ_ONLY])
}

/// Returns what the server reports, unless it ends the session.
fn server_error(error: &Error) -> Option<&PgDatabaseError> {
    let error = error.as_database_error()?;
    let error = error.try_downcast_ref::<PgDatabaseError>()?;
    (error.severity() == PgSeverity::Error).then_some(error)
}
