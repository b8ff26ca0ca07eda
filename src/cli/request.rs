//! `lmn request`: shows a request of the request log, and lists those that were refused, that failed or that wrote.

use anyhow::Context;
use clap::Subcommand;
use serde_json::{Value, json};

use super::{
    arguments::Since,
    operator::{OperatorArgs, Session},
    print,
};
use crate::{
    database::clock,
    errors::catalogue::Code,
    request_log::{
        model::{LogEntry, RequestView},
        store::{self, Filter},
    },
    values::{id::RequestId, timestamp::Timestamp},
};

/// The arguments of `lmn request`.
#[derive(Debug, clap::Args)]
pub(super) struct RequestCommand {
    #[command(flatten)]
    operator: OperatorArgs,
    #[command(subcommand)]
    action: Action,
}

#[derive(Debug, Subcommand)]
enum Action {
    /// Show a request of any partner.
    Show {
        /// The request's id, as a partner finds it in `X-Request-Id` and in `error.request_id`.
        id: RequestId,
    },
    /// List requests that were refused, that failed or that wrote, the latest one first.
    List(List),
}

#[derive(Debug, clap::Args)]
struct List {
    /// List only the requests of the partner with this id or name.
    #[arg(long)]
    partner: Option<String>,
    /// List only requests that ended with one of these error codes, separated by commas.
    #[arg(long, value_delimiter = ',', value_parser = error_code)]
    code: Vec<Code>,
    /// List only requests since this time, such as 2026-04-20T13:00:00+09:00, or within this duration, such as 24h.
    #[arg(long, value_name = "TIME")]
    since: Option<Since>,
    /// The maximum number of requests.
    #[arg(long, value_name = "N", default_value_t = 100, value_parser = clap::value_parser!(u32).range(1..=100_000))]
    limit: u32,
}

impl RequestCommand {
    /// Runs the command.
    pub(super) fn run(self) -> anyhow::Result<()> {
        let Self { operator, action } = self;
        operator.work(async |session| match &action {
            Action::Show { id } => show(session, *id).await,
            Action::List(list) => list.run(session).await,
        })
    }
}

async fn show(session: &Session, id: RequestId) -> anyhow::Result<()> {
    let mut tx = session.begin().await?;
    let entry = store::find(&mut tx, None, id).await?;
    let entry = entry.with_context(|| {
        format!(
            "the log has no request `{id}`: it succeeded as a read, is too old, or was not logged"
        )
    })?;
    let sheet = sheet(entry)?;
    if session.json {
        return print(sheet);
    }
    let members = sheet.as_object().into_iter().flatten();
    members.into_iter().try_for_each(|(name, value)| {
        let text = value
            .as_str()
            .map_or_else(|| value.to_string(), str::to_owned);
        print(format_args!("{name:<16} {text}"))
    })
}

impl List {
    async fn run(&self, session: &Session) -> anyhow::Result<()> {
        let mut tx = session.begin().await?;
        let partner = match &self.partner {
            Some(partner) => Some(session.partner(&mut tx, partner).await?.id),
            None => None,
        };
        let now = clock::real_now(&mut tx).await?;
        let filter = Filter {
            partner,
            codes: self.code.clone(),
            since: self.since.map(|it| it.instant(now)),
        };
        let entries = store::list(&mut tx, &filter, None, self.limit.into()).await?;
        entries
            .into_iter()
            .try_for_each(|entry| match session.json {
                true => print(sheet(entry)?),
                false => print(line(&entry)),
            })
    }
}

/// Returns a request as JSON: as its partner sees it, and with the partner.
fn sheet(entry: LogEntry) -> anyhow::Result<Value> {
    let (partner, name) = (entry.request.partner, entry.partner_name.clone());
    let mut sheet = serde_json::to_value(RequestView::from(entry))?;
    if let Some(members) = sheet.as_object_mut() {
        members.insert("partner_id".to_owned(), json!(partner));
        members.insert("partner".to_owned(), json!(name));
    }
    Ok(sheet)
}

fn line(entry: &LogEntry) -> String {
    let LogEntry {
        request,
        partner_name,
    } = entry;
    let at = Timestamp::kst(request.at);
    let or_dash = |text: &Option<String>| text.clone().unwrap_or_else(|| "-".to_owned());
    let (partner, code) = (or_dash(partner_name), or_dash(&request.code));
    let (id, status, operation) = (request.id, request.status, &request.operation);
    let details = or_dash(&request.details);
    format!("{at}  {id}  {status}  {code}  {operation}  {partner}  {details}")
}

/// Parses an error code. The error lists the valid ones.
fn error_code(text: &str) -> Result<Code, String> {
    let codes = Code::ALL.map(Code::as_str).join(", ");
    Code::parse(text).ok_or_else(|| format!("expected one of {codes}"))
}
