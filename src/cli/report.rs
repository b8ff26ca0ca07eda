//! Lists for LMN's people: `lmn order list` of the orders of all partners, `lmn auction sheet` of what to bid on at the
//! auctions of a day, `lmn report` of orders that need attention, `lmn audit` of the changes in the audit log.

use chrono::NaiveDate;
use clap::Subcommand;

use super::{
    arguments::{Since, any_of},
    operator::{OperatorArgs, Session},
    print, say,
};
use crate::{
    audit::{self, AuditView, Entry},
    database::clock,
    operator::{bid_sheet::read_bid_sheet, view::OperatorOrder},
    orders::{
        self,
        jobs::OVERDUE,
        state_machine::OrderStatus,
        store::{self, AllFilter, Sort},
    },
    values::timestamp::Timestamp,
    vehicles::model::Source,
};

/// The arguments of `lmn order list`.
#[derive(Debug, clap::Args)]
pub(super) struct List {
    /// List only the orders of the partner with this id or name.
    #[arg(long)]
    partner: Option<String>,
    /// List only orders with one of these statuses.
    #[arg(long, value_delimiter = ',', value_parser = any_of::<OrderStatus>())]
    status: Vec<OrderStatus>,
    /// List only orders for vehicles of these sources.
    #[arg(long, value_delimiter = ',', value_parser = any_of::<Source>())]
    source: Vec<Source>,
    /// List only orders whose auctions are on this day in Korea, such as 2026-04-20.
    #[arg(long)]
    date: Option<NaiveDate>,
    /// List only orders that have been shipping for 90 days or more.
    #[arg(long)]
    overdue: bool,
    /// The maximum number of orders; the newest ones are listed.
    #[arg(long, value_name = "N", default_value_t = 1_000, value_parser = clap::value_parser!(u32).range(1..=100_000))]
    limit: u32,
}

impl List {
    /// Prints the orders, the newest first.
    pub(super) async fn print(&self, session: &Session) -> anyhow::Result<()> {
        let mut tx = session.begin().await?;
        let partner = match &self.partner {
            Some(partner) => Some(session.partner(&mut tx, partner).await?.id),
            None => None,
        };
        let filter = AllFilter {
            partner,
            status: self.status.clone(),
            source: self.source.clone(),
            auction_date_from: self.date,
            auction_date_to: self.date,
            overdue: self.overdue.then_some(OVERDUE),
            ..AllFilter::default()
        };
        let limit = i64::from(self.limit);
        let found = store::list_all(&mut tx, &filter, Sort::CreatedDesc, None, limit + 1).await?;
        if i64::try_from(found.len())? > limit {
            say(format_args!(
                "There are older orders; use --limit to list more than {limit}."
            ));
        }
        let mut orders = found.into_iter().take(usize::try_from(limit)?);
        orders.try_for_each(|(order, _)| {
            let order = OperatorOrder::new(order)?;
            match session.json {
                true => print(serde_json::to_string(&order)?),
                false => print(order_line(&order)),
            }
        })
    }
}

fn order_line(order: &OperatorOrder) -> String {
    let [id, status, vehicle, bid, date] = [
        "id",
        "status",
        "vehicle_id",
        "max_bid_amount_usd",
        "auction_date",
    ]
    .map(|name| order.text(name));
    let partner = &order.partner.name;
    format!("{id}  {status:<9}  {date:<25}  {bid:>8}  {vehicle:<28}  {partner}")
}

/// The arguments of `lmn auction sheet`.
#[derive(Debug, clap::Args)]
pub(super) struct Sheet {
    /// The day of the auctions in Korea, such as 2026-04-20.
    date: NaiveDate,
    /// Show only vehicles of these sources.
    #[arg(long, value_delimiter = ',', value_parser = any_of::<Source>())]
    source: Vec<Source>,
}

impl Sheet {
    /// Prints the sheet.
    pub(super) async fn print(&self, session: &Session) -> anyhow::Result<()> {
        let mut tx = session.begin().await?;
        let rows = read_bid_sheet(&mut tx, self.date, &self.source).await?;
        if rows.is_empty() {
            say("No order bids at the auctions of that day.");
        }
        rows.iter().try_for_each(|row| {
            if session.json {
                return print(serde_json::to_string(row)?);
            }
            let [source, date, lot, id] =
                ["source", "auction_date", "lot_number", "id"].map(|name| row.vehicle.text(name));
            let second = row.second_bid_usd.map_or(0, |it| it.dollars());
            let (highest, orders) = (row.highest_bid_usd.dollars(), row.orders);
            let state = if row.is_closed { "closed" } else { "open" };
            let leader = &row.leader.partner.name;
            print(format_args!(
                "{source:<6}  {date}  {lot:<8}  {id:<28}  {orders:>3}  {highest:>8}  {second:>8}  {state:<6}  {leader}"
            ))
        })
    }
}

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
