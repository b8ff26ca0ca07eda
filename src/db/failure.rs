//! What a failed statement means: our bug, or something that passes.

use sqlx::{
    Error,
    postgres::{PgDatabaseError, PgSeverity},
};

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
    const READ_ONLY_AFTER_FAILOVER: &str = "25006";
    CLASSES.iter().any(|class| code.starts_with(class))
        || [
            LOCK_NOT_AVAILABLE,
            IDLE_IN_TRANSACTION,
            READ_ONLY_AFTER_FAILOVER,
        ]
        .contains(&code)
}

/// Says whether a transaction only met others, and can be tried again at once: a deadlock, a lock that was not to be
/// had in time, or a row that somebody else added first.
pub(crate) fn is_collision(error: &Error) -> bool {
    has_state(error, &["40001", "40P01", "55P03", "23505"])
}

/// Says whether the database has cut a statement off because it took too long.
pub(crate) fn is_cut_off(error: &Error) -> bool {
    has_state(error, &["57014"])
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
    let error = error
        .as_database_error()
        .and_then(|it| it.try_downcast_ref::<PgDatabaseError>());
    error.is_some_and(|error| {
        let elsewhere = ELSEWHERE
            .iter()
            .any(|class| error.code().starts_with(class));
        error.severity() == PgSeverity::Error && !elsewhere
    })
}
