//! The accept loop of a listener: a bounded number of connections, in all and of each client address, and a graceful
//! stop.

use std::{
    collections::HashMap,
    convert::Infallible,
    io,
    net::{IpAddr, SocketAddr},
    pin::pin,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use axum::{Router, extract::Request, response::Response};
use ipnet::{IpNet, Ipv4Net, Ipv6Net};
use tokio::{
    net::{TcpListener, TcpStream},
    sync::{OwnedSemaphorePermit, Semaphore},
    time::{Instant, sleep, timeout_at},
};
use tokio_util::task::TaskTracker;
use tower::Service;

use super::{
    connection::{Connection, Stop},
    tls::Tls,
};
use crate::{app::App, config, middleware::unknown_key::origin, telemetry::load::Listener};

/// The pause of the loop when the system has no more file descriptors.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// The time that the operator's listener waits for requests in progress: its responses are short.
const OPERATOR_STOP: Duration = Duration::from_secs(1);

/// The number of connections that an address may have in any case, as many as a browser opens, and some more.
const CONNECTIONS_MIN: usize = 8;

/// Serves `service` on `listener` until `stop` completes, and stops gracefully within `server.stop_seconds`.
///
/// # Errors
///
/// Fails only if TLS is set and its cryptography provider cannot be used.
pub async fn serve<S>(
    app: &App,
    listener: TcpListener,
    service: S,
    stop: impl Future<Output = ()>,
) -> Result<(), rustls::Error>
where
    S: Service<Request, Response = Response, Error = Infallible> + Clone + Send + 'static,
    S::Future: Send,
{
    let mut settings = app.settings().server.clone();
    let tls = settings.tls.take();
    let tls = tls.map(|it| Tls::start(app, Listener::Partners, it));
    let tls = tls.transpose()?;
    let stop = async {
        stop.await;
        app.drain();
    };
    let addresses = Addresses::new(&settings, &app.settings().gate.trusted_proxies);
    let acceptor = Acceptor::new(app, settings, addresses, tls, service);
    acceptor.run(listener, stop).await;
    Ok(())
}

/// Serves the operator's `router` on a separate `listener`, with fewer connections and a shorter stop.
///
/// # Errors
///
/// As for [`serve`].
pub async fn serve_operator(
    app: &App,
    listener: TcpListener,
    router: Router,
    stop: impl Future<Output = ()>,
) -> Result<(), rustls::Error> {
    let operator = &app.settings().operator;
    let tls = operator.tls.clone();
    let tls = tls.map(|it| Tls::start(app, Listener::Operator, it));
    let tls = tls.transpose()?;
    let settings = config::Server {
        connections_max: operator.connections_max,
        stop: OPERATOR_STOP,
        drain_grace: Duration::ZERO,
        tls: None,
        ..app.settings().server.clone()
    };
    // The operator's tools come from one address and have no key.
    let everybody = [IpNet::V4(Ipv4Net::default()), IpNet::V6(Ipv6Net::default())];
    let addresses = Addresses::new(&settings, &everybody);
    let acceptor = Acceptor::new(app, settings, addresses, tls, router);
    acceptor.run(listener, stop).await;
    Ok(())
}

/// Accepts connections and serves them, with the limits of `settings`.
struct Acceptor<'a, S> {
    app: &'a App,
    settings: config::Server,
    tls: Option<Tls>,
    service: S,
    places: Arc<Semaphore>,
    addresses: Arc<Addresses>,
    connections: TaskTracker,
    stop: Stop,
}

