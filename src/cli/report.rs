//! `lmn report`: what the operator should look after.

use clap::Subcommand;

use super::{operator::Desk, print};
use crate::orders::{store, sweeps::OVERDUE};

/// Orders of one report at most.
const ORDERS_MAX: i64 = 100_000;

/// The arguments of `lmn report`.
#[derive(Debug, clap::Args)]
pub(super) struct Report {
    #[command(flatten)]
    desk: Desk,
    #[command(subcommand)]
    what: What,
}

#[derive(Debug, Subcommand)]
enum What {
    /// List the orders that have been shipping for 90 days and more, the longest first.
    Overdue {
        /// Only this partner's: its id or name.
        #[arg(long)]
        partner: Option<String>,
    },
}

impl Report {
    /// Prints it.
    pub(super) fn run(self) -> anyhow::Result<()> {
        let Self { desk, what } = self;
        let What::Overdue { partner } = what;
        desk.work(async |session| {
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
