//! `lmn auction`: records auction results and reschedules auctions.

use clap::Subcommand;

use super::{
    operator::{OperatorArgs, Session},
    print, say,
    step::{fee, usd},
};
use crate::{
    orders::{
        operator::{self, AffectedOrder},
        outcome::AuctionOutcome,
    },
    values::{id::VehicleId, money::Usd, string_enum::StringEnum, timestamp::Timestamp},
};

/// The arguments of `lmn auction`.
#[derive(Debug, clap::Args)]
pub(super) struct Auction {
    #[command(flatten)]
    operator: OperatorArgs,
    #[command(subcommand)]
    what: What,
}

#[derive(Debug, Subcommand)]
enum What {
    /// Record the result of an auction and settle every order that bids on the vehicle.
    Result {
        /// The vehicle's id.
        vehicle: VehicleId,
        #[command(subcommand)]
        end: End,
    },
    /// Move an auction to another time. Orders whose new cutoff has already passed are cancelled.
    Reschedule {
        /// The vehicle's id.
        vehicle: VehicleId,
        /// The time, such as 2026-04-20T13:00:00+09:00.
        date: Timestamp,
    },
}

#[derive(Debug, Clone, Copy, Subcommand)]
enum End {
    /// LMN bought the vehicle, for the partner with the highest bid.
    Won {
        /// The price that LMN paid, in US dollars, at most that bid.
        #[arg(long, value_name = "USD", value_parser = usd)]
        price: Usd,
        /// The fee of the auction house, in US dollars.
        #[arg(long, value_name = "USD", value_parser = fee)]
        fee: i32,
    },
    /// A bidder outside LMN bid more.
    Outbid,
    /// The auction was called off.
    Cancelled,
    /// The seller took the vehicle back.
    Withdrawn,
}

impl From<End> for AuctionOutcome {
    fn from(end: End) -> Self {
        match end {
            End::Won { price, fee } => Self::Won { price, fee },
            End::Outbid => Self::Outbid,
            End::Cancelled => Self::Cancelled,
            End::Withdrawn => Self::Withdrawn,
        }
    }
}

impl Auction {
    /// Runs the command.
    pub(super) fn run(self) -> anyhow::Result<()> {
        let Self { operator, what } = self;
        operator.work(async |session| {
            let Session {
                database, actor, ..
            } = session;
            let affected = match &what {
                What::Result { vehicle, end } => {
                    operator::settle(database, actor, vehicle, (*end).into()).await?
                }
                What::Reschedule { vehicle, date } => {
                    operator::reschedule(database, actor, vehicle, date.instant()).await?
                }
            };
            tell(session, &affected)
        })
    }
}

/// Prints the orders that a change affected, one per line.
pub(super) fn tell(session: &Session, affected: &[AffectedOrder]) -> anyhow::Result<()> {
    if affected.is_empty() {
        say("No order is affected.");
    }
    affected.iter().try_for_each(|it| match session.json {
        true => print(serde_json::to_string(it)?),
        false => {
            let status = it.status.as_str();
            print(format_args!(
                "{}  {status}  partner {}",
                it.order_id, it.partner_id
            ))
        }
    })
}
