//! `lmn catalog`: imports and changes vehicles, and prints demo catalogues.

use std::io::{self, BufWriter, Write};

use anyhow::Context;
use chrono::{NaiveDate, Utc};
use chrono_tz::Asia::Seoul;
use clap::Subcommand;

use super::{
    auction::tell,
    import::Import,
    operator::{OperatorArgs, Session},
    step::usd,
};
use crate::{
    orders::operator,
    values::{id::VehicleId, money::Usd, timestamp::Timestamp},
    vehicles::{
        demo,
        model::{PricePoint, Vehicle},
        view::VehicleView,
    },
};

/// The arguments of `lmn catalog`.
#[derive(Debug, clap::Args)]
pub(super) struct Catalog {
    #[command(flatten)]
    operator: OperatorArgs,
    #[command(subcommand)]
    what: What,
}

#[derive(Debug, Subcommand)]
enum What {
    /// Import vehicles from a file: NDJSON of `Vehicle`, one vehicle per line.
    Import(Import),
    /// Change the listing price of a vehicle; partners with orders in `proceed` for it get an event.
    Price {
        /// The vehicle's id.
        vehicle: VehicleId,
        /// The price, in whole US dollars.
        #[arg(value_parser = usd)]
        price: Usd,
    },
    /// Withdraw a vehicle from the catalogue and end its open orders.
    Withdraw {
        /// The vehicle's id.
        vehicle: VehicleId,
    },
    /// Restore a withdrawn vehicle. Until then, an import restores it only if it lists the vehicle for a later auction.
    Restore {
        /// The vehicle's id.
        vehicle: VehicleId,
    },
    /// Print a demo catalogue in the format that `import` reads. Needs no database.
    Demo(Demo),
}

#[derive(Debug, clap::Args)]
struct Demo {
    /// The number of vehicles.
    #[arg(long, value_name = "N")]
    vehicles: usize,
    /// The seed of the generator. The same seed and date give the same vehicles.
    #[arg(long, value_name = "S", default_value_t = 1)]
    seed: u64,
    /// The date of the catalogue, in Korean time; by default today.
    #[arg(long, value_name = "DATE")]
    today: Option<NaiveDate>,
}

impl Catalog {
    /// Runs the command.
    pub(super) fn run(self) -> anyhow::Result<()> {
        let Self { operator, what } = self;
        match what {
            What::Demo(demo) => demo.print(),
            What::Price { vehicle, price } => operator.work(async |session| {
                let Session {
                    database, actor, ..
                } = session;
                tell(
                    session,
                    &operator::reprice(database, actor, &vehicle, price).await?,
                )
            }),
            What::Withdraw { vehicle } => operator.work(async |session| {
                let Session {
                    database, actor, ..
                } = session;
                tell(
                    session,
                    &operator::withdraw(database, actor, &vehicle).await?,
                )
            }),
            What::Restore { vehicle } => operator.work(async |session| {
                let Session {
                    database, actor, ..
                } = session;
                tell(
                    session,
                    &operator::restore(database, actor, &vehicle).await?,
                )
            }),
            What::Import(import) => import.run(&operator),
        }
    }
}

impl Demo {
    fn print(&self) -> anyhow::Result<()> {
        let today = self.today.unwrap_or_else(today);
        let mut out = BufWriter::new(io::stdout().lock());
        for listing in demo::vehicles(self.seed, self.vehicles, today) {
            let listed_at = listing.listed_at;
            let price = PricePoint {
                listing_usd: listing.listing_usd,
                recorded_at: Timestamp::kst(listed_at),
            };
            let vehicle = Vehicle {
                listing,
                updated_at: listed_at,
                withdrawn_at: None,
            };
            let line = serde_json::to_string(&VehicleView::new(vehicle, vec![price]))?;
            if let Some(end) = ended(writeln!(out, "{line}")) {
                return end;
            }
        }
        ended(out.flush()).unwrap_or(Ok(()))
    }
}

/// Returns the result of the command if a write failed. A closed pipe is a success, because the reader has read enough.
fn ended(written: io::Result<()>) -> Option<anyhow::Result<()>> {
    match written {
        Ok(()) => None,
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Some(Ok(())),
        Err(error) => Some(Err(error).context("standard output cannot be written")),
    }
}

#[expect(
    clippy::disallowed_methods,
    reason = "there is no database to ask, and what is printed is made up"
)]
fn today() -> NaiveDate {
    Utc::now().with_timezone(&Seoul).date_naive()
}
