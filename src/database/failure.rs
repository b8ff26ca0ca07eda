//! Classification of database errors: transient failures and bugs.

use std::io;

use sqlx::{
    Error,
    postgres::{PgDatabaseError, PgSeverity},
};

/// The SQLSTATE of a write on a server that has become a standby.
const READ_ONLY: &str = "25006";

/// Returns whether `error` is a transient failure of the database, after which a retry can succeed.
///
/// Any other error is a bug: a statement that does not fit the schema, a violated constraint, a missing row.
pub(crate) fn is_transient(error: &Error) -> bool {
    if let Error::Database(database) = error {
        return is_outdated_plan(error)
            || database
                .code()
                .is_some_and(|code| is_transient_state(&code));
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

/// Returns whether a SQLSTATE (PostgreSQL, appendix A) stands for a transient failure.
fn is_transient_state(code: &str) -> bool {
    // Connection exceptions, rollbacks, insufficient resources, operator intervention (includes statement timeouts).
    // And the reasons to refuse a session of a server that was usable when it started: a changed password or role, a
    // database that is being replaced.
    const CLASSES: [&str; 6] = ["08", "28", "3D", "40", "53", "57"];
    const LOCK_NOT_AVAILABLE: &str = "55P03";
    const IDLE_IN_TRANSACTION: &str = "25P03";
    CLASSES.iter().any(|class| code.starts_with(class))
        || [LOCK_NOT_AVAILABLE, IDLE_IN_TRANSACTION, READ_ONLY].contains(&code)
}

/// Returns whether a transaction failed only because of a concurrent one, so that it can be retried at once: a
/// serialization failure, a deadlock, a lock timeout, or a row that another transaction inserted first.
pub(crate) fn is_conflict(error: &Error) -> bool {
    has_state(error, &["40001", "40P01", "55P03", "23505"])
}

/// Returns whether a lock was not acquired within the timeout.
pub(super) fn is_lock_timeout(error: &Error) -> bool {
    has_state(error, &["55P03"])
}

/// Returns whether the error has one of these SQLSTATEs.
fn has_state(error: &Error, states: &[&str]) -> bool {
    let state = error.as_database_error().and_then(|it| it.code());
    state.is_some_and(|it| states.contains(&it.as_ref()))
}

/// Returns whether the error of a commit proves that the database rolled the transaction back.
///
/// A fatal error or a connection error proves nothing: a pooler or a shutdown may cause it after the commit.
pub(crate) fn is_rolled_back(error: &Error) -> bool {
    const UNCERTAIN: [&str; 3] = ["08", "57", "58"];
    let is_uncertain = |code: &str| UNCERTAIN.iter().any(|class| code.starts_with(class));
    server_error(error).is_some_and(|error| !is_uncertain(error.code()))
}

/// Returns whether only the statement failed and the session remains usable: the server reported an ordinary error.
pub(crate) fn is_server_error(error: &Error) -> bool {
    server_error(error).is_some()
}

/// Returns whether the error means that the server is read-only.
pub(super) fn is_read_only(error: &Error) -> bool {
    has_state(error, &[READ_ONLY])
}

/// Returns whether the server did not answer in time.
pub(super) fn is_silence(error: &Error) -> bool {
    matches!(error, Error::Io(error) if error.kind() == io::ErrorKind::TimedOut)
}

/// Returns whether a statement has done nothing because its prepared plan is outdated: a migration has changed the type
/// of a column that it returns, or the server has forgotten the plan.
pub(super) fn is_outdated_plan(error: &Error) -> bool {
    const FORGOTTEN: &str = "26000";
    // The state stands for any missing feature, and messages are translated; the name of the routine is not.
    const NOT_SUPPORTED: &str = "0A000";
    const REVALIDATION: &str = "RevalidateCachedQuery";
    server_error(error).is_some_and(|error| match error.code() {
        FORGOTTEN => true,
        NOT_SUPPORTED => error.routine() == Some(REVALIDATION),
        _ => false,
    })
}

/// Returns the server's error, unless it is one that ends the session.
fn server_error(error: &Error) -> Option<&PgDatabaseError> {
    let error = error.as_database_error()?;
    let error = error.try_downcast_ref::<PgDatabaseError>()?;
    (error.severity() == PgSeverity::Error).then_some(error)
}
