//! The client's address: the peer's, or the one that trusted proxies report.

use std::{
    net::{IpAddr, Ipv6Addr, SocketAddr},
    str::FromStr,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
};

use axum::{extract::Request, http::HeaderMap};
use ipnet::IpNet;

use crate::config::{ClientAddressHeader, Gate};

/// The white space that is trimmed around the parts of a header's value; other white space belongs to the part.
const BLANK: [char; 2] = [' ', '\t'];

/// The other end of a connection; the server adds it to the extensions of every request.
#[derive(Debug, Clone)]
pub(crate) struct Peer {
    address: SocketAddr,
    /// The number of answered requests whose API key was accepted.
    accepted_keys: Arc<AtomicUsize>,
}

impl Peer {
    /// Creates the other end of a new connection.
    pub(crate) fn new(address: SocketAddr) -> Self {
        Self {
            address,
            accepted_keys: Arc::default(),
        }
    }

    /// Returns the remote address.
    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }

    /// Counts a request whose API key was accepted.
    pub(crate) fn note_key(&self) {
        self.accepted_keys.fetch_add(1, Ordering::Relaxed);
    }

    /// Returns the number of these requests.
    pub(crate) fn accepted_keys(&self) -> usize {
        self.accepted_keys.load(Ordering::Relaxed)
    }
}

/// Returns the address of a request's client.
pub(crate) fn of(request: &Request, gate: &Gate) -> IpAddr {
    // Without a peer (there is no socket when a test calls the router directly) the request is local.
    let local = SocketAddr::from(([127, 0, 0, 1], 0));
    let peer = request.extensions().get().map_or(local, Peer::address).ip();
    seen(
        peer,
        &gate.trusted_proxies,
        gate.client_address_header,
        request.headers(),
    )
}

/// Returns the right-most address of the chain in `header` that is not a trusted proxy.
///
/// An element that cannot be parsed ends the search: the client is then the last trusted hop.
pub(crate) fn seen(
    peer: IpAddr,
    trusted: &[IpNet],
    header: ClientAddressHeader,
    headers: &HeaderMap,
) -> IpAddr {
    let is_trusted = |address: IpAddr| trusted.iter().any(|network| network.contains(&address));
    let mut client = peer.to_canonical();
    if !is_trusted(client) {
        return client;
    }
    for hop in hops(header, headers).into_iter().rev() {
        if !is_trusted(client) {
            break;
        }
        match hop {
            Some(address) => client = address,
            None => break,
        }
    }
    client
}

/// Returns the address that each proxy added, in the order of the header's lines; `None` if it cannot be parsed.
fn hops(header: ClientAddressHeader, headers: &HeaderMap) -> Vec<Option<IpAddr>> {
    let (name, parse): (_, fn(&str) -> Option<IpAddr>) = match header {
        ClientAddressHeader::XForwardedFor => ("x-forwarded-for", bare_address),
        ClientAddressHeader::Forwarded => ("forwarded", forwarded_for),
    };
    let lines = headers.get_all(name).iter();
    lines
        .flat_map(|line| {
            // Bytes that are not text invalidate only their own element, not what a proxy appends after it.
            let line = String::from_utf8_lossy(line.as_bytes());
            let elements = line.split(separator(header));
            elements
                .map(|element| parse(element.trim_matches(BLANK)))
                .collect::<Vec<_>>()
        })
        .collect()
}

/// Returns a predicate for the character that ends an element; only `Forwarded` can quote a comma.
fn separator(header: ClientAddressHeader) -> Box<dyn FnMut(char) -> bool> {
    match header {
        ClientAddressHeader::XForwardedFor => Box::new(|it| it == ','),
        ClientAddressHeader::Forwarded => Box::new(unquoted(',')),
    }
}

/// Parses an address with an optional port: `192.0.2.1`, `192.0.2.1:80`, `2001:db8::1`, `[2001:db8::1]:80`.
fn bare_address(text: &str) -> Option<IpAddr> {
    let address = IpAddr::from_str(text).ok();
    let with_port = || SocketAddr::from_str(text).ok().map(|it| it.ip());
    let bracketed = || Ipv6Addr::from_str(text.strip_prefix('[')?.strip_suffix(']')?).ok();
    address
        .or_else(with_port)
        .or_else(|| bracketed().map(IpAddr::V6))
        .map(|it| it.to_canonical())
}

