//! `lmn serve`: runs the API on the database of the settings.

use std::{io, net::SocketAddr};

use anyhow::{Context, bail};
use tokio::{
    net::TcpListener,
    signal::unix::{Signal, SignalKind, signal},
    sync::oneshot,
};

use super::{Source, block_on, from_here, migrate::migrate, print, worker};
use crate::{app::App, operator, router::router, server, settings::Settings, telemetry};

/// The arguments of `lmn serve`.
#[derive(Debug, clap::Args)]
pub(super) struct Serve {
    #[command(flatten)]
    source: Source,
    /// Bring the database up to date first.
    #[arg(long)]
    migrate: bool,
    /// Leave deliveries and sweeps to `lmn worker`.
    #[arg(long)]
    no_worker: bool,
    /// Print one line of JSON once the server is ready: its URL and the operator's.
    #[arg(long)]
    json: bool,
}

impl Serve {
    /// Serves until the process is told to stop.
    pub(super) fn run(self) -> anyhow::Result<()> {
        let settings = self.source.load()?;
        // Until the end, so that all lines are written before the process exits.
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

/// Where a server is reached from its own machine.
pub(super) struct Reached {
    /// By partners.
    pub(super) url: String,
    /// By its operator.
    pub(super) operator_url: String,
}

/// Serves until the process is told to stop; `ready` is called once the replica is ready.
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
    // Probes are answered while the catalogue is loaded.
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
    // The operator's listener outlives the partners', so that it can tell of the draining.
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
    let told_twice = async {
        signals.next().await;
        tracing::info!("stopping");
        drop(stop);
        signals.next().await;
    };
    tokio::select! {
        served = serving => served,
        error = announced => Err(error),
        () = told_twice => bail!("told to stop twice: requests in progress were cut off"),
    }
}

/// Listens on the address of a setting, and returns the one it became.
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

/// The ways in which a process is told to stop.
pub(super) struct Signals {
    interrupt: Signal,
    terminate: Signal,
}

impl Signals {
    /// Begins to listen to them.
    pub(super) fn new() -> io::Result<Self> {
        Ok(Self {
            interrupt: signal(SignalKind::interrupt())?,
            terminate: signal(SignalKind::terminate())?,
        })
    }

    /// Waits for the next one.
    pub(super) async fn next(&mut self) {
        tokio::select! {
            _ = self.interrupt.recv() => {}
            _ = self.terminate.recv() => {}
        }
    }
}
