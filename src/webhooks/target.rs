//! The URLs to which webhooks may be sent. Pure.
//!
//! A partner chooses the URL and LMN's servers connect to it, so it must never lead into LMN's own network. The host
//! name is resolved once, every address that it resolves to must be public, and the connection goes to one of the
//! addresses that were checked. A name that resolves to another address a moment later gains nothing.

use std::net::{IpAddr, Ipv4Addr};

use url::{Host, Url};

use crate::values::{address::Guard, environment::Environment};

/// The maximum length of a URL, in characters.
const URL_CHARACTERS_MAX: usize = 2048;

/// A URL in the form that an endpoint requires. [`Target::check`] decides whether it may be reached.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Target {
    /// The URL as its partner wrote it.
    given: String,
    /// The URL in normal form: without dot segments, the host in the form in which it is resolved.
    url: Url,
}

/// The reason why a URL is not a [`Target`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Malformed {
    /// It is not an absolute URL, or it has no host.
    #[error("`url` must be an absolute URL, such as https://example.com/lmn")]
    NotAUrl,
    /// The scheme is neither `https` nor `http`.
    #[error("`url` must begin with https://")]
    Scheme,
    /// It contains a user name or a password.
    #[error("`url` must not contain a user name or password; deliveries are signed")]
    Credentials,
    /// It is longer than `URL_CHARACTERS_MAX`.
    #[error("`url` must have at most {URL_CHARACTERS_MAX} characters")]
    TooLong,
}

impl Target {
    /// Parses a URL. A host in any numeric form becomes an IP address.
    ///
    /// A URL is shown as it was given, so characters that URL parsers remove are refused.
    pub(crate) fn parse(text: &str) -> Result<Self, Malformed> {
        if text != text.trim() || text.contains(char::is_control) {
            return Err(Malformed::NotAUrl);
        }
        if text.chars().count() > URL_CHARACTERS_MAX {
            return Err(Malformed::TooLong);
        }
        let url = Url::parse(text).map_err(|_| Malformed::NotAUrl)?;
        if !matches!(url.scheme(), "https" | "http") {
            return Err(Malformed::Scheme);
        }
        if !url.username().is_empty() || url.password().is_some() {
            return Err(Malformed::Credentials);
        }
        if url.host_str().is_none_or(str::is_empty) {
            return Err(Malformed::NotAUrl);
        }
        if url.as_str().chars().count() > URL_CHARACTERS_MAX {
            return Err(Malformed::TooLong);
        }
        let given = text.to_owned();
        Ok(Self { given, url })
    }

    /// Returns the URL as it was given.
    pub(crate) fn as_str(&self) -> &str {
        &self.given
    }

    /// Returns whether the URL uses TLS.
    pub(crate) fn is_secure(&self) -> bool {
        self.url.scheme() == "https"
    }

    /// Returns the host: a name or an address.
    pub(crate) fn host(&self) -> HostOf<'_> {
        match self.url.host() {
            Some(Host::Domain(name)) => HostOf::Name(name),
            Some(Host::Ipv4(address)) => HostOf::Address(address.into()),
            Some(Host::Ipv6(address)) => HostOf::Address(address.into()),
            // Unreachable, because `parse` requires a host; the unspecified address is not public.
            None => HostOf::Address(Ipv4Addr::UNSPECIFIED.into()),
        }
    }

    /// Returns the port, by default that of the scheme.
    pub(crate) fn port(&self) -> u16 {
        self.url.port_or_known_default().unwrap_or_default()
    }

    /// Returns the value of the `Host` header.
    pub(crate) fn authority(&self) -> String {
        let host = self.url.host_str().unwrap_or_default();
        match self.url.port() {
            Some(port) => format!("{host}:{port}"),
            None => host.to_owned(),
        }
    }

    /// Returns the path and the query. A fragment is not sent.
    pub(crate) fn path_and_query(&self) -> String {
        match self.url.query() {
            Some(query) => format!("{}?{query}", self.url.path()),
            None => self.url.path().to_owned(),
        }
    }

    /// Checks the URL and all addresses of its host, and returns every reason for a refusal.
    pub(crate) fn check(
        &self,
        guard: &Guard,
        environment: Environment,
        addresses: &[IpAddr],
    ) -> Result<(), Vec<Refused>> {
        let may_be_insecure = environment == Environment::Sandbox;
        let all_open = !addresses.is_empty() && addresses.iter().all(|it| guard.is_open(*it));
        let has_port = guard.ports.contains(&self.port())
            || (may_be_insecure && !self.is_secure() && self.port() == 80);
        let all_reachable = addresses.iter().all(|it| guard.allows(*it));
        let refused = [
            (!self.is_secure() && !may_be_insecure, Refused::Insecure),
            (!has_port && !all_open, Refused::Port),
            (
                addresses.is_empty() || !all_reachable,
                Refused::AddressNotPublic,
            ),
        ];
        let refused: Vec<_> = refused.into_iter().filter(|it| it.0).collect();
        match refused.is_empty() {
            true => Ok(()),
            false => Err(refused.into_iter().map(|it| it.1).collect()),
        }
    }
}

