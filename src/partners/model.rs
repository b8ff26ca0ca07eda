//! Partners, their API keys and the access that a key grants. Pure, except for the randomness of a new key.

use std::net::IpAddr;

use chrono::{DateTime, TimeDelta, Utc};
use ipnet::IpNet;
use secrecy::{ExposeSecret, SecretString};

use crate::values::{
    address::canonical,
    environment::Environment,
    id::{KeyId, PartnerId},
    rate_limit::{Kind, Policy},
    secret::{self, SecretDigest},
};

/// The length of the public prefix that identifies a key in logs and on the command line, in characters.
const PREFIX_CHARACTERS: usize = 12;

/// The maximum number of networks on a partner's allowlist.
pub(crate) const NETWORKS_MAX: usize = 16;
/// The maximum length of a partner's name and of its contact, in characters.
const NAME_CHARACTERS_MAX: usize = 128;

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

/// A partner.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Partner {
    /// The id.
    pub id: PartnerId,
    /// The name, which is unique.
    pub name: String,
    /// Its contact for reminders.
    pub contact: Option<String>,
    /// Its own rate limit for reads.
    pub read: Option<Policy>,
    /// Its own rate limit for writes.
    pub write: Option<Policy>,
    /// The time at which it was added.
    pub created_at: DateTime<Utc>,
}

impl Partner {
    /// Returns its own rate limit for one kind of request; `None` means the deployment's limit.
    pub(crate) fn limit(&self, kind: Kind) -> Option<Policy> {
        match kind {
            Kind::Read => self.read,
            Kind::Write => self.write,
        }
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

/// The reason why a change by the operator is refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Refusal {
    /// The name is not valid.
    #[error(
        "a partner's name must have 1 to {NAME_CHARACTERS_MAX} characters, no leading or trailing space, \
         no control characters, and not the form of an id"
    )]
    NameForm,
    /// The contact is not valid.
    #[error("a contact must have 1 to {NAME_CHARACTERS_MAX} characters and no control characters")]
    ContactForm,
    /// Another partner has the name.
    #[error("there is a partner called `{0}` already")]
    NameTaken(String),
    /// There is no such key.
    #[error("no key has the prefix `{0}`")]
    KeyUnknown(String),
    /// The key is already revoked.
    #[error("the key `{0}` is revoked already")]
    KeyRevoked(String),
    /// The key is revoked or expired and cannot be rotated.
    #[error("the key `{prefix}` is {state} and cannot be rotated; issue a new one")]
    KeyNotActive {
        /// The prefix of the key.
        prefix: String,
        /// The state of the key.
        state: &'static str,
    },
    /// The key was rotated before, and both keys work until the overlap ends.
    #[error(
        "the key `{prefix}` was rotated already, to `{new_prefix}`; rotate that one, or issue a new one"
    )]
    KeyRotated {
        /// The prefix of the key.
        prefix: String,
        /// The prefix of the key that replaces it.
        new_prefix: String,
    },
    /// Another key has the same prefix by chance.
    #[error("the new key would have another key's prefix; run the command again")]
    PrefixTaken,
    /// The text is neither an address nor a network.
    #[error("`{0}` is neither an address nor a network such as 203.0.113.0/24 or 2001:db8::/32")]
    NetworkForm(String),
    /// The network has host bits set.
    #[error(
        "`{given}` is an address inside a network; the network is {network}, the address alone is {address}"
    )]
    NetworkHostBits {
        /// The text that was given.
        given: String,
        /// The network without the host bits.
        network: IpNet,
        /// The address without the prefix length.
        address: IpAddr,
    },
    /// The network is already on the allowlist.
    #[error("{0} is on the allowlist already")]
    NetworkListed(IpNet),
    /// The network is not on the allowlist.
    #[error("{0} is not on the allowlist")]
    NetworkNotListed(IpNet),
    /// The allowlist is full.
    #[error(
        "the allowlist is full: it has {NETWORKS_MAX} entries, the maximum number for one partner"
    )]
    NetworksFull,
}

/// Checks a partner's name. A name must not have the form of an id, because commands accept either.
pub(crate) fn check_name(name: &str) -> Result<(), Refusal> {
    let fits = (1..=NAME_CHARACTERS_MAX).contains(&name.chars().count())
        && name.trim() == name
        && !name.chars().any(char::is_control)
        && PartnerId::parse(&name.to_ascii_uppercase()).is_none();
    fits.then_some(()).ok_or(Refusal::NameForm)
}