/// Parses the `for=` parameter of one element of `Forwarded` (RFC 7239).
///
/// A proxy may quote text from the request, such as its `Host`. The whole element must therefore be well-formed:
/// quoted text never counts as a parameter, nor does text after a quote that is not closed.
fn forwarded_for(element: &str) -> Option<IpAddr> {
    let pairs = element
        .split(unquoted(';'))
        .map(|pair| pair.trim_matches(BLANK));
    let pairs = pairs.filter(|pair| !pair.is_empty()).map(read_pair);
    let pairs: Vec<_> = pairs.collect::<Option<_>>()?;
    let is_for = |(name, _): &(&str, _)| name.eq_ignore_ascii_case("for");
    let mut values = pairs.into_iter().filter(is_for);
    match (values.next(), values.next()) {
        (Some((_, value)), None) => bare_address(value),
        _ => None,
    }
}

/// Parses `name=value` or `name="value"`; escapes are not decoded, because no address contains one.
fn read_pair(pair: &str) -> Option<(&str, &str)> {
    let (name, value) = pair.split_once('=')?;
    let (name, value) = (
        name.trim_end_matches(BLANK),
        value.trim_start_matches(BLANK),
    );
    let Some(rest) = value.strip_prefix('"') else {
        let is_plain = !value.contains(['"', '\\', ' ', '\t']);
        return is_plain.then_some((name, value));
    };
    let mut is_escaped = false;
    let end = rest.find(|it| {
        let ends = it == '"' && !is_escaped;
        is_escaped = it == '\\' && !is_escaped;
        ends
    })?;
    let (value, after) = rest.split_at_checked(end)?;
    (after == "\"").then_some((name, value))
}

