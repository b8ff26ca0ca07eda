//! [`Unreachable`]: the reason why no session could be opened, for people.

use std::{io, time::Duration};

use secrecy::ExposeSecret;
use sqlx::{Error, postgres::PgConnectOptions};

use crate::config;

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