impl<'a, S> Acceptor<'a, S>
where
    S: Service<Request, Response = Response, Error = Infallible> + Clone + Send + 'static,
    S::Future: Send,
{
    fn new(
        app: &'a App,
        settings: config::Server,
        addresses: Addresses,
        tls: Option<Tls>,
        service: S,
    ) -> Self {
        Self {
            places: Arc::new(Semaphore::new(settings.connections_max)),
            addresses: Arc::new(addresses),
            connections: TaskTracker::new(),
            stop: Stop::default(),
            app,
            settings,
            tls,
            service,
        }
    }

    /// Accepts connections until `stop` completes, and then stops gracefully: no request that has reached this server
    /// is lost.
    ///
    /// Load balancers notice only after a while that the server is not ready, so it goes on for the grace. Then it
    /// serves the connections that wait in the kernel's queue, and the requests that are on their way on open ones.
    async fn run(self, listener: TcpListener, stop: impl Future<Output = ()>) {
        self.accept_until(&listener, stop).await;
        let deadline = Instant::now() + self.settings.stop;
        self.stop.draining.cancel();
        self.accept_until(&listener, sleep(self.settings.drain_grace))
            .await;
        self.stop.closing.cancel();
        if let Err(error) = self.accept_waiting(listener, deadline).await {
            tracing::warn!(%error, "failed to accept the last connections");
        }
        self.connections.close();
        let ended = timeout_at(deadline, self.connections.wait()).await;
        if ended.is_err() {
            tracing::warn!(
                "closing connections whose requests did not complete within the stop timeout"
            );
            self.stop.over.cancel();
        }
    }

    /// Accepts connections until `end` completes.
    async fn accept_until(&self, listener: &TcpListener, end: impl Future<Output = ()>) {
        let mut end = pin!(end);
        loop {
            // The permit is acquired first: beyond the limit, connections wait in the kernel's queue.
            let accepted = async {
                let permit = self.places.clone().acquire_owned().await;
                (permit.ok(), listener.accept().await)
            };
            let (permit, accepted) = tokio::select! {
                () = &mut end => return,
                accepted = accepted => accepted,
            };
            match accepted {
                Ok((stream, peer)) => self.serve(stream, peer, permit),
                Err(error) => {
                    tracing::warn!(%error, "failed to accept a connection");
                    sleep(ACCEPT_PAUSE).await;
                }
            }
        }
    }

    /// Accepts the connections in the kernel's queue until it is empty, and closes the listener.
    ///
    /// It asks the kernel each time: tokio learns of a connection only when its driver has run.
    async fn accept_waiting(&self, listener: TcpListener, deadline: Instant) -> io::Result<()> {
        let listener = listener.into_std()?;
        loop {
            let permit = self.places.clone().acquire_owned();
            let Ok(permit) = timeout_at(deadline, permit).await else {
                return Ok(());
            };
            match listener.accept() {
                Ok((stream, peer)) => {
                    stream.set_nonblocking(true)?;
                    self.serve(TcpStream::from_std(stream)?, peer, permit.ok());
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(()),
                // The client has closed a connection that was waiting.
                Err(error) if error.kind() == io::ErrorKind::ConnectionAborted => {}
                Err(error) => return Err(error),
            }
        }
    }

    /// Serves a connection in a task of its own, unless its address has too many.
    fn serve(&self, stream: TcpStream, peer: SocketAddr, permit: Option<OwnedSemaphorePermit>) {
        let Some(place) = self.addresses.admit(peer.ip()) else {
            self.app.metrics().count_refused_connection();
            return;
        };
        let connection = Connection {
            app: self.app.clone(),
            settings: self.settings.clone(),
            tls: self.tls.clone(),
            peer,
            is_trusted: self.addresses.is_trusted(peer.ip()),
            service: self.service.clone(),
            stop: self.stop.clone(),
        };
        let over = self.stop.over.clone();
        let serving = async move {
            tokio::select! {
                () = connection.serve(stream) => {}
                () = over.cancelled() => {}
            }
            // The place of the address is free before the permit is.
            drop(place);
            drop(permit);
        };
        self.app
            .tasks()
            .spawn(self.connections.track_future(serving));
    }
}

/// The open connections of a listener by client address. The addresses of trusted proxies are not limited, because many
/// clients share them.
#[derive(Debug)]
struct Addresses {
    connections_max: usize,
    trusted_proxies: Vec<IpNet>,
    open: Mutex<HashMap<IpAddr, usize>>,
}

impl Addresses {
    /// Creates the limit of a listener with these settings.
    fn new(settings: &config::Server, trusted_proxies: &[IpNet]) -> Self {
        let share = settings.connections_max * settings.connections_per_address_percent / 100;
        Self {
            connections_max: share.max(CONNECTIONS_MIN).min(settings.connections_max),
            trusted_proxies: trusted_proxies.to_vec(),
            open: Mutex::default(),
        }
    }

    /// Returns whether an address is that of a trusted proxy.
    fn is_trusted(&self, peer: IpAddr) -> bool {
        let peer = peer.to_canonical();
        self.trusted_proxies.iter().any(|it| it.contains(&peer))
    }

    /// Counts a connection of an address until the result is dropped; returns `None` if it has too many.
    fn admit(self: &Arc<Self>, peer: IpAddr) -> Option<Place> {
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
struct Place(Option<(Arc<Addresses>, IpAddr)>);

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
