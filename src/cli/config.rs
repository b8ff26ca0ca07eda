//! `lmn config`: checks the settings.

use anyhow::bail;
use clap::Subcommand;
use serde_json::json;

use super::{Source, print, say};
use crate::config::Settings;

/// The commands of `lmn config`.
#[derive(Debug, Subcommand)]
pub(super) enum Config {
    /// Check the settings and report all errors at once.
    Check {
        #[command(flatten)]
        source: Source,
        /// Print one JSON document.
        #[arg(long)]
        json: bool,
    },
}

impl Config {
    /// Runs the command.
    pub(super) fn run(self) -> anyhow::Result<()> {
        let Self::Check { source, json } = self;
        let checked = Settings::load(source.config.as_deref());
        if json {
            let errors = checked.as_ref().err().map(|it| it.0.as_slice());
            let errors = errors.unwrap_or_default();
            print(json!({"valid": errors.is_empty(), "complaints": errors}))?;
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
            Err(errors) => Err(errors.into()),
        }
    }
}
