//! `lmn serve`: runs the API on the database of the settings.

use std::io;

use anyhow::{Context, bail};
use tokio::{
    net::TcpListener,
    signal::unix::{Signal, SignalKind, signal},
    sync::oneshot,
};

use super::{Source, block_on, print};
use crate::{app::App, db, orders::sweeps, router::router, server, settings::Settings, telemetry};

/// The arguments of `lmn serve`.
#[derive(Debug, clap::Args)]
pub(super) struct Serve {
    #[command(flatten)]
    source: Source,
    /// Bring the database up to date first.
    #[arg(long)]
    migrate: bool,
    /// Leave the sweeps to `lmn worker`.
    #[arg(long)]
    no_worker: bool,
    /// Print one line of JSON once the server is ready: its URL.
    #[arg(long)]
    json: bool,
}

impl Serve {
    /// Serves until the process is told to stop.
    pub(super) fn run(self) -> anyhow::Result<()> {
        let settings = self.source.load()?;
        telemetry::start(&settings.log);
        block_on(async move {
            if self.migrate {
                db::migrate_at(&settings.database, settings.environment)
                    .await
                    .context("migrating")?;
            }
            serve(settings, !self.no_worker, |url| match self.json {
                true => print(serde_json::json!({"url": url})),
                false => Ok(()),
            })
            .await
        })
    }
}

/// Serves until the process is told to stop; `ready` is called with the URL once connections are accepted.
pub(super) async fn serve(
    settings: Settings,
    is_worker: bool,
    ready: impl FnOnce(&str) -> anyhow::Result<()>,
) -> anyhow::Result<()> {
    let listen = settings.server.listen;
    let app = App::start(settings)
        .await
        .context("the database is not ready")?;
    let listener = TcpListener::bind(listen)
        .await
        .with_context(|| format!("cannot listen on {listen}"))?;
    let address = listener
        .local_addr()
        .context("the listener has no address")?;
    let mut signals = Signals::new()?;
    tracing::info!(%address, environment = app.settings().environment.as_str(), "listening");
    ready(&format!("http://{address}"))?;
    if is_worker {
        app.tasks().spawn(sweeps::run(app.clone()));
    }
    let (stop, stopped) = oneshot::channel::<()>();
    let serving = async {
        let stopped = async { stopped.await.unwrap_or_default() };
        server::serve(&app, listener, router(app.clone()), stopped).await;
        app.stop().await;
    };
    let told_twice = async {
        signals.next().await;
        tracing::info!("stopping");
        drop(stop);
        signals.next().await;
    };
    tokio::select! {
        () = serving => Ok(()),
        () = told_twice => bail!("told to stop twice: requests in progress were cut off"),
    }
}

/// The ways in which a process is told to stop.
struct Signals {
    interrupt: Signal,
    terminate: Signal,
}

impl Signals {
    fn new() -> io::Result<Self> {
        Ok(Self {
            interrupt: signal(SignalKind::interrupt())?,
            terminate: signal(SignalKind::terminate())?,
        })
    }

    async fn next(&mut self) {
        tokio::select! {
            _ = self.interrupt.recv() => {}
            _ = self.terminate.recv() => {}
        }
    }
}
