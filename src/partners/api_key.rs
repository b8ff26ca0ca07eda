//! API keys and the access that a key grants. Pure, except for the randomness of a new key.

use std::net::IpAddr;

use chrono::{DateTime, TimeDelta, Utc};
use ipnet::IpNet;
use secrecy::{ExposeSecret, SecretString};

use super::model::Refusal;
use crate::values::{
    address::canonical,
    environment::Environment,
    id::{KeyId, PartnerId},
    rate_limit::Policy,
    secret::{self, SecretDigest},
};

/// The length of the public prefix that identifies a key in logs and on the command line, in characters.
const PREFIX_CHARACTERS: usize = 12;

/// The SHA-256 of a key, which is stored in place of the key.
pub(crate) type KeyDigest = SecretDigest;

/// A newly generated key. It is shown once and stored nowhere.
#[derive(Debug)]
pub(crate) struct NewKey(SecretString);

impl NewKey {
    /// Generates a random key of an environment.
    pub(crate) fn random(environment: Environment) -> Self {
        Self(secret::random(environment.key_prefix()))
    }

    /// Returns the key that the partner sends in `x-api-key`.
    pub(crate) fn secret(&self) -> &SecretString {
        &self.0
    }

    /// Returns the public prefix.
    pub(crate) fn prefix(&self) -> String {
        self.0
            .expose_secret()
            .chars()
            .take(PREFIX_CHARACTERS)
            .collect()
    }

    /// Returns the digest to store.
    pub(crate) fn digest(&self) -> KeyDigest {
        secret::digest(self.0.expose_secret())
    }
}

/// The reason why a key grants no access.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum KeyError {
    /// No partner has this key, or it is not a key.
    Unknown,
    /// The key was revoked.
    Revoked,
    /// The key has expired.
    Expired,
    /// The key belongs to the other environment.
    WrongEnvironment,
}

impl KeyError {
    /// Returns the value of `details.reason`.
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::Unknown => "unknown",
            Self::Revoked => "revoked",
            Self::Expired => "expired",
            Self::WrongEnvironment => "wrong_environment",
        }
    }
}

/// Parses a key as it was sent and returns its digest. A text that is no key of this environment needs no lookup.
pub(crate) fn read_key(text: &str, environment: Environment) -> Result<KeyDigest, KeyError> {
    let form_of = |environment: Environment| secret::has_form(text, environment.key_prefix());
    if form_of(environment) {
        Ok(secret::digest(text))
    } else if form_of(environment.other()) {
        Err(KeyError::WrongEnvironment)
    } else {
        Err(KeyError::Unknown)
    }
}

/// The access that an API key grants: its partner, the allowed networks and the rate limits.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Grant {
    /// The key.
    pub key: KeyId,
    /// The key's public prefix.
    pub prefix: String,
    /// The partner it belongs to.
    pub partner: PartnerId,
    /// The offset of the partner's clock from real time, in a sandbox.
    pub clock_offset: TimeDelta,
    /// The time at which the key expires.
    pub expires_at: Option<DateTime<Utc>>,
    /// The time at which the key was revoked.
    pub revoked_at: Option<DateTime<Utc>>,
    /// The networks that it may be used from.
    pub networks: Vec<IpNet>,
    /// The partner's own rate limit for reads.
    pub read: Option<Policy>,
    /// The partner's own rate limit for writes.
    pub write: Option<Policy>,
}

impl Grant {
    /// Returns an error if the key is revoked or expired at `now`.
    pub(crate) fn check(&self, now: DateTime<Utc>) -> Result<(), KeyError> {
        in_force(self.revoked_at, self.expires_at, now)
    }

    /// Returns whether a request may come from `address`.
    ///
    /// An empty list admits no address in production and every address in the sandbox.
    pub(crate) fn admits(&self, address: IpAddr, environment: Environment) -> bool {
        let address = address.to_canonical();
        let mut networks = self.networks.iter();
        let listed = networks.any(|network| canonical(*network).contains(&address));
        listed || (self.networks.is_empty() && environment == Environment::Sandbox)
    }
}

/// Returns an error if a key or a token is revoked or expired at `now`.
pub(crate) fn in_force(
    revoked_at: Option<DateTime<Utc>>,
    expires_at: Option<DateTime<Utc>>,
    now: DateTime<Utc>,
) -> Result<(), KeyError> {
    if revoked_at.is_some() {
        Err(KeyError::Revoked)
    } else if expires_at.is_some_and(|end| end <= now) {
        Err(KeyError::Expired)
    } else {
        Ok(())
    }
}

