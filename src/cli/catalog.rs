//! `lmn catalog`: imports and changes vehicles, and prints demo catalogues.

use std::{
    io::{self, BufWriter, Write},
    path::PathBuf,
};

use chrono::{NaiveDate, Utc};
use chrono_tz::Asia::Seoul;
use clap::Subcommand;

use super::{
    arguments::{any_of, usd},
    import::Running,
    import_file::{Rejects, is_regular, open},
    operator::OperatorArgs,
    order::print_affected,
    written,
};
use crate::{
    catalogue_import::effects::VehicleChange,
    values::{id::VehicleId, money::Usd},
    vehicles::model::Source,
};

/// The default of the largest part of a source, in percent, that a snapshot may withdraw.
const WITHDRAWN_PERCENT: u8 = 10;
/// By how much the priority of an import is lower than that of a server on the same machine, as a nice value.
const IMPORT_NICE: i32 = 10;

/// The arguments of `lmn catalog`.
#[derive(Debug, clap::Args)]
pub(super) struct Catalog {
    #[command(flatten)]
    operator: OperatorArgs,
    #[command(subcommand)]
    action: Action,
}

#[derive(Debug, Subcommand)]
enum Action {
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

impl Catalog {
    /// Runs the command.
    pub(super) fn run(self) -> anyhow::Result<()> {
        let Self { operator, action } = self;
        match action {
            Action::Demo(demo) => demo.print(),
            Action::Price { vehicle, price } => {
                change(&operator, &vehicle, VehicleChange::Reprice(price))
            }
            Action::Withdraw { vehicle } => change(&operator, &vehicle, VehicleChange::Withdraw),
            Action::Restore { vehicle } => change(&operator, &vehicle, VehicleChange::Restore),
            Action::Import(import) => import.run(&operator),
        }
    }
}

/// Changes a vehicle, and prints the orders that this changed.
fn change(
    operator: &OperatorArgs,
    vehicle: &VehicleId,
    change: VehicleChange,
) -> anyhow::Result<()> {
    operator.work(async |session| {
        let (database, actor) = (&session.database, &session.actor);
        print_affected(session, &change.commit(database, actor, vehicle).await?)
    })
}

/// The arguments of `lmn catalog import`.
#[derive(Debug, clap::Args)]
struct Import {
    /// The file to import; `-` is standard input.
    file: PathBuf,
    /// Sources of which the file lists all vehicles; their other vehicles are withdrawn.
    ///
    /// A file that omits more than a tenth of the vehicles of a source was probably truncated: the import fails and
    /// withdraws no vehicle. A regular file is read twice, so that it is refused before anything is changed. Vehicles
    /// from standard input and pipes are imported while they are read, and have been imported when the import fails.
    #[arg(long, value_name = "SOURCE,…", value_delimiter = ',', value_parser = any_of::<Source>())]
    snapshot: Vec<Source>,
    /// The largest part of each source, in percent of its listed vehicles, that a snapshot may withdraw.
    #[arg(long, value_name = "PERCENT", default_value_t = WITHDRAWN_PERCENT, requires = "snapshot",
          value_parser = clap::value_parser!(u8).range(0..=100))]
    withdraw_up_to: u8,
    /// Write bad lines to this file, as JSON with the line number and all reasons.
    #[arg(long, value_name = "FILE")]
    rejects: Option<PathBuf>,
}

impl Import {
    /// Imports the file.
    fn run(mut self, operator: &OperatorArgs) -> anyhow::Result<()> {
        // If it is refused, the priority stays as it is.
        let _ = rustix::process::nice(IMPORT_NICE);
        // Imports that take snapshots of several sources lock them in the same order.
        self.snapshot.sort_unstable();
        self.snapshot.dedup();
        let input = open(&self.file)?;
        let is_checked_first = !self.snapshot.is_empty() && is_regular(&self.file);
        let to_check = is_checked_first.then(|| open(&self.file)).transpose()?;
        let rejects = self.rejects.as_deref().map(Rejects::create).transpose()?;
        operator.work_alone(async |session| {
            let mut running = Running::new(session, &self.snapshot, self.withdraw_up_to);
            running.prepare().await?;
            if let Some(input) = to_check {
                running.check(input).await?;
            }
            let name = self.file.display().to_string();
            running.import(&name, input, rejects).await
        })
    }
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

impl Demo {
    fn print(&self) -> anyhow::Result<()> {
        let today = self.today.unwrap_or_else(today);
        let mut out = BufWriter::new(io::stdout().lock());
        for vehicle in demo_catalogue::vehicles(self.seed, self.vehicles, today) {
            let line = serde_json::to_string(&vehicle)?;
            written(writeln!(out, "{line}"))?;
        }
        written(out.flush())
    }
}

#[expect(
    clippy::disallowed_methods,
    reason = "there is no database to ask, and what is printed is made up"
)]
fn today() -> NaiveDate {
    Utc::now().with_timezone(&Seoul).date_naive()
}
