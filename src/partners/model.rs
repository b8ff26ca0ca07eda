//! Partners, their names, contacts and allowlists. Pure.

use std::net::IpAddr;

use chrono::{DateTime, Utc};
use ipnet::IpNet;

use crate::values::{
    address::canonical,
    id::PartnerId,
    rate_limit::{Kind, Policy},
};

/// The maximum number of networks on a partner's allowlist.
pub(crate) const NETWORKS_MAX: usize = 16;
/// The maximum length of a partner's name and of its contact, in characters.
const NAME_CHARACTERS_MAX: usize = 128;

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

    proptest::proptest! {
        #[test]
        fn parsed_network_parses_again_from_its_text(text in "[0-9a-f:.]{0,20}(/[0-9]{1,3})?") {
            if let Ok(network) = read_network(&text) {
                proptest::prop_assert_eq!(read_network(&network.to_string()), Ok(network));
            }
        }
    }
}