/// The host of a target.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum HostOf<'a> {
    /// A name that has to be resolved.
    Name(&'a str),
    /// A literal address.
    Address(IpAddr),
}

/// The reason why a target must not be reached.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Refused {
    /// The URL is `http` outside the sandbox.
    #[error("`url` must begin with https:// outside the sandbox")]
    Insecure,
    /// The port is not allowed.
    #[error("`url` must use port 443 or another port that LMN allows")]
    Port,
    /// The host has no address, or one that is not public.
    #[error("`url` must have a host with public addresses only")]
    AddressNotPublic,
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Spellings of addresses that are not public. The host of a URL is parsed as browsers parse it.
    const FORMS: [&str; 70] = [
        "168.63.129.16",
        "2822734096",
        "0xa83f8110",
        "[::ffff:168.63.129.16]",
        "127.0.0.1",
        "127.1",
        "127.0.1",
        "127.255.255.254",
        "2130706433",
        "017700000001",
        "0177.0.0.1",
        "0177.0.0.01",
        "0x7f000001",
        "0x7f.1",
        "0x7f.0x0.0x0.0x1",
        "0X7F.0.0.1",
        "0x7f.0.1",
        "127.0.0.1.",
        "１２７.0.0.1",
        "127。0。0。1",
        "①②⑦.0.0.1",
        "%31%32%37.0.0.1",
        "0.0.0.0",
        "0",
        "0.1.2.3",
        "10.0.0.1",
        "10.255.255.255",
        "167772161",
        "012.0.0.1",
        "0xa.0.0.1",
        "100.64.0.1",
        "100.127.255.255",
        "169.254.169.254",
        "2852039166",
        "0xa9fea9fe",
        "0251.0376.0251.0376",
        "169.254.43518",
        "172.16.0.1",
        "172.31.255.255",
        "192.0.0.1",
        "192.0.2.1",
        "192.88.99.1",
        "192.168.0.1",
        "0xc0a80001",
        "192.168.1",
        "198.18.0.1",
        "198.19.255.255",
        "198.51.100.1",
        "203.0.113.1",
        "224.0.0.1",
        "239.255.255.255",
        "240.0.0.1",
        "255.255.255.255",
        "4294967295",
        "[::]",
        "[::1]",
        "[0:0:0:0:0:0:0:1]",
        "[::ffff:127.0.0.1]",
        "[::ffff:7f00:1]",
        "[::ffff:10.0.0.1]",
        "[::127.0.0.1]",
        "[64:ff9b::7f00:1]",
        "[64:ff9b:1::a00:1]",
        "[2002:7f00:1::]",
        "[2001::1]",
        "[2001:db8::1]",
        "[fc00::1]",
        "[fd00:ec2::254]",
        "[fe80::1]",
        "[ff02::1]",
    ];

    fn address(form: &str) -> IpAddr {
        let target = Target::parse(&format!("https://{form}/")).expect(form);
        match target.host() {
            HostOf::Address(address) => address,
            HostOf::Name(name) => panic!("{form} is the name {name}"),
        }
    }

    /// A guard without open networks.
    fn closed() -> Guard {
        Guard {
            ports: vec![443, 8443],
            open_networks: Vec::new(),
        }
    }

    #[test]
    fn non_public_address_is_recognized_in_every_spelling() {
        for form in FORMS {
            assert!(!closed().allows(address(form)), "{form}");
        }
        for form in [
            "1.1.1.1",
            "8.8.8.8",
            "172.32.0.1",
            "100.128.0.1",
            "[2606:4700::1111]",
            "[2a00:1450::1]",
        ] {
            assert!(closed().allows(address(form)), "{form}");
        }
    }

    #[test]
    fn target_is_an_absolute_http_url_without_credentials() {
        for (text, expected) in [
            ("https://user@example.com/", Malformed::Credentials),
            ("https://:secret@example.com/", Malformed::Credentials),
            ("https://user:secret@example.com/", Malformed::Credentials),
            ("ftp://example.com/", Malformed::Scheme),
            ("file:///etc/passwd", Malformed::Scheme),
            ("gopher://127.0.0.1:6379/_", Malformed::Scheme),
            ("javascript:alert(1)", Malformed::Scheme),
            ("https://", Malformed::NotAUrl),
            ("https://999.1.1.1/", Malformed::NotAUrl),
            ("https://[::1/", Malformed::NotAUrl),
            ("https://exa mple.com/", Malformed::NotAUrl),
            ("https://example.com:99999/", Malformed::NotAUrl),
            ("example.com", Malformed::NotAUrl),
            ("//example.com", Malformed::NotAUrl),
            ("", Malformed::NotAUrl),
            (" https://example.com/", Malformed::NotAUrl),
            ("https://example.com/\n", Malformed::NotAUrl),
            ("https://example.com/a\tb", Malformed::NotAUrl),
            ("https://example.com/a\0b", Malformed::NotAUrl),
        ] {
            assert_eq!(Target::parse(text), Err(expected), "{text}");
        }
        let long = format!("https://example.com/{}", "x".repeat(2_050));
        assert_eq!(Target::parse(&long), Err(Malformed::TooLong));
        let given = "https://BÜCHER.example:8443/x/../a?b=c#d";
        let target = Target::parse(given).unwrap();
        assert_eq!(target.as_str(), given);
        let resolved = "xn--bcher-kva.example";
        assert_eq!(target.host(), HostOf::Name(resolved));
        assert_eq!(target.authority(), format!("{resolved}:8443"));
        assert_eq!(target.path_and_query(), "/a?b=c");
    }

    #[test]
    fn every_address_and_the_port_are_checked() {
        let closed = closed();
        let open = Guard {
            open_networks: vec!["127.0.0.0/8".parse().unwrap()],
            ..closed.clone()
        };
        let check = |guard: &Guard, url: &str, environment, addresses: &str| {
            let target = Target::parse(url).unwrap();
            let addresses = addresses.split_whitespace().map(|it| it.parse().unwrap());
            let addresses: Vec<IpAddr> = addresses.collect();
            let refused = target.check(guard, environment, &addresses).err();
            format!("{:?}", refused.unwrap_or_default())
        };
        let (public, local, mapped) = ("1.1.1.1", "127.0.0.1", "::ffff:127.0.0.1");
        let private = format!("{public} {local}");
        for (url, addresses, refused) in [
            ("https://a.example/", public, "[]"),
            ("https://a.example:8443/", public, "[]"),
            ("https://a.example:8080/", public, "[Port]"),
            ("http://a.example/", public, "[Insecure, Port]"),
            ("https://a.example/", "", "[AddressNotPublic]"),
            ("https://a.example/", &private, "[AddressNotPublic]"),
            ("https://a.example/", mapped, "[AddressNotPublic]"),
        ] {
            let checked = check(&closed, url, Environment::Production, addresses);
            assert_eq!(checked, refused, "{url} {addresses}");
        }
        let both = format!("{local} {mapped}");
        for (guard, url, addresses, refused) in [
            (&closed, "http://a.example/", public, "[]"),
            (&closed, "https://a.example:80/", public, "[Port]"),
            (
                &closed,
                "http://a.example:22/",
                local,
                "[Port, AddressNotPublic]",
            ),
            (&open, "http://a.example:9999/", &both, "[]"),
            (&open, "http://a.example:9999/", &private, "[Port]"),
        ] {
            let checked = check(guard, url, Environment::Sandbox, addresses);
            assert_eq!(checked, refused, "{url} {addresses}");
        }
    }
}
