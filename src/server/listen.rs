//! The accept loop of a listener: a bounded number of connections, and a graceful stop.

use std::{convert::Infallible, io, net::SocketAddr, pin::pin, sync::Arc, time::Duration};

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
    addresses::Addresses,
    connection::{Connection, Stop},
    tls::Tls,
};
use crate::{app::App, config};

/// The pause of the loop when the system has no more file descriptors.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// The time that the operator's listener waits for requests in progress: its responses are short.
const OPERATOR_STOP: Duration = Duration::from_secs(1);

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
    let tls = settings.tls.take().map(Tls::new).transpose()?;
    if let Some(tls) = &tls {
        app.tasks().spawn(tls.clone().keep_fresh(app.clone()));
    }
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
pub async fn serve_operator(
    app: &App,
    listener: TcpListener,
    router: Router,
    stop: impl Future<Output = ()>,
) {
    let settings = config::Server {
        connections_max: app.settings().operator.connections_max,
        stop: OPERATOR_STOP,
        drain_grace: Duration::ZERO,
        tls: None,
        ..app.settings().server.clone()
    };
    // The operator's tools come from one address and have no key.
    let everybody = [IpNet::V4(Ipv4Net::default()), IpNet::V6(Ipv6Net::default())];
    let addresses = Addresses::new(&settings, &everybody);
    let acceptor = Acceptor::new(app, settings, addresses, None, router);
    acceptor.run(listener, stop).await;
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
