//! `lmn serve`: runs the API on the configured database.

use std::{io, net::SocketAddr};

use anyhow::{Context, bail};
use tokio::{
    net::TcpListener,
    signal::unix::{Signal, SignalKind, signal},
    sync::oneshot,
};

use super::{Source, block_on, from_here, migrate::migrate, print, worker};
use crate::{app::App, config::Settings, operator, router::router, server, telemetry};

/// The arguments of `lmn serve`.
#[derive(Debug, clap::Args)]
pub(super) struct Serve {
    #[command(flatten)]
    source: Source,
    /// Bring the schema of the database up to date first.
    #[arg(long)]
    migrate: bool,
    /// Leave the webhook deliveries and the background jobs to `lmn worker`.
    #[arg(long)]
    no_worker: bool,
    /// Print one line of JSON once the server is ready, with the URLs of the API and of the operator's listener.
    #[arg(long)]
    json: bool,
}

impl Serve {
    /// Runs the server until the process receives a stop signal.
    pub(super) fn run(self) -> anyhow::Result<()> {
        let settings = self.source.load()?;
        // Held until the end, so that all log lines are written before the process exits.
        let _log = telemetry::start(&settings.log);
        block_on(async move {
            if self.migrate {
                migrate(&settings).await?;
            }
            serve(settings, !self.no_worker, |at| match self.json {
                true => print(serde_json::json!({"url": at.url, "operator_url": at.operator_url})),
                false => Ok(()),
            })
            .await
        })
    }
}

/// The URLs of a server on its own machine.
pub(super) struct Reached {
    /// The URL of the API.
    pub(super) url: String,
    /// The URL of the operator's listener.
    pub(super) operator_url: String,
}

/// Runs a server until the process receives a stop signal. Calls `ready` once the catalogue is loaded.
pub(super) async fn serve(
    settings: Settings,
    is_worker: bool,
    ready: impl FnOnce(&Reached) -> anyhow::Result<()>,
) -> anyhow::Result<()> {
    let (server, operator) = (settings.server.listen, settings.operator.listen);
    let app = App::start(settings)
        .await
        .context("the database is not ready")?;
    let (listener, address) = listen("server.listen", server).await?;
    let (operator_listener, operator_address) = listen("operator.listen", operator).await?;
    let mut signals = Signals::new()?;
    let environment = app.settings().environment.as_str();
    tracing::info!(%address, %operator_address, environment, "listening");
    let scheme = match app.settings().server.tls {
        Some(_) => "https",
        None => "http",
    };
    let reached = Reached {
        url: format!("{scheme}://{}", from_here(address)),
        operator_url: format!("http://{}", from_here(operator_address)),
    };
    // Probes are answered while the catalogue is loading.
    let announced = async {
        app.catalogue().loaded().await;
        match ready(&reached) {
            Ok(()) => std::future::pending().await,
            Err(error) => error,
        }
    };
    if is_worker {
        worker::begin(&app)?;
    }
    let (stop, stopped) = oneshot::channel::<()>();
    // The operator's listener closes after that of the partners, so that probes can report the draining.
    let (drained, is_drained) = oneshot::channel::<()>();
    let partners = async {
        let stopped = async { stopped.await.unwrap_or_default() };
        let served = server::serve(&app, listener, router(app.clone()), stopped).await;
        drop(drained);
        served.context("TLS cannot be used")
    };
    let probes = async {
        let is_drained = async { is_drained.await.unwrap_or_default() };
        let router = operator::routes::router(app.clone());
        server::serve_operator(&app, operator_listener, router, is_drained).await;
    };
    let serving = async {
        let (served, ()) = tokio::join!(partners, probes);
        app.stop().await;
        served
    };
    let stopped_twice = async {
        signals.next().await;
        tracing::info!("stopping");
        drop(stop);
        signals.next().await;
    };
    tokio::select! {
        served = serving => served,
        error = announced => Err(error),
        () = stopped_twice => bail!("a second stop signal has aborted the requests in progress"),
    }
}

/// Listens on the address of a setting, and returns the listener with its actual address.
pub(super) async fn listen(
    setting: &str,
    address: SocketAddr,
) -> anyhow::Result<(TcpListener, SocketAddr)> {
    let listener = TcpListener::bind(address)
        .await
        .with_context(|| format!("cannot listen on {address} ({setting})"))?;
    let address = listener
        .local_addr()
        .context("the listener has no address")?;
    Ok((listener, address))
}

/// The signals that stop a process: SIGINT and SIGTERM.
pub(super) struct Signals {
    interrupt: Signal,
    terminate: Signal,
}

impl Signals {
    /// Registers handlers for the signals.
    pub(super) fn new() -> io::Result<Self> {
        Ok(Self {
            interrupt: signal(SignalKind::interrupt())?,
            terminate: signal(SignalKind::terminate())?,
        })
    }

    /// Waits for the next signal.
    pub(super) async fn next(&mut self) {
        tokio::select! {
            _ = self.interrupt.recv() => {}
            _ = self.terminate.recv() => {}
        }
    }
}
