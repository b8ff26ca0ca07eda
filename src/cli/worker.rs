//! `lmn worker`: runs the webhook deliveries and the background jobs, apart from the servers.
//!
//! It serves probes and metrics on the operator's listener, as a server does.

use anyhow::Context;

use tokio::sync::oneshot;

use super::{
    Source, block_on, from_here, print,
    serve::{Signals, listen},
};
use crate::{
    app::App,
    operator,
    orders::sweeps,
    server, telemetry,
    vehicles::render,
    webhooks::{self, backlog},
};

/// The arguments of `lmn worker`.
#[derive(Debug, clap::Args)]
pub(super) struct Worker {
    #[command(flatten)]
    source: Source,
    /// Print one line of JSON once the worker runs, with the URL of the operator's listener.
    #[arg(long)]
    json: bool,
}

impl Worker {
    /// Runs the worker until the process receives a stop signal. Any number of workers may run.
    pub(super) fn run(self) -> anyhow::Result<()> {
        let settings = self.source.load()?;
        // Held until the end, so that all log lines are written before the process exits.
        let _log = telemetry::start(&settings.log);
        block_on(async move {
            let app = App::start_without_catalogue(settings)
                .await
                .context("the database is not ready")?;
            let (listener, address) =
                listen("operator.listen", app.settings().operator.listen).await?;
            let mut signals = Signals::new()?;
            begin(&app)?;
            tracing::info!(operator_address = %address, "worker started");
            if self.json {
                let operator_url = format!("http://{}", from_here(address));
                print(serde_json::json!({"working": true, "operator_url": operator_url}))?;
            }
            let (stop, stopped) = oneshot::channel::<()>();
            let probes = async {
                let stopped = async { stopped.await.unwrap_or_default() };
                let router = operator::routes::router(app.clone());
                server::serve_operator(&app, listener, router, stopped).await;
            };
            let working = async {
                signals.next().await;
                app.drain();
                app.stop().await;
                drop(stop);
            };
            tokio::join!(probes, working);
            Ok(())
        })
    }
}

/// Starts the background jobs that a server may leave to `lmn worker`. They run until the replica stops.
pub(super) fn begin(app: &App) -> anyhow::Result<()> {
    let worker = webhooks::worker::Worker::new(app.clone()).context("TLS cannot be used")?;
    app.tasks().spawn(sweeps::run(app.clone()));
    app.tasks().spawn(render::run(app.clone()));
    app.tasks().spawn(worker.run());
    app.tasks().spawn(backlog::run(app.clone()));
    Ok(())
}
