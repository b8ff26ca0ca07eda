//! The open connections of each client address: no address can use up the places of a listener.

use std::{
    collections::HashMap,
    net::IpAddr,
    sync::{Arc, Mutex, PoisonError},
};

use ipnet::IpNet;

use crate::{config, middleware::unknown_key::origin};

/// The number of connections that an address may have in any case, as many as a browser opens, and some more.
const CONNECTIONS_MIN: usize = 8;

/// The open connections of a listener by client address. The addresses of trusted proxies are not limited, because many
/// clients share them.
#[derive(Debug)]
pub(super) struct Addresses {
    connections_max: usize,
    trusted_proxies: Vec<IpNet>,
    open: Mutex<HashMap<IpAddr, usize>>,
}

impl Addresses {
    /// Creates the limit of a listener with these settings.
    pub(super) fn new(settings: &config::Server, trusted_proxies: &[IpNet]) -> Self {
        let share = settings.connections_max * settings.connections_per_address_percent / 100;
        Self {
            connections_max: share.max(CONNECTIONS_MIN).min(settings.connections_max),
            trusted_proxies: trusted_proxies.to_vec(),
            open: Mutex::default(),
        }
    }

    /// Returns whether an address is that of a trusted proxy.
    pub(super) fn is_trusted(&self, peer: IpAddr) -> bool {
        let peer = peer.to_canonical();
        self.trusted_proxies.iter().any(|it| it.contains(&peer))
    }

    /// Counts a connection of an address until the result is dropped; returns `None` if it has too many.
    pub(super) fn admit(self: &Arc<Self>, peer: IpAddr) -> Option<Place> {
        if self.is_trusted(peer) {
            return Some(Place(None));
        }
        let address = origin(peer);
        let mut open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
        let connections = open.entry(address).or_default();
        if *connections >= self.connections_max {
            return None;
        }
        *connections += 1;
        drop(open);
        Some(Place(Some((self.clone(), address))))
    }

    fn leave(&self, address: IpAddr) {
        let mut open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(connections) = open.get_mut(&address) {
            *connections -= 1;
            if *connections == 0 {
                open.remove(&address);
            }
        }
    }
}

/// A connection that counts toward the limit of its address, unless the address is not limited.
#[derive(Debug)]
pub(super) struct Place(Option<(Arc<Addresses>, IpAddr)>);

impl Drop for Place {
    fn drop(&mut self) {
        if let Some((addresses, address)) = &self.0 {
            addresses.leave(*address);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn addresses(connections_max: usize, percent: usize) -> Arc<Addresses> {
        let variables = [
            ("DATABASE_URL", "postgres://localhost/lmn".to_owned()),
            ("LMN_SERVER__CONNECTIONS_MAX", connections_max.to_string()),
            (
                "LMN_SERVER__CONNECTIONS_PER_ADDRESS_PERCENT",
                percent.to_string(),
            ),
        ];
        let variables = variables.map(|(name, value)| (name.to_owned(), value));
        let settings = config::Settings::read(None, &variables).unwrap();
        let trusted = ["10.0.0.0/8".parse().unwrap()];
        Arc::new(Addresses::new(&settings.server, &trusted))
    }

    #[test]
    fn address_has_a_share_of_the_connections() {
        for (connections_max, percent, share) in [
            (4096, 25, 1024),
            (64, 25, 16),
            (64, 100, 64),
            (64, 1, 8),
            (2, 25, 2),
        ] {
            let addresses = addresses(connections_max, percent);
            assert_eq!(addresses.connections_max, share, "{connections_max}");
        }
    }

    #[test]
    fn address_beyond_its_share_is_refused_until_a_connection_ends() {
        let addresses = addresses(8, 25);
        let [one, other, proxy] = ["192.0.2.1", "192.0.2.2", "::ffff:10.1.2.3"];
        let mut places: Vec<_> = (0..8)
            .map(|_| addresses.admit(one.parse().unwrap()).unwrap())
            .collect();
        assert!(addresses.admit(one.parse().unwrap()).is_none());
        assert!(addresses.admit(other.parse().unwrap()).is_some());
        places.pop();
        places.extend(addresses.admit(one.parse().unwrap()));
        assert_eq!(places.len(), 8);
        drop(places);
        assert!(addresses.open.lock().unwrap().is_empty());
        let places: Vec<_> = (0..100)
            .map(|_| addresses.admit(proxy.parse().unwrap()).unwrap())
            .collect();
        assert!(addresses.open.lock().unwrap().is_empty());
        drop(places);
    }

    #[test]
    fn addresses_of_one_ipv6_network_share_a_limit() {
        let addresses = addresses(8, 25);
        let places: Vec<_> = (0..9)
            .filter_map(|n| addresses.admit(format!("2001:db8::{n}").parse().unwrap()))
            .collect();
        assert_eq!(places.len(), 8);
        assert!(addresses.admit("2001:db8:0:1::".parse().unwrap()).is_some());
    }
}