/// Returns a predicate that matches `sought` outside quoted strings.
fn unquoted(sought: char) -> impl FnMut(char) -> bool {
    let (mut is_quoted, mut is_escaped) = (false, false);
    move |it| {
        let ends_or_begins = it == '"' && !is_escaped;
        is_escaped = is_quoted && it == '\\' && !is_escaped;
        is_quoted ^= ends_or_begins;
        it == sought && !is_quoted
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use axum::http::HeaderName;
    use proptest::strategy::Strategy;

    fn client(peer: &str, header: ClientAddressHeader, lines: &[(&str, &str)]) -> String {
        let trusted: Vec<IpNet> = ["10.0.0.0/8", "fd00::/8"]
            .iter()
            .map(|it| it.parse().unwrap())
            .collect();
        let mut headers = HeaderMap::new();
        for (name, value) in lines {
            headers.append(
                HeaderName::from_bytes(name.as_bytes()).unwrap(),
                value.parse().unwrap(),
            );
        }
        seen(peer.parse().unwrap(), &trusted, header, &headers).to_string()
    }

    #[test]
    fn address_from_an_untrusted_proxy_is_ignored() {
        let x = |peer, value| {
            client(
                peer,
                ClientAddressHeader::XForwardedFor,
                &[("x-forwarded-for", value)],
            )
        };
        assert_eq!(x("203.0.113.9", "198.51.100.1"), "203.0.113.9");
        assert_eq!(x("10.0.0.1", "198.51.100.1"), "198.51.100.1");
        assert_eq!(
            x("10.0.0.1", "1.1.1.1, 198.51.100.1, 10.9.9.9"),
            "198.51.100.1"
        );
        assert_eq!(x("::ffff:10.0.0.1", "::ffff:198.51.100.1"), "198.51.100.1");
        assert_eq!(x("fd00::1", "[2001:db8::1]:443"), "2001:db8::1");
        assert_eq!(x("10.0.0.1", "10.0.0.2, 10.0.0.3"), "10.0.0.2");
        // An element that cannot be parsed ends the search at the last trusted hop.
        for garbage in [
            "",
            "unknown",
            "198.51.100.1, _hidden",
            "198.51.100.1,",
            "1.2.3",
            "198.51.100.1 198.51.100.2",
        ] {
            assert_eq!(x("10.0.0.1", garbage), "10.0.0.1", "{garbage}");
        }
    }

    #[test]
    fn header_that_is_not_configured_is_ignored() {
        use ClientAddressHeader::{Forwarded, XForwardedFor};
        let both = [
            ("x-forwarded-for", "198.51.100.1"),
            ("forwarded", r#"for="[2001:db8::7]:1";proto=https"#),
        ];
        assert_eq!(client("10.0.0.1", XForwardedFor, &both), "198.51.100.1");
        assert_eq!(client("10.0.0.1", Forwarded, &both), "2001:db8::7");
        let lines = [
            ("forwarded", "for=1.1.1.1, for=198.51.100.3"),
            ("forwarded", "By=x; FOR=10.1.1.1"),
        ];
        assert_eq!(client("10.0.0.1", Forwarded, &lines), "198.51.100.3");
        for garbage in [
            "for=_x",
            "for=",
            "proto=https",
            "for=1.1.1.1;for=2.2.2.2",
            "for=\"1.1.1.1",
        ] {
            assert_eq!(
                client("10.0.0.1", Forwarded, &[("forwarded", garbage)]),
                "10.0.0.1",
                "{garbage}"
            );
        }
    }

    /// Generates a hop as a proxy may write it, with its address, or `None` if it cannot be parsed.
    fn hop() -> impl Strategy<Value = (String, Option<IpAddr>)> {
        use proptest::prelude::*;
        let inside = any::<[u8; 3]>().prop_map(|[a, b, c]| IpAddr::from([10, a, b, c]));
        let address = prop_oneof![inside, any::<IpAddr>()];
        prop_oneof![
            6 => address.clone().prop_map(|it| (it.to_string(), Some(it))),
            2 => (address, any::<u16>())
                .prop_map(|(it, port)| (SocketAddr::new(it, port).to_string(), Some(it))),
            1 => "unknown|_[a-z]{0,3}|[0-9]{1,4}(\\.[0-9]{1,3}){2}|\\[|:|x".prop_map(|it| (it, None)),
        ]
    }

    proptest::proptest! {
        #[test]
        fn client_is_the_right_most_address_that_is_not_trusted(
            peer in hop().prop_filter_map("a peer has an address", |(_, address)| address),
            hops in proptest::collection::vec(hop(), 0..6),
            lines in 1..4_usize,
            forwarded in proptest::bool::ANY,
        ) {
            // The model, from the right: an address counts while the hop after it is trusted.
            let canonical = peer.to_canonical();
            let trusted = |it: &IpAddr| {
                let it = it.to_canonical();
                matches!(it, IpAddr::V4(v4) if v4.octets()[0] == 10)
                    || matches!(it, IpAddr::V6(v6) if v6.octets()[0] == 0xfd)
            };
            let mut expected = canonical;
            for (_, address) in hops.iter().rev() {
                match address {
                    Some(address) if trusted(&expected) => expected = address.to_canonical(),
                    _ => break,
                }
            }
            let header = if forwarded { ClientAddressHeader::Forwarded } else { ClientAddressHeader::XForwardedFor };
            let name = if forwarded { "forwarded" } else { "x-forwarded-for" };
            let written: Vec<_> = hops
                .iter()
                .map(|(text, _)| if forwarded { format!("proto=http;for=\"{text}\"") } else { text.clone() })
                .collect();
            let written: Vec<_> = written.chunks(lines).map(|line| (name, line.join(", "))).collect();
            let written: Vec<_> = written.iter().map(|(name, line)| (*name, line.as_str())).collect();
            proptest::prop_assert_eq!(client(&peer.to_string(), header, &written), expected.to_string());
        }

        #[test]
        fn header_of_an_untrusted_peer_never_changes_its_address(line in "\\PC{0,80}") {
            use ClientAddressHeader::{Forwarded, XForwardedFor};
            if let Ok(value) = axum::http::HeaderValue::from_bytes(line.as_bytes()) {
                let mut headers = HeaderMap::new();
                headers.append("x-forwarded-for", value.clone());
                headers.append("forwarded", value);
                let (inside, outside) = ([10, 0, 0, 1].into(), [203, 0, 113, 9].into());
                let trusted = ["10.0.0.0/8".parse().unwrap()];
                for header in [XForwardedFor, Forwarded] {
                    seen(inside, &trusted, header, &headers);
                    proptest::prop_assert_eq!(seen(outside, &trusted, header, &headers), outside);
                }
            }
        }
    }
}
