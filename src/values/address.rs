//! IP addresses and networks: their canonical form, the public internet, and what webhooks may reach.

use std::{
    net::{IpAddr, Ipv6Addr},
    sync::LazyLock,
};

use ipnet::{IpNet, Ipv6Net};

/// Networks whose addresses are not those of a single host on the public internet.
const NOT_PUBLIC: [&str; 28] = [
    "0.0.0.0/8",
    "10.0.0.0/8",
    "100.64.0.0/10",
    "127.0.0.0/8",
    "169.254.0.0/16",
    "172.16.0.0/12",
    "192.0.0.0/24",
    "192.0.2.0/24",
    "192.31.196.0/24",
    "192.52.193.0/24",
    "192.88.99.0/24",
    "192.168.0.0/16",
    "192.175.48.0/24",
    "198.18.0.0/15",
    "198.51.100.0/24",
    "203.0.113.0/24",
    "224.0.0.0/4",
    "240.0.0.0/4",
    // Public in form, but inside a cloud they lead to its hosts and services: Azure's 168.63.129.16, Google's private and
    // restricted API addresses, IBM's service networks. Other clouds use addresses that are refused already.
    "168.63.129.16/32",
    "199.36.153.4/30",
    "199.36.153.8/30",
    "161.26.0.0/16",
    "166.8.0.0/14",
    // Within the global unicast range: protocol assignments, documentation and embedded IPv4 addresses.
    "2001::/23",
    "2001:db8::/32",
    "2002::/16",
    "2620:4f:8000::/48",
    "3fff::/20",
];

static REFUSED: LazyLock<Vec<IpNet>> =
    LazyLock::new(|| NOT_PUBLIC.iter().filter_map(|it| it.parse().ok()).collect());

/// The global unicast range, which contains every public IPv6 address.
const GLOBAL_UNICAST: Ipv6Net = Ipv6Net::new_assert(Ipv6Addr::new(0x2000, 0, 0, 0, 0, 0, 0, 0), 3);

/// The ports and networks that webhooks may reach.
#[derive(Debug, Clone)]
pub struct Guard {
    /// The allowed ports.
    pub ports: Vec<u16>,
    /// Networks that may be reached on every port, public or not. Meant for development.
    pub open_networks: Vec<IpNet>,
}

impl Guard {
    /// Returns whether an address is in an open network.
    pub(crate) fn is_open(&self, address: IpAddr) -> bool {
        let address = address.to_canonical();
        self.open_networks.iter().any(|it| it.contains(&address))
    }

    /// Returns whether an address may be reached: it is public, or in an open network.
    pub(crate) fn allows(&self, address: IpAddr) -> bool {
        self.is_open(address) || is_public(address)
    }
}

/// Returns whether an address is that of a single host on the public internet.
fn is_public(address: IpAddr) -> bool {
    // An IPv4-mapped address such as `::ffff:127.0.0.1` counts as the IPv4 address.
    let address = address.to_canonical();
    let is_unicast = match address {
        IpAddr::V4(_) => true,
        IpAddr::V6(address) => GLOBAL_UNICAST.contains(&address),
    };
    is_unicast && !REFUSED.iter().any(|it| it.contains(&address))
}

/// Converts a network of IPv4-mapped IPv6 addresses to its IPv4 network; returns any other network unchanged.
pub(crate) fn canonical(network: IpNet) -> IpNet {
    let IpNet::V6(v6) = network else {
        return network;
    };
    let v4 = v6
        .addr()
        .to_ipv4_mapped()
        .zip(v6.prefix_len().checked_sub(96));
    v4.and_then(|(address, length)| IpNet::new(address.into(), length).ok())
        .unwrap_or(network)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_network_that_is_not_public_parses() {
        assert_eq!(REFUSED.len(), NOT_PUBLIC.len());
    }

    #[test]
    fn addresses_of_a_clouds_own_services_are_not_public() {
        for (address, expected) in [
            ("168.63.129.15", true),
            ("168.63.129.16", false),
            ("168.63.129.17", true),
            ("::ffff:168.63.129.16", false),
            ("169.254.169.254", false),
            ("100.100.100.200", false),
            ("192.0.0.192", false),
            ("fd00:ec2::254", false),
            ("fd20:ce::254", false),
            ("199.36.153.3", true),
            ("199.36.153.4", false),
            ("199.36.153.11", false),
            ("199.36.153.12", true),
            ("161.26.0.10", false),
            ("166.11.255.255", false),
            ("166.12.0.0", true),
        ] {
            assert_eq!(is_public(address.parse().unwrap()), expected, "{address}");
        }
    }

    #[test]
    fn mapped_address_counts_as_its_ipv4_address() {
        let guard = Guard {
            ports: Vec::new(),
            open_networks: vec!["10.0.0.0/8".parse().unwrap()],
        };
        for (address, is_open, is_allowed) in [
            ("::ffff:10.1.2.3", true, true),
            ("::ffff:127.0.0.1", false, false),
            ("::ffff:1.1.1.1", false, true),
        ] {
            let parsed = address.parse().unwrap();
            assert_eq!(guard.is_open(parsed), is_open, "{address}");
            assert_eq!(guard.allows(parsed), is_allowed, "{address}");
        }
    }

    #[test]
    fn mapped_network_becomes_its_ipv4_network_and_others_stay() {
        for (given, expected) in [
            ("::ffff:127.0.0.0/104", "127.0.0.0/8"),
            ("::ffff:192.0.2.7/128", "192.0.2.7/32"),
            ("::ffff:0:0/96", "0.0.0.0/0"),
            // Wider than the range of mapped addresses.
            ("::ffff:0:0/95", "::ffff:0:0/95"),
            ("::/0", "::/0"),
            ("2001:db8::/32", "2001:db8::/32"),
            ("10.0.0.0/8", "10.0.0.0/8"),
        ] {
            let network = canonical(given.parse().unwrap());
            assert_eq!(network, expected.parse().unwrap(), "{given}");
        }
    }
}