/// An issued key without its secret.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Key {
    /// The public prefix.
    pub prefix: String,
    /// The partner it belongs to.
    pub partner: PartnerId,
    /// The time at which it was issued.
    pub created_at: DateTime<Utc>,
    /// The time at which it expires.
    pub expires_at: Option<DateTime<Utc>>,
    /// The time at which it was revoked.
    pub revoked_at: Option<DateTime<Utc>>,
    /// The time of its last use that has been written so far.
    pub last_used_at: Option<DateTime<Utc>>,
}

impl Key {
    /// Returns its state: `active`, `expired` or `revoked`.
    pub(crate) fn state(&self, now: DateTime<Utc>) -> &'static str {
        match in_force(self.revoked_at, self.expires_at, now) {
            Ok(()) => "active",
            Err(fault) => fault.as_str(),
        }
    }

    /// Returns the time at which it expires after a rotation. A revoked or expired key cannot be rotated.
    pub(crate) fn rotated(
        &self,
        now: DateTime<Utc>,
        overlap: TimeDelta,
    ) -> Result<DateTime<Utc>, Refusal> {
        if in_force(self.revoked_at, self.expires_at, now).is_err() {
            let (prefix, state) = (self.prefix.clone(), self.state(now));
            return Err(Refusal::KeyNotActive { prefix, state });
        }
        let end = now + overlap;
        Ok(self.expires_at.map_or(end, |existing| existing.min(end)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const KEY: &str = "lmn_stg_AAAAAAAAAAAAAAAAAAAAAAAAAA-_";

    fn grant(networks: &[&str]) -> Grant {
        Grant {
            key: KeyId::new(DateTime::UNIX_EPOCH),
            prefix: "lmn_stg_AAAA".into(),
            partner: PartnerId::new(DateTime::UNIX_EPOCH),
            clock_offset: TimeDelta::zero(),
            expires_at: None,
            revoked_at: None,
            networks: networks.iter().map(|it| it.parse().unwrap()).collect(),
            read: None,
            write: None,
        }
    }

    #[test]
    fn new_key_is_accepted_in_its_environment_only() {
        let key = NewKey::random(Environment::Sandbox);
        let text = key.secret().expose_secret();
        assert_eq!(text.len(), 36);
        assert_eq!(read_key(text, Environment::Sandbox), Ok(key.digest()));
        assert_eq!(
            read_key(text, Environment::Production),
            Err(KeyError::WrongEnvironment)
        );
        assert!(text.starts_with(&key.prefix()) && key.prefix().len() == 12);
        assert!(!format!("{key:?}").contains(text));
    }

    #[test]
    fn malformed_key_is_unknown() {
        assert!(read_key(KEY, Environment::Sandbox).is_ok());
        for text in [
            "",
            "lmn_stg_",
            "lmn_xyz_AAAAAAAAAAAAAAAAAAAAAAAAAAAA",
            &KEY[..35],
            &format!("{KEY}A"),
            &KEY.replace('-', "+"),
        ] {
            assert_eq!(
                read_key(text, Environment::Sandbox),
                Err(KeyError::Unknown),
                "{text}"
            );
        }
    }

    #[test]
    fn key_is_refused_from_its_expiry_or_revocation() {
        let now = DateTime::from_timestamp_millis(1_000_000).unwrap();
        let second = chrono::TimeDelta::seconds(1);
        assert_eq!(grant(&[]).check(now), Ok(()));
        assert_eq!(
            Grant {
                expires_at: Some(now),
                ..grant(&[])
            }
            .check(now),
            Err(KeyError::Expired)
        );
        assert_eq!(
            Grant {
                expires_at: Some(now + second),
                ..grant(&[])
            }
            .check(now),
            Ok(())
        );
        assert_eq!(
            Grant {
                revoked_at: Some(now + second),
                ..grant(&[])
            }
            .check(now),
            Err(KeyError::Revoked)
        );
    }

    #[test]
    fn networks_match_addresses_of_their_family_only() {
        let table = [
            ("203.0.113.0/24", "203.0.113.255", true),
            ("203.0.113.0/24", "203.0.114.0", false),
            ("203.0.113.7/32", "::ffff:203.0.113.7", true),
            ("::ffff:203.0.113.0/120", "203.0.113.9", true),
            ("2001:db8::/32", "2001:db8:ffff::1", true),
            ("2001:db8::/32", "2001:db9::1", false),
            ("0.0.0.0/0", "2001:db8::1", false),
            ("::/0", "203.0.113.7", false),
        ];
        for (network, address, admitted) in table {
            let grant = grant(&[network]);
            let address = address.parse().unwrap();
            assert_eq!(
                grant.admits(address, Environment::Production),
                admitted,
                "{network} {address}"
            );
            assert_eq!(
                grant.admits(address, Environment::Sandbox),
                admitted,
                "{network} {address}"
            );
        }
        let anywhere = "203.0.113.7".parse().unwrap();
        assert!(!grant(&[]).admits(anywhere, Environment::Production));
        assert!(grant(&[]).admits(anywhere, Environment::Sandbox));
    }

    #[test]
    fn rotated_key_expires_with_the_overlap_unless_it_expires_before() {
        let now = DateTime::from_timestamp_millis(1_000_000).unwrap();
        let hour = TimeDelta::hours(1);
        let key = |expires_at, revoked_at| Key {
            prefix: "lmn_stg_AAAA".into(),
            partner: PartnerId::new(now),
            created_at: now - hour,
            expires_at,
            revoked_at,
            last_used_at: None,
        };
        let rotated = |key: Key| key.rotated(now, hour).ok();
        assert_eq!(rotated(key(None, None)), Some(now + hour));
        assert_eq!(rotated(key(Some(now + hour * 2), None)), Some(now + hour));
        assert_eq!(
            rotated(key(Some(now + hour / 2), None)),
            Some(now + hour / 2)
        );
        assert_eq!(rotated(key(Some(now), None)), None);
        assert_eq!(rotated(key(None, Some(now))), None);
        assert_eq!(key(Some(now), None).state(now), "expired");
        assert_eq!(key(Some(now), Some(now)).state(now), "revoked");
        assert_eq!(key(None, None).state(now), "active");
    }

    /// Returns whether an address is IPv4, and its bits. A mapped address counts as IPv4.
    fn bits(address: std::net::IpAddr) -> (bool, u128) {
        match address {
            std::net::IpAddr::V4(v4) => (true, u128::from(v4.to_bits()) << 96),
            std::net::IpAddr::V6(v6) => match v6.to_ipv4_mapped() {
                Some(v4) => bits(v4.into()),
                None => (false, v6.to_bits()),
            },
        }
    }

    /// Generates IPv4, IPv6 and IPv4-mapped addresses.
    fn addresses() -> impl proptest::strategy::Strategy<Value = std::net::IpAddr> {
        use proptest::prelude::*;
        let mapped = any::<std::net::Ipv4Addr>().prop_map(|it| it.to_ipv6_mapped().into());
        prop_oneof![3 => any::<std::net::IpAddr>(), 1 => mapped]
    }

    proptest::proptest! {
        #[test]
        fn network_admits_addresses_with_its_first_bits(
            network in addresses(),
            length in 0_u8..=128,
            stranger in proptest::prelude::any::<std::net::IpAddr>(),
            flipped in 0_u32..128,
            mapped in proptest::prelude::any::<bool>(),
        ) {
            use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
            // `neighbor` differs from the network's address in one bit; `stranger` is unrelated.
            let neighbor = match network {
                IpAddr::V4(v4) => {
                    let v4 = Ipv4Addr::from_bits(v4.to_bits() ^ (1 << (flipped % 32)));
                    if mapped { v4.to_ipv6_mapped().into() } else { IpAddr::from(v4) }
                }
                IpAddr::V6(v6) => Ipv6Addr::from_bits(v6.to_bits() ^ (1 << flipped)).into(),
            };
            let mapped_network = network.is_ipv6() && bits(network).0;
            let length = match network {
                IpAddr::V4(_) => length % 33,
                // A network of mapped addresses has at least 96 bits.
                IpAddr::V6(_) if mapped_network => 96 + length % 33,
                IpAddr::V6(_) => length,
            };
            let grant = grant(&[&format!("{network}/{length}")]);
            for address in [network, neighbor, stranger] {
                let ((family, base), (other, bits)) = (bits(network), bits(address));
                let differing = (base ^ bits).leading_zeros();
                let length = u32::from(length) - if mapped_network { 96 } else { 0 };
                let admitted = family == other && differing >= length;
                proptest::prop_assert_eq!(
                    grant.admits(address, Environment::Production), admitted, "{}/{} {}", network, length, address
                );
            }
        }
    }
}
