//! What a failed statement means: our bug, or something that passes.

use sqlx::Error;

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
