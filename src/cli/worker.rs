//! `lmn worker`: deliveries, and what time does to orders, apart from the servers.

use anyhow::Context;

use super::{Source, block_on, print, serve::Signals};
use crate::{
    app::App,
    orders::sweeps,
    telemetry,
    vehicles::{facets::counting, render},
    webhooks,
};

/// The arguments of `lmn worker`.
#[derive(Debug, clap::Args)]
pub(super) struct Worker {
    #[command(flatten)]
    source: Source,
    /// Print one line of JSON once the worker has begun.
    #[arg(long)]
    json: bool,
}

impl Worker {
    /// Works until the process is told to stop; any number of workers may do so at once.
    pub(super) fn run(self) -> anyhow::Result<()> {
        let settings = self.source.load()?;
        telemetry::start(&settings.log);
        block_on(async move {
            let app = App::start(settings)
                .await
                .context("the database is not ready")?;
            let mut signals = Signals::new()?;
            app.tasks().spawn(counting::run(app.clone()));
            begin(&app)?;
            tracing::info!("working");
            if self.json {
                print(serde_json::json!({"working": true}))?;
            }
            signals.next().await;
            app.stop().await;
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
    Ok(())
}
