//! `lmn serve`: runs the API on the database of the settings.

use anyhow::Context;
use tokio::{
    net::TcpListener,
    signal::unix::{SignalKind, signal},
};

use super::{Source, block_on, print};
use crate::{app::App, db, router::router, server, settings::Settings, telemetry};

/// The arguments of `lmn serve`.
#[derive(Debug, clap::Args)]
pub(super) struct Serve {
    #[command(flatten)]
    source: Source,
    /// Bring the database up to date first.
    #[arg(long)]
    migrate: bool,
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
            serve(settings, |url| match self.json {
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
    let mut interrupt = signal(SignalKind::interrupt())?;
    let mut terminate = signal(SignalKind::terminate())?;
    tracing::info!(%address, environment = app.settings().environment.as_str(), "listening");
    ready(&format!("http://{address}"))?;
    let stop = async move {
        tokio::select! {
            _ = interrupt.recv() => {}
            _ = terminate.recv() => {}
        }
        tracing::info!("stopping");
    };
    server::serve(&app, listener, router(app.clone()), stop).await;
    app.stop().await;
    Ok(())
}
