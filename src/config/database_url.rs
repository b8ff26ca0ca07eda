//! The URL of the database, which may name several hosts.

use std::str::FromStr;

use sqlx::postgres::PgConnectOptions;

/// The port of a host without one, in a URL with several hosts.
const PORT: &str = "5432";

/// Parses a URL into the options for each of its hosts: `postgres://user:password@one:5432,two:5433/name`.
///
/// # Errors
///
/// The reason why the URL cannot be used. It contains no part of the URL, which may hold a password.
pub(crate) fn parse(url: &str) -> Result<Vec<PgConnectOptions>, String> {
    let (_, rest) = url.split_once("://").unwrap_or(("", url));
    let (path, query) = rest.split_once('?').unwrap_or((rest, ""));
    let (_, after_authority) = path.split_once('/').unwrap_or((path, ""));
    let mut names = query.split('&').filter_map(|it| it.split('=').next());
    // A bare `/`, `?` or `#` ends the authority early, and what stands before it can look like a host with a port.
    if url.contains('#') || after_authority.contains('@') || names.any(|it| it.contains('@')) {
        return Err(
            "percent-encode the characters `/`, `?`, `#` and `@` of the user name and the password \
             (`%23` is a `#`)"
                .to_owned(),
        );
    }
    split(url).iter().map(|url| parse_one(url)).collect()
}

/// Parses the URL of one host.
fn parse_one(url: &str) -> Result<PgConnectOptions, String> {
    let options = PgConnectOptions::from_str(url).map_err(|error| {
        if let sqlx::Error::Configuration(reason) = &error {
            return format!("is not a valid URL: {reason}");
        }
        format!("is not a valid URL: {error}")
    })?;
    if options.get_host().contains(',') {
        return Err(
            "several hosts stand before the path: postgres://user@one:5432,two:5432/name"
                .to_owned(),
        );
    }
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
    let (authority, path) = rest.split_at(rest.find(['/', '?']).unwrap_or(rest.len()));
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
        let hosts = parse(url).unwrap().into_iter();
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
            assert!(parse(url).is_ok(), "{url}");
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
    fn url_that_cannot_be_used_is_refused_without_repeating_it() {
        for url in [
            "postgres://one,,two/lmn",
            "postgres://one,two:port/lmn",
            "postgres://lmn:secret#1@one/lmn",
            // These would be taken for the host `lmn` with a port.
            "postgres://lmn:12#secret@one/lmn",
            "postgres://lmn:12/secret@one/lmn",
            "postgres://lmn:12?secret@one/lmn",
            "postgres://lmn:secret@one/lmn?sslmode=sometimes",
            "postgres:///lmn?host=one,two",
        ] {
            let reason = parse(url).unwrap_err();
            assert!(!reason.contains("secret"), "{url}: {reason}");
        }
    }
}
