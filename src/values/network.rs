//! IP networks in canonical form, so that addresses can be compared with them.

use ipnet::IpNet;

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