/// Checks a partner's contact.
pub(crate) fn check_contact(contact: &str) -> Result<(), Refusal> {
    let fits = (1..=NAME_CHARACTERS_MAX).contains(&contact.chars().count())
        && !contact.chars().any(char::is_control);
    fits.then_some(()).ok_or(Refusal::ContactForm)
}

/// Parses an address or a network in CIDR notation and returns its canonical form.
pub(crate) fn read_network(text: &str) -> Result<IpNet, Refusal> {
    let network = match text.parse::<IpAddr>() {
        Ok(address) => IpNet::from(address),
        Err(_) => text
            .parse::<IpNet>()
            .map_err(|_| Refusal::NetworkForm(text.chars().take(64).collect()))?,
    };
    let canonical = canonical(network);
    if canonical.addr() != canonical.network() {
        return Err(Refusal::NetworkHostBits {
            given: text.to_owned(),
            network: canonical.trunc(),
            address: canonical.addr(),
        });
    }
    Ok(canonical)
}

/// Checks whether a network can be added: it must not be listed yet, and the list must not be full.
pub(crate) fn check_allowed(networks: &[IpNet], network: IpNet) -> Result<(), Refusal> {
    if networks.contains(&network) {
        Err(Refusal::NetworkListed(network))
    } else if networks.len() >= NETWORKS_MAX {
        Err(Refusal::NetworksFull)
    } else {
        Ok(())
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
    fn network_is_parsed_into_its_canonical_form() {
        for (text, network) in [
            ("203.0.113.7", "203.0.113.7/32"),
            ("203.0.113.0/24", "203.0.113.0/24"),
            ("0.0.0.0/0", "0.0.0.0/0"),
            ("2001:db8::1", "2001:db8::1/128"),
            ("2001:DB8:0::/32", "2001:db8::/32"),
            ("::ffff:203.0.113.7", "203.0.113.7/32"),
            ("::ffff:203.0.113.0/120", "203.0.113.0/24"),
        ] {
            let network: IpNet = network.parse().unwrap();
            assert_eq!(read_network(text), Ok(network), "{text}");
        }
        for text in [
            "",
            "203.0.113",
            "203.0.113.0/33",
            "203.0.113.007",
            " 203.0.113.7",
            "203.0.113.0/255.255.255.0",
            "fe80::1%eth0",
            "example.com",
            "::/129",
        ] {
            let refused = read_network(text);
            assert_eq!(refused, Err(Refusal::NetworkForm(text.to_owned())));
        }
    }

    #[test]
    fn network_with_host_bits_is_refused_with_suggestions() {
        for (text, network, address) in [
            ("203.0.113.7/24", "203.0.113.0/24", "203.0.113.7"),
            ("2001:db8::1/64", "2001:db8::/64", "2001:db8::1"),
            ("::ffff:203.0.113.7/120", "203.0.113.0/24", "203.0.113.7"),
        ] {
            let message = read_network(text).unwrap_err().to_string();
            for part in [text, network, address] {
                assert!(message.contains(part), "{message}");
            }
        }
    }

    #[test]
    fn seventeenth_network_is_refused() {
        let network = |n: u8| IpNet::from(IpAddr::from([203, 0, 113, n]));
        let mut networks = Vec::new();
        for n in 0..16 {
            assert_eq!(check_allowed(&networks, network(n)), Ok(()));
            networks.push(network(n));
        }
        assert_eq!(
            check_allowed(&networks, network(16)),
            Err(Refusal::NetworksFull)
        );
        let listed = Err(Refusal::NetworkListed(network(3)));
        assert_eq!(check_allowed(&networks, network(3)), listed);
    }

    #[test]
    fn name_with_the_form_of_an_id_is_refused() {
        for name in ["Acme", "Acme Motors (Lagos)", "아크메", &"x".repeat(128)] {
            assert_eq!(check_name(name), Ok(()), "{name}");
        }
        let id = PartnerId::new(DateTime::UNIX_EPOCH).to_string();
        for name in [
            "",
            " Acme",
            "Acme ",
            "a\nb",
            "a\0b",
            &id,
            &id.to_lowercase(),
            &"x".repeat(129),
        ] {
            assert_eq!(check_name(name), Err(Refusal::NameForm), "{name}");
        }
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
        fn parsed_network_parses_again_from_its_text(text in "[0-9a-f:.]{0,20}(/[0-9]{1,3})?") {
            if let Ok(network) = read_network(&text) {
                proptest::prop_assert_eq!(read_network(&network.to_string()), Ok(network));
            }
        }

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
