//! The throttle of unknown keys: limits how often one client address may try API keys that this replica does not know.
//!
//! A try is counted before the look-up and by address, so that guessing costs few queries and uses up no partner's
//! quota. A key that was found once is not counted again.

use std::net::{IpAddr, Ipv6Addr};

use chrono::{DateTime, Utc};

use super::rate_limit::{
    Local,
    model::{Policy, Throttled},
};
use crate::{config::Limits, values::timestamp::Timestamp};

/// The name of the policy in error details.
const NAME: &str = "unknown_key";
/// The network prefix of an IPv6 address; a client can choose the other half freely.
const NETWORK_OF_V6: u128 = u128::MAX << 64;

/// The throttle, with the tries of all client addresses.
#[derive(Debug, Clone)]
pub(crate) struct UnknownKeyThrottle {
    policy: Policy,
    origins: Local<IpAddr>,
}

impl UnknownKeyThrottle {
    /// Creates the throttle without any tries.
    pub(crate) fn new(settings: &Limits) -> Self {
        Self {
            policy: settings.unknown_key,
            origins: Local::new(settings.unknown_key_addresses_max),
        }
    }

    /// Counts a try; returns an error with the time of the next one if there were too many.
    pub(crate) fn admit(&self, client: IpAddr, now: DateTime<Utc>) -> Result<(), Throttled> {
        let (standing, verdict) = self.origins.admit(origin(client), NAME, self.policy);
        verdict.map_err(|wait| Throttled::new(&standing, wait, Timestamp::kst(now)))
    }
}

/// Returns the part of an address that a client cannot choose: an IPv4 address, or the /64 of an IPv6 address.
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
    fn addresses_of_one_ipv6_network_share_one_origin() {
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
