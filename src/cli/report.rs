//! `lmn report`: lists orders that need the operator's attention. `lmn audit`: lists the changes in the audit log.

use clap::Subcommand;

use super::{arguments::Since, operator::OperatorArgs, print, say};
use crate::{
    audit::{self, Entry, view::AuditView},
    database::clock,
    orders::{self, jobs::OVERDUE},
    values::timestamp::Timestamp,
};

/// The maximum number of orders in a report.
const ORDERS_MAX: i64 = 100_000;

/// The arguments of `lmn report`.
#[derive(Debug, clap::Args)]
pub(super) struct Report {
    #[command(flatten)]
    operator: OperatorArgs,
    #[command(subcommand)]
    action: Action,
}

#[derive(Debug, Subcommand)]
enum Action {
    /// List the orders that have been shipping for 90 days or more, the longest first.
    Overdue {
        /// List only the orders of the partner with this id or name.
        #[arg(long)]
        partner: Option<String>,
    },
}

impl Report {
    /// Runs the command.
    pub(super) fn run(self) -> anyhow::Result<()> {
        let Self { operator, action } = self;
        let Action::Overdue { partner } = action;
        operator.work(async |session| {
            let mut tx = session.begin().await?;
            let partner = match &partner {
                Some(partner) => Some(session.partner(&mut tx, partner).await?.id),
                None => None,
            };
            let overdue =
                orders::store::list_overdue(&mut tx, partner, OVERDUE, false, ORDERS_MAX).await?;
            overdue.iter().try_for_each(|it| match session.json {
                true => print(serde_json::to_string(it)?),
                false => print(format_args!(
                    "{}  {}  {}  {} days, since {}  {}  {}",
                    it.order,
                    it.vehicle,
                    it.vin.as_deref().unwrap_or("-"),
                    it.days,
                    it.shipping_since,
                    it.partner_name,
                    it.contact.as_deref().unwrap_or("-"),
                )),
            })
        })
    }
}

/// The arguments of `lmn audit`.
#[derive(Debug, clap::Args)]
pub(super) struct Audit {
    #[command(flatten)]
    operator: OperatorArgs,
    /// List only the changes of the partner with this id or name.
    #[arg(long)]
    partner: Option<String>,
    /// List only changes since this time, such as 2026-04-20T13:00:00+09:00, or within this duration, such as 24h.
    #[arg(long, value_name = "TIME")]
    since: Option<Since>,
    /// The maximum number of changes; the latest ones are listed.
    #[arg(long, value_name = "N", default_value_t = 1_000, value_parser = clap::value_parser!(u32).range(1..=1_000_000))]
    limit: u32,
}

impl Audit {
    /// Runs the command. It prints the latest changes, the oldest of them first.
    pub(super) fn run(self) -> anyhow::Result<()> {
        self.operator.work(async |session| {
            let mut tx = session.begin().await?;
            let partner = match &self.partner {
                Some(partner) => Some(session.partner(&mut tx, partner).await?.id),
                None => None,
            };
            let now = clock::real_now(&mut tx).await?;
            let since = self.since.map(|it| it.instant(now));
            let limit = i64::from(self.limit);
            let mut entries =
                audit::store::list_after(&mut tx, partner, since, None, limit + 1).await?;
            if i64::try_from(entries.len())? > limit {
                entries.pop();
                say(format_args!(
                    "There are older changes; use --limit to list more than {limit}."
                ));
            }
            let mut oldest_first = entries.iter().rev();
            oldest_first.try_for_each(|entry| match session.json {
                true => print(serde_json::to_string(&AuditView::from(entry.clone()))?),
                false => print(entry_line(entry)),
            })
        })
    }
}

fn entry_line(entry: &Entry) -> String {
    let nothing = || "-".to_owned();
    let at = Timestamp::kst(entry.recorded_at);
    let partner = entry.partner.clone().unwrap_or_else(nothing);
    let request = entry.request_id.clone().unwrap_or_else(nothing);
    let Entry {
        actor,
        action,
        subject,
        details,
        ..
    } = entry;
    format!("{at}  {actor}  {action}  {subject}  {partner}  {request}  {details}")
}
