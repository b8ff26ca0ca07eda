//! Classification of database errors: transient failures and bugs, and in [`Unreachable`] the reason why no session could
//! be opened, for people.

use std::{io, time::Duration};

use secrecy::ExposeSecret;
use sqlx::{
    Error,
    postgres::{PgConnectOptions, PgDatabaseError, PgSeverity},
};

use crate::config;

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

/// No session could be opened. It names the hosts and the reason, and no password.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("the database at {hosts} cannot be reached: {reason}")]
pub(crate) struct Unreachable {
    hosts: String,
    reason: String,
}

impl Unreachable {
    /// Explains the error of a session that could not be opened; `None` if the error is of another kind.
    pub(crate) fn explain(error: &Error, settings: &config::Database) -> Option<Self> {
        let reason = reason(error, settings.acquire)?;
        let hosts = config::parse_database_url(settings.url.expose_secret()).ok()?;
        let hosts: Vec<_> = hosts.iter().map(name).collect();
        Some(Self {
            hosts: hosts.join(" or "),
            reason,
        })
    }
}

/// Returns the host and port of a server, or its socket.
fn name(options: &PgConnectOptions) -> String {
    let (host, port) = (options.get_host(), options.get_port());
    match options.get_socket() {
        Some(folder) => format!("{}/.s.PGSQL.{port}", folder.display()),
        None if host.starts_with('/') => format!("{host}/.s.PGSQL.{port}"),
        None if host.contains(':') => format!("[{host}]:{port}"),
        None => format!("{host}:{port}"),
    }
}

/// Returns why a session was not opened within a time. Of several hosts, it is the reason of the last one.
fn reason(error: &Error, within: Duration) -> Option<String> {
    if let Error::Database(error) = error {
        let is_refusal = error.code().is_some_and(|it| is_refusal(&it));
        return is_refusal.then(|| error.message().to_owned());
    }
    if let Error::Io(error) = error {
        return Some(io_reason(error, within));
    }
    if matches!(error, Error::PoolTimedOut) {
        return Some(silence(within));
    }
    matches!(error, Error::Tls(_) | Error::Protocol(_)).then(|| error.to_string())
}

fn io_reason(error: &io::Error, within: Duration) -> String {
    let is_from_system = error.get_ref().is_none();
    if error.kind() == io::ErrorKind::TimedOut {
        silence(within)
    } else if error.kind() == io::ErrorKind::ConnectionRefused && is_from_system {
        "the connection was refused; no server listens there".to_owned()
    } else {
        error.to_string()
    }
}

fn silence(within: Duration) -> String {
    format!("no answer within {} s", within.as_secs())
}

/// Returns whether a server refuses a session with a SQLSTATE: its role, password or database is wrong, or it has no
/// room or is starting.
fn is_refusal(code: &str) -> bool {
    const CLASSES: [&str; 3] = ["08", "28", "3D"];
    const TOO_MANY_CONNECTIONS: &str = "53300";
    const CANNOT_CONNECT_NOW: &str = "57P03";
    CLASSES.iter().any(|class| code.starts_with(class))
        || [TOO_MANY_CONNECTIONS, CANNOT_CONNECT_NOW].contains(&code)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Settings;

    fn explain(url: &str, error: &Error) -> Option<String> {
        let variables = [("DATABASE_URL".to_owned(), url.to_owned())];
        let settings = Settings::read(None, &variables).unwrap().database;
        Unreachable::explain(error, &settings).map(|it| it.to_string())
    }

    #[test]
    fn hosts_and_reason_are_named_without_the_password() {
        let refused = Error::Io(io::Error::from(io::ErrorKind::ConnectionRefused));
        let refusal = "the connection was refused; no server listens there";
        for (url, hosts) in [
            ("postgres://lmn:hunter2@db.example/lmn", "db.example:5432"),
            ("postgres://lmn@[::1]:5433/lmn", "[::1]:5433"),
            (
                "postgres://lmn:hunter2@one,two:5433/lmn",
                "one:5432 or two:5433",
            ),
            (
                "postgres:///lmn?host=/run/pg&port=5433",
                "/run/pg/.s.PGSQL.5433",
            ),
        ] {
            let expected = format!("the database at {hosts} cannot be reached: {refusal}");
            assert_eq!(explain(url, &refused), Some(expected));
        }
    }

    #[test]
    fn silence_is_told_from_a_refusal_and_other_errors_are_left_alone() {
        let url = "postgres://localhost:1/lmn";
        let reason = |error| {
            let told = explain(url, &error)?;
            told.rsplit_once("reached: ").map(|it| it.1.to_owned())
        };
        let silence = Some("no answer within 3 s".to_owned());
        assert_eq!(reason(Error::PoolTimedOut), silence);
        let timed_out = io::Error::from(io::ErrorKind::TimedOut);
        assert_eq!(reason(Error::Io(timed_out)), silence);
        let standby = io::Error::new(
            io::ErrorKind::ConnectionRefused,
            "it does not accept writes",
        );
        let expected = Some("it does not accept writes".to_owned());
        assert_eq!(reason(Error::Io(standby)), expected);
        assert_eq!(reason(Error::RowNotFound), None);
    }
}
