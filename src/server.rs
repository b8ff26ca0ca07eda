//! The server: an accept loop with limits, and a graceful stop.
//!
//! `axum::serve` sets no timer, so a half-sent header would hold a connection for ever. This loop on hyper-util is as
//! long as the glue around another server would be, and keeps three things in sight: how many connections there are,
//! how long a silent one lives, and what happens when the process is told to stop.

use std::{net::SocketAddr, sync::Arc, time::Duration};

use axum::{Router, body::Body, http::Request};
use hyper::body::Incoming;
use hyper_util::{
    rt::{TokioExecutor, TokioIo, TokioTimer},
    server::{
        conn::auto::Builder,
        graceful::{GracefulShutdown, Watcher},
    },
    service::TowerToHyperService,
};
use tokio::{
    net::{TcpListener, TcpStream},
    sync::Semaphore,
    time::timeout,
};
use tokio_util::sync::CancellationToken;
use tower::{ServiceExt, service_fn};

use crate::{app::App, http::client_ip::Peer, settings};

/// How long the loop rests when the system has no more file descriptors.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);
/// How often an idle HTTP/2 connection is asked whether it is alive, and how long it may take to say so.
const HTTP2_PING: Duration = Duration::from_secs(20);

/// Serves `router` on `listener` until `stop`, then waits for requests in progress.
pub async fn serve(
    app: &App,
    listener: TcpListener,
    router: Router,
    stop: impl Future<Output = ()>,
) {
    let settings = app.settings().server.clone();
    let connections = Arc::new(Semaphore::new(settings.connections_max));
    let graceful = GracefulShutdown::new();
    let (stopping, cut) = (CancellationToken::new(), CancellationToken::new());
    let mut stop = std::pin::pin!(stop);
    loop {
        // The permit first: beyond the cap, connections wait in the kernel's queue.
        let accepted = async {
            let permit = connections.clone().acquire_owned().await;
            (permit, listener.accept().await)
        };
        let (permit, accepted) = tokio::select! {
            () = &mut stop => break,
            accepted = accepted => accepted,
        };
        match accepted {
            Ok((stream, peer)) => {
                let connection = Connection {
                    settings: settings.clone(),
                    peer,
                    router: router.clone(),
                    watcher: graceful.watcher(),
                    stopping: stopping.clone(),
                };
                let cut = cut.clone();
                app.tasks().spawn(async move {
                    tokio::select! {
                        () = connection.serve(stream) => {}
                        () = cut.cancelled() => {}
                    }
                    drop(permit);
                });
            }
            Err(error) => {
                tracing::warn!(%error, "a connection could not be accepted");
                tokio::time::sleep(ACCEPT_PAUSE).await;
            }
        }
    }
    drop(listener);
    stopping.cancel();
    if timeout(settings.stop, graceful.shutdown()).await.is_err() {
        tracing::warn!("requests were still in progress when the time to stop was over");
        cut.cancel();
    }
}

/// One connection, and what it needs.
struct Connection {
    settings: settings::Server,
    peer: SocketAddr,
    router: Router,
    watcher: Watcher,
    /// Cancelled when no new request is wanted any more.
    stopping: CancellationToken,
}

impl Connection {
    /// Serves requests until either end closes, or is too slow.
    async fn serve(self, stream: TcpStream) {
        // hyper's clock starts at the first byte, so a connection that sends nothing is ours to close.
        let mut first_byte = [0];
        tokio::select! {
            peeked = timeout(self.settings.first_byte, stream.peek(&mut first_byte)) => {
                if !matches!(peeked, Ok(Ok(1))) {
                    return;
                }
            }
            () = self.stopping.cancelled() => return,
        }
        // Answers are written whole; waiting to fill a packet would only delay them. Failing costs nothing but speed.
        let _ = stream.set_nodelay(true);
        let Self {
            settings,
            peer,
            router,
            watcher,
            ..
        } = self;
        let service = service_fn(move |mut request: Request<Incoming>| {
            request.extensions_mut().insert(Peer(peer));
            router.clone().oneshot(request.map(Body::new))
        });
        let mut builder = Builder::new(TokioExecutor::new());
        builder
            .http1()
            .timer(TokioTimer::new())
            .header_read_timeout(settings.header);
        builder
            .http2()
            .timer(TokioTimer::new())
            .keep_alive_interval(HTTP2_PING)
            .keep_alive_timeout(settings.header);
        let service = TowerToHyperService::new(service);
        let connection = builder.serve_connection(TokioIo::new(stream), service);
        // An error here is the other end's: it hung up, broke the protocol or was too slow.
        if let Err(error) = watcher.watch(connection.into_owned()).await {
            tracing::debug!(%peer, error, "a connection ended badly");
        }
    }
}
