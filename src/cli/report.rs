//! `lmn report`: lists orders that need the operator's attention.

use clap::Subcommand;

use super::{operator::OperatorArgs, print};
use crate::orders::{store, sweeps::OVERDUE};

/// The maximum number of orders in a report.
const ORDERS_MAX: i64 = 100_000;

/// The arguments of `lmn report`.
#[derive(Debug, clap::Args)]
pub(super) struct Report {
    #[command(flatten)]
    operator: OperatorArgs,
    #[command(subcommand)]
    what: What,
}

#[derive(Debug, Subcommand)]
enum What {
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
        let Self { operator, what } = self;
        let What::Overdue { partner } = what;
        operator.work(async |session| {
            let mut tx = session.begin().await?;
            let partner = match &partner {
                Some(partner) => Some(session.partner(&mut tx, partner).await?.id),
                None => None,
            };
            let overdue = store::list_overdue(&mut tx, partner, OVERDUE, false, ORDERS_MAX).await?;
            overdue.iter().try_for_each(|it| match session.json {
                true => print(serde_json::to_string(it)?),
                false => print(format_args!(
                    "{}  {} days, since {}  {}  {}",
                    it.order,
                    it.days,
                    it.shipping_since,
                    it.partner_name,
                    it.contact.as_deref().unwrap_or("-"),
                )),
            })
        })
    }
}
