//! `lmn migrate`: brings the schema up to date.

use anyhow::Context;

use super::{Source, block_on, print, say};
use crate::{
    config::Settings,
    database::{self, Database},
    vehicles::render::render_all,
};

/// The arguments of `lmn migrate`.
#[derive(Debug, clap::Args)]
pub(super) struct Migrate {
    #[command(flatten)]
    source: Source,
    /// Print one JSON document.
    #[arg(long)]
    json: bool,
}

impl Migrate {
    /// Runs the command.
    pub(super) fn run(self) -> anyhow::Result<()> {
        let settings = self.source.load()?;
        let environment = settings.environment;
        block_on(async move { migrate(&settings).await })?;
        let environment = environment.as_str();
        if self.json {
            print(
                serde_json::json!({"environment": environment, "migrations": database::MIGRATOR.iter().count()}),
            )
        } else {
            say(format_args!("The {environment} database is up to date."));
            Ok(())
        }
    }
}

/// Brings the schema up to date, and renders the vehicles that lack their JSON.
pub(super) async fn migrate(settings: &Settings) -> anyhow::Result<()> {
    database::migrate_at(&settings.database, settings.environment)
        .await
        .context("migrating")?;
    let database = Database::connect(&settings.database)?;
    render_all(&database, settings.catalogue.render_batch)
        .await
        .context("rendering the vehicles")?;
    database.close().await;
    Ok(())
}
