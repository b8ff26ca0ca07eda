//! The throttle of unknown keys: how often one client address may try keys that this replica does not know.
//!
//! Tries are counted before the look-up and under the address, so guessing costs the database little and no partner's
//! quota anything. A key that was found once is not counted again.

use std::net::{IpAddr, Ipv6Addr};

use chrono::{DateTime, Utc};

use super::rate_limit::{
    Local,
    model::{Policy, Throttled},
};
use crate::{settings::Gate, stamp::Stamp};

/// The policy's name in details.
const NAME: &str = "unknown_key";
/// The half of an IPv6 address that names a network; its holder chooses the other one freely.
const NETWORK_OF_V6: u128 = u128::MAX << 64;

/// The tries of all client addresses.
#[derive(Debug, Clone)]
pub(crate) struct UnknownKeyThrottle {
    policy: Policy,
    origins: Local<IpAddr>,
}

impl UnknownKeyThrottle {
    /// Begins without any tries.
    pub(crate) fn new(settings: &Gate) -> Self {
        Self {
            policy: settings.guess,
            origins: Local::new(settings.guess_addresses_max),
        }
    }

    /// Counts a try, or returns when the next one may be made.
    pub(crate) fn admit(&self, client: IpAddr, now: DateTime<Utc>) -> Result<(), Throttled> {
        let (standing, verdict) = self.origins.admit(origin(client), NAME, self.policy);
        verdict.map_err(|wait| Throttled::new(&standing, wait, Stamp::kst(now)))
    }
}

/// Returns what a client cannot change at will: an IPv4 address, or the /64 of an IPv6 address.
fn origin(client: IpAddr) -> IpAddr {
    match client.to_canonical() {
        IpAddr::V6(address) => Ipv6Addr::from_bits(address.to_bits() & NETWORK_OF_V6).into(),
        address @ IpAddr::V4(_) => address,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_of_one_ipv6_network_count_as_one() {
        for (client, expected) in [
            ("203.0.113.7", "203.0.113.7"),
            ("::ffff:203.0.113.7", "203.0.113.7"),
            ("2001:db8:1:2:3:4:5:6", "2001:db8:1:2::"),
            ("2001:db8:1:2:ffff:ffff:ffff:ffff", "2001:db8:1:2::"),
            ("2001:db8:1:3::", "2001:db8:1:3::"),
            ("::1", "::"),
        ] {
            let client: IpAddr = client.parse().unwrap();
            assert_eq!(origin(client).to_string(), expected, "{client}");
        }
    }
}
