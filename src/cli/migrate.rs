//! `lmn migrate`: brings the schema up to date.

use anyhow::Context;

use super::{Source, block_on, print, say};
use crate::db;

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
    /// Migrates.
    pub(super) fn run(self) -> anyhow::Result<()> {
        let settings = self.source.load()?;
        let environment = settings.environment;
        block_on(async move {
            db::migrate_at(&settings.database, environment)
                .await
                .context("migrating")
        })?;
        let environment = environment.as_str();
        if self.json {
            print(
                serde_json::json!({"environment": environment, "migrations": db::MIGRATOR.iter().count()}),
            )
        } else {
            say(format_args!("The {environment} database is up to date."));
            Ok(())
        }
    }
}
