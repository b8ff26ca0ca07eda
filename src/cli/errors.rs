//! `lmn errors`: prints the error catalogue that `GET /v1/errors` serves. Needs no database.

use super::print;
use crate::{
    errors::{catalogue::Code, markdown, view::ErrorList},
    values::string_enum::StringEnum,
};

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
            return print(markdown::page().trim_end());
        }
        if self.json {
            return print(serde_json::to_string(&ErrorList::all())?);
        }
        for entry in Code::ALL.map(Code::entry) {
            let statuses: Vec<String> = entry.statuses.iter().map(u16::to_string).collect();
            let (code, retry) = (entry.code, entry.retry.as_str());
            print(format_args!(
                "{code:<34}{:<9}{retry:<20}{}",
                statuses.join(","),
                entry.title
            ))?;
        }
        Ok(())
    }
}
