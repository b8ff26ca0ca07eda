//! The hosts of a database URL, and the choice of the one that accepts writes.

use std::{
    fmt, io,
    str::FromStr,
    sync::atomic::{AtomicUsize, Ordering},
    time::Duration,
};

use sqlx::{Connection, Executor, PgConnection, Row, postgres::PgConnectOptions};
use tokio::time::timeout;

/// The port of a host without one, in a URL with several hosts.
const PORT: &str = "5432";
/// Queries whether the session accepts writes.
const TAKES_WRITES: &str =
    "select not (pg_is_in_recovery() or current_setting('transaction_read_only')::boolean)";
/// Same query, and makes the server detect within 500 ms that a client has disconnected (PostgreSQL 14 or later).
const TAKES_WRITES_WITH_CHECK: &str = "select not (pg_is_in_recovery() or current_setting('transaction_read_only')::boolean); \
     set client_connection_check_interval = '500ms'";

/// The hosts of one database, one of which accepts writes.
pub(super) struct Hosts {
    hosts: Vec<PgConnectOptions>,
    /// The index of the host to try first.
    first: AtomicUsize,
}

impl Hosts {
    /// Parses a URL, which may name several hosts: `postgres://user:password@one:5432,two:5433/name`.
    pub(super) fn parse(url: &str) -> Result<Self, sqlx::Error> {
        let hosts = split(url).into_iter().map(|url| parse_one(&url));
        Ok(Self {
            hosts: hosts.collect::<Result<_, _>>()?,
            first: AtomicUsize::new(0),
        })
    }

    /// Sets these settings for every session. They override those of the role, the database and the server.
    pub(super) fn with_settings(mut self, settings: &[(&str, String)]) -> Self {
        let hosts = self.hosts.into_iter();
        self.hosts = hosts
            .map(|host| host.options(settings.iter().map(|(name, value)| (name, value))))
            .collect();
        self
    }

    /// Opens a session on the first host that accepts writes, starting with the one that accepted them last.
    ///
    /// Every host gets an equal part of `within`. If none accepts writes, returns the error of the last host.
    pub(super) async fn connect(&self, within: Duration) -> Result<PgConnection, sqlx::Error> {
        self.find(within).await.map(|(connection, _)| connection)
    }

    /// Returns the host that accepts writes. A single host is returned without a query.
    pub(super) async fn writable(&self, within: Duration) -> Result<PgConnectOptions, sqlx::Error> {
        if let [only] = self.hosts.as_slice() {
            return Ok(only.clone());
        }
        let (connection, host) = self.find(within).await?;
        drop(connection);
        Ok(host.clone())
    }

    async fn find(
        &self,
        within: Duration,
    ) -> Result<(PgConnection, &PgConnectOptions), sqlx::Error> {
        let count = self.hosts.len();
        let within = within / u32::try_from(count).unwrap_or(u32::MAX).max(1);
        let first = self.first.load(Ordering::Relaxed);
        let mut last = sqlx::Error::PoolTimedOut;
        for (index, host) in self
            .hosts
            .iter()
            .enumerate()
            .cycle()
            .skip(first)
            .take(count)
        {
            match timeout(within, open(host)).await {
                Ok(Ok(connection)) => {
                    self.first.store(index, Ordering::Relaxed);
                    return Ok((connection, host));
                }
                Ok(Err(error)) => last = error,
                Err(_) => last = io::Error::from(io::ErrorKind::TimedOut).into(),
            }
            // Stored at once: the caller may give up before the next host has responded.
            self.first.store((index + 1) % count, Ordering::Relaxed);
        }
        Err(last)
    }
}

impl fmt::Debug for Hosts {
    /// Lists the hosts, without passwords.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names = self.hosts.iter().map(PgConnectOptions::get_host);
        f.debug_list().entries(names).finish()
    }
}

/// Opens a session and checks that it accepts writes.
async fn open(host: &PgConnectOptions) -> Result<PgConnection, sqlx::Error> {
    let mut connection = PgConnection::connect_with(host).await?;
    let answer = match connection.fetch_one(TAKES_WRITES_WITH_CHECK).await {
        // The server's platform cannot detect it: a statement whose client has gone ends at its timeout.
        Err(sqlx::Error::Database(_)) => connection.fetch_one(TAKES_WRITES).await?,
        answer => answer?,
    };
    match answer.try_get(0)? {
        true => Ok(connection),
        false => {
            let reason = format!(
                "{}:{} does not accept writes",
                host.get_host(),
                host.get_port()
            );
            Err(io::Error::new(io::ErrorKind::ConnectionRefused, reason).into())
        }
    }
}

