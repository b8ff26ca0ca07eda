//! `lmn worker`: deliveries, and what time does to orders, apart from the servers. Its operator asks it as he asks them.

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
    /// Print one line of JSON once the worker has begun: its operator's URL.
    #[arg(long)]
    json: bool,
}

impl Worker {
    /// Works until the process is told to stop; any number of workers may do so at once.
    pub(super) fn run(self) -> anyhow::Result<()> {
        let settings = self.source.load()?;
        // Until the end, so that all lines are written before the process exits.
        let _log = telemetry::start(&settings.log);
        block_on(async move {
            let app = App::start_without_catalogue(settings)
                .await
                .context("the database is not ready")?;
            let (listener, address) =
                listen("operator.listen", app.settings().operator.listen).await?;
            let mut signals = Signals::new()?;
            begin(&app)?;
            tracing::info!(operator_address = %address, "working");
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

/// Begins what goes on without a request and may be left to `lmn worker`, until the replica stops.
pub(super) fn begin(app: &App) -> anyhow::Result<()> {
    let deliver = webhooks::worker::Worker::new(app.clone()).context("TLS cannot be used")?;
    app.tasks().spawn(sweeps::run(app.clone()));
    app.tasks().spawn(render::run(app.clone()));
    app.tasks().spawn(deliver.run());
    app.tasks().spawn(backlog::run(app.clone()));
    Ok(())
}
