//! `lmn openapi`: prints the document that `GET /v1/openapi.json` serves. Needs no database.

use super::{Source, print};
use crate::{config::Settings, router::document};

/// The arguments of `lmn openapi`.
#[derive(Debug, clap::Args)]
pub(super) struct Openapi {
    #[command(flatten)]
    source: Source,
    /// Print JSON, which is the only format.
    #[arg(long)]
    json: bool,
}

impl Openapi {
    /// Runs the command.
    pub(super) fn run(self) -> anyhow::Result<()> {
        let settings = Settings::load_without_database(self.source.config.as_deref())?;
        print(document(settings.environment, &settings.public_url))
    }
}
