//! `lmn catalog`: the cars, from a file or made up.

use std::io::{self, BufWriter, Write};

use anyhow::Context;
use chrono::{NaiveDate, Utc};
use chrono_tz::Asia::Seoul;
use clap::Subcommand;

use super::{
    auction::tell,
    import::Import,
    operator::{Desk, Session},
    step::usd,
};
use crate::{
    id::VehicleId,
    money::Usd,
    orders::operator,
    stamp::Stamp,
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
    desk: Desk,
    #[command(subcommand)]
    what: What,
}

#[derive(Debug, Subcommand)]
enum What {
    /// Add and change cars as a file of them says: NDJSON of `Vehicle`, one car a line.
    Import(Import),
    /// List a car at another price, and tell those who wait for it.
    Price {
        /// The car's id.
        vehicle: VehicleId,
        /// The price, in whole US dollars.
        #[arg(value_parser = usd)]
        price: Usd,
    },
    /// Take a car off the catalogue, and its orders off the car.
    Withdraw {
        /// The car's id.
        vehicle: VehicleId,
    },
    /// Put a car back that was taken off the catalogue; until then no file of its source does, but for a later auction.
    Restore {
        /// The car's id.
        vehicle: VehicleId,
    },
    /// Print a demo catalogue as `import` reads it. Needs no database.
    Demo(Demo),
}

#[derive(Debug, clap::Args)]
struct Demo {
    /// How many cars.
    #[arg(long, value_name = "N")]
    vehicles: usize,
    /// The same seed and day make the same cars.
    #[arg(long, value_name = "S", default_value_t = 1)]
    seed: u64,
    /// The day in Korea on which the catalogue looks like this; without it, today.
    #[arg(long, value_name = "DATE")]
    today: Option<NaiveDate>,
}

impl Catalog {
    /// Does it.
    pub(super) fn run(self) -> anyhow::Result<()> {
        let Self { desk, what } = self;
        match what {
            What::Demo(demo) => demo.print(),
            What::Price { vehicle, price } => desk.work(async |session| {
                let Session {
                    database, author, ..
                } = session;
                tell(
                    session,
                    &operator::reprice(database, author, &vehicle, price).await?,
                )
            }),
            What::Withdraw { vehicle } => desk.work(async |session| {
                let Session {
                    database, author, ..
                } = session;
                tell(
                    session,
                    &operator::withdraw(database, author, &vehicle).await?,
                )
            }),
            What::Restore { vehicle } => desk.work(async |session| {
                let Session {
                    database, author, ..
                } = session;
                tell(
                    session,
                    &operator::restore(database, author, &vehicle).await?,
                )
            }),
            What::Import(import) => import.run(&desk),
        }
    }
}

impl Demo {
    fn print(&self) -> anyhow::Result<()> {
        let today = self.today.unwrap_or_else(today);
        let mut out = BufWriter::new(io::stdout().lock());
        for listing in demo::cars(self.seed, self.vehicles, today) {
            let listed_at = listing.listed_at;
            let price = PricePoint {
                listing_usd: listing.listing_usd,
                recorded_at: Stamp::kst(listed_at),
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

/// Says how a failed write ends the command; a reader that has seen enough is none of our business.
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
