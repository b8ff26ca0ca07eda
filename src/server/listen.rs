//! The accept loop of a listener: a bounded number of connections, and a graceful stop.

use std::{convert::Infallible, sync::Arc, time::Duration};

use axum::{Router, extract::Request, response::Response};
use hyper_util::server::graceful::GracefulShutdown;
use tokio::{net::TcpListener, sync::Semaphore, time::timeout};
use tokio_util::sync::CancellationToken;
use tower::Service;

use super::{connection::Connection, tls::Tls};
use crate::{app::App, config};

/// The pause of the loop when the system has no more file descriptors.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// The time that the operator's listener waits for requests in progress: its responses are short.
const OPERATOR_STOP: Duration = Duration::from_secs(1);

/// Serves `service` on `listener` until `stop` completes, then waits for requests in progress, up to
/// `server.stop_seconds`.
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
    accept(app, settings, tls, listener, service, stop).await;
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
        tls: None,
        ..app.settings().server.clone()
    };
    accept(app, settings, None, listener, router, stop).await;
}

/// Accepts connections and serves them, with the limits of `settings`.
async fn accept<S>(
    app: &App,
    settings: config::Server,
    tls: Option<Tls>,
    listener: TcpListener,
    service: S,
    stop: impl Future<Output = ()>,
) where
    S: Service<Request, Response = Response, Error = Infallible> + Clone + Send + 'static,
    S::Future: Send,
{
    let connections = Arc::new(Semaphore::new(settings.connections_max));
    let graceful = GracefulShutdown::new();
    let (stopping, cut) = (CancellationToken::new(), CancellationToken::new());
    let mut stop = std::pin::pin!(stop);
    loop {
        // The permit is acquired first: beyond the limit, connections wait in the kernel's queue.
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
                    tls: tls.clone(),
                    app: app.clone(),
                    peer,
                    service: service.clone(),
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
                tracing::warn!(%error, "failed to accept a connection");
                tokio::time::sleep(ACCEPT_PAUSE).await;
            }
        }
    }
    drop(listener);
    stopping.cancel();
    if timeout(settings.stop, graceful.shutdown()).await.is_err() {
        tracing::warn!(
            "closing connections whose requests did not complete within the stop timeout"
        );
        cut.cancel();
    }
}
