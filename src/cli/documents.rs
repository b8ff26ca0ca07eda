//! Commands that need no database: `lmn config` checks the settings, `lmn openapi` prints the document that
//! `GET /v1/openapi.json` serves, or a Postman collection made from it, or that of the operator API, `lmn errors` the error
//! catalogue that `GET /v1/errors` serves, and `lmn completions` the completions of a shell.

use anyhow::bail;
use clap::{CommandFactory, Subcommand};
use clap_complete::aot::{Shell, generate};
use serde_json::json;

use super::{Lmn, Source, check_deprecations, print, print_outcome, say, warn_of_slips};
use crate::{
    config::{self, Settings, Tls},
    errors::{
        catalogue::Code,
        docs::{self, ErrorList},
    },
    openapi::postman,
    router::{document, operator_document},
    values::string_enum::StringEnum,
};

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
        let variables = config::environment();
        let checked =
            Settings::read(source.config.as_deref(), &variables).and_then(check_deprecations);
        if json {
            let errors = checked.as_ref().err().map(|it| it.0.as_slice());
            let errors = errors.unwrap_or_default();
            let warnings = config::find_slips(&variables);
            print_outcome(
                json!({"valid": errors.is_empty(), "complaints": errors, "warnings": warnings}),
            )?;
        } else {
            warn_of_slips(&variables);
        }
        match checked {
            Ok(_) if json => Ok(()),
            Ok(settings) => {
                let environment = settings.environment.as_str();
                say(format_args!(
                    "The settings are right: a {environment} deployment."
                ));
                say_expiry("server.tls", settings.server.tls.as_ref());
                say_expiry("operator.tls", settings.operator.tls.as_ref());
                Ok(())
            }
            Err(_) if json => bail!("the settings are wrong"),
            Err(errors) => Err(errors.into()),
        }
    }
}

/// Prints when the certificate of a listener expires, if it has one.
fn say_expiry(section: &str, tls: Option<&Tls>) {
    if let Some(expires_at) = tls.and_then(|tls| tls.first.expires_at) {
        say(format_args!(
            "The certificate of {section} expires at {expires_at}."
        ));
    }
}

/// The arguments of `lmn openapi`.
#[derive(Debug, clap::Args)]
pub(super) struct Openapi {
    #[command(flatten)]
    source: Source,
    /// Print a Postman collection (v2.1) made from the document.
    #[arg(long)]
    postman: bool,
    /// Print the document of the operator API.
    #[arg(long, conflicts_with = "postman")]
    operator: bool,
    /// Print JSON, which is the only format.
    #[arg(long)]
    json: bool,
}

impl Openapi {
    /// Runs the command.
    pub(super) fn run(self) -> anyhow::Result<()> {
        if self.operator {
            return print(operator_document());
        }
        let settings = Settings::load_without_database(self.source.config.as_deref())
            .and_then(check_deprecations)?;
        let document = document(&settings);
        match self.postman {
            true => print(postman::collection(&document)),
            false => print(document),
        }
    }
}

/// The arguments of `lmn errors`.
#[derive(Debug, clap::Args)]
pub(super) struct Errors {
    /// Print the page `docs/errors.md`.
    #[arg(long, conflicts_with = "json")]
    markdown: bool,
    /// Print the JSON that `GET /v1/errors` returns.
    #[arg(long)]
    json: bool,
}

impl Errors {
    /// Runs the command.
    pub(super) fn run(self) -> anyhow::Result<()> {
        if self.markdown {
            return print(docs::markdown().trim_end());
        }
        if self.json {
            return print(serde_json::to_string(&ErrorList::all())?);
        }
        Code::ALL.map(Code::entry).iter().try_for_each(|entry| {
            let statuses: Vec<String> = entry.statuses.iter().map(u16::to_string).collect();
            let (code, retry) = (entry.code, entry.retry.as_str());
            print(format_args!(
                "{code:<34}{:<9}{retry:<20}{}",
                statuses.join(","),
                entry.title
            ))
        })
    }
}

/// The arguments of `lmn completions`.
#[derive(Debug, clap::Args)]
pub(super) struct Completions {
    /// The shell that reads the completions.
    shell: Shell,
}

impl Completions {
    /// Runs the command.
    pub(super) fn run(self) -> anyhow::Result<()> {
        let mut command = Lmn::command();
        let name = command.get_name().to_owned();
        // Into memory, because the generator panics if it cannot write.
        let mut script = Vec::new();
        generate(self.shell, &mut command, name, &mut script);
        print(String::from_utf8(script)?.trim_end())
    }
}