/// Parses the URL of one host.
fn parse_one(url: &str) -> Result<PgConnectOptions, sqlx::Error> {
    let options = PgConnectOptions::from_str(url)?;
    // sqlx 0.9.0 resolves an IPv6 address with its brackets as a host name.
    let address = options.get_host().strip_prefix('[');
    let address = address.and_then(|it| it.strip_suffix(']'));
    Ok(match address.map(str::to_owned) {
        Some(address) => options.host(&address),
        None => options,
    })
}

/// Splits a URL with several hosts into one URL per host. Any other URL is returned unchanged.
fn split(url: &str) -> Vec<String> {
    let (scheme, rest) = url.split_once("://").unwrap_or(("postgres", url));
    let (authority, path) = rest.split_at(rest.find(['/', '?', '#']).unwrap_or(rest.len()));
    let (user, hosts) = match authority.rsplit_once('@') {
        Some((user, hosts)) => (format!("{user}@"), hosts),
        None => (String::new(), authority),
    };
    if !hosts.contains(',') {
        return vec![url.to_owned()];
    }
    let hosts = hosts.split(',').map(|host| {
        let after_address = host.rsplit(']').next().unwrap_or(host);
        let port = match after_address.contains(':') {
            true => String::new(),
            false => format!(":{PORT}"),
        };
        format!("{scheme}://{user}{host}{port}{path}")
    });
    hosts.collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hosts_and_ports(url: &str) -> Vec<(String, u16)> {
        let hosts = Hosts::parse(url).unwrap().hosts.into_iter();
        hosts
            .map(|host| (host.get_host().to_owned(), host.get_port()))
            .collect()
    }

    fn host_and_port(host: &str, port: u16) -> (String, u16) {
        (host.to_owned(), port)
    }

    #[test]
    fn url_with_one_host_is_unchanged() {
        for url in [
            "postgres://lmn:p,w@one:5433/lmn?sslmode=disable",
            "postgres:///lmn?host=/run/postgresql&port=5433",
            "postgres://",
        ] {
            assert_eq!(split(url), [url]);
        }
    }

    #[test]
    fn url_with_several_hosts_is_split_into_one_url_per_host() {
        assert_eq!(
            split("postgres://lmn:p%40w@one:5433,two/lmn?sslmode=require"),
            [
                "postgres://lmn:p%40w@one:5433/lmn?sslmode=require",
                "postgres://lmn:p%40w@two:5432/lmn?sslmode=require",
            ]
        );
        assert_eq!(
            split("postgres://one,two"),
            ["postgres://one:5432", "postgres://two:5432"]
        );
    }

    #[test]
    fn password_with_a_comma_does_not_split_a_host() {
        assert_eq!(
            hosts_and_ports("postgres://lmn:a,b@one:1/lmn"),
            [host_and_port("one", 1)]
        );
    }

    #[test]
    fn ipv6_addresses_in_brackets_are_parsed_as_addresses() {
        let url = "postgres://lmn@[::1]:5433,[2001:db8::2],10.0.0.3/lmn";
        assert_eq!(
            hosts_and_ports(url),
            [
                host_and_port("::1", 5433),
                host_and_port("2001:db8::2", 5432),
                host_and_port("10.0.0.3", 5432)
            ]
        );
        assert_eq!(
            hosts_and_ports("postgres://[::1]:7/lmn"),
            [host_and_port("::1", 7)]
        );
    }

    #[test]
    fn empty_host_name_is_refused() {
        assert!(Hosts::parse("postgres://one,,two/lmn").is_err());
        assert!(Hosts::parse("postgres://one,two:port/lmn").is_err());
    }

    #[test]
    fn passwords_are_not_printed() {
        let hosts = Hosts::parse("postgres://lmn:secret@one,two/lmn").unwrap();
        assert_eq!(format!("{hosts:?}"), r#"["one", "two"]"#);
    }
}
