//! `lmn config`: are the settings right?

use anyhow::bail;
use clap::Subcommand;
use serde_json::json;

use super::{Source, print, say};
use crate::settings::Settings;

/// What can be done with the settings.
#[derive(Debug, Subcommand)]
pub(super) enum Config {
    /// Say everything that is wrong with the settings, at once.
    Check {
        #[command(flatten)]
        source: Source,
        /// Print one JSON document.
        #[arg(long)]
        json: bool,
    },
}

impl Config {
    /// Does it.
    pub(super) fn run(self) -> anyhow::Result<()> {
        let Self::Check { source, json } = self;
        let checked = Settings::load(source.config.as_deref());
        if json {
            let complaints = checked.as_ref().err().map(|it| it.0.as_slice());
            let complaints = complaints.unwrap_or_default();
            print(json!({"valid": complaints.is_empty(), "complaints": complaints}))?;
        }
        match checked {
            Ok(_) if json => Ok(()),
            Ok(settings) => {
                let environment = settings.environment.as_str();
                say(format_args!(
                    "The settings are right: a {environment} deployment."
                ));
                let tls = settings.server.tls.as_ref();
                if let Some(expires_at) = tls.and_then(|tls| tls.first.expires_at) {
                    say(format_args!("Its certificate expires at {expires_at}."));
                }
                Ok(())
            }
            Err(_) if json => bail!("the settings are wrong"),
            Err(complaints) => Err(complaints.into()),
        }
    }
}
