//! `lmn auction`: shows the bid sheet, begins to buy the vehicles of an auction day, records auction results and reschedules auctions.

use std::{
    io::Read,
    path::{Path, PathBuf},
};

use anyhow::{Context, bail};
use chrono::NaiveDate;
use clap::Subcommand;

use super::{
    arguments::{any_of, fee, usd},
    import_file::open,
    operator::{OperatorArgs, Session},
    order::print_affected,
    print_outcome,
    report::Sheet,
    say,
};
use crate::{
    catalogue_import::effects::VehicleChange,
    operator::{
        bid_sheet::acquire,
        rows::{RowOutcome, RowReply, read_csv, record_all},
        vehicle_changes::ResultRow,
    },
    orders::{bulk, model::AuctionOutcome, operator},
    values::{id::VehicleId, money::Usd, string_enum::StringEnum, timestamp::Timestamp},
    vehicles::model::Source,
};

/// The largest size of a file of results, in bytes.
const FILE_BYTES_MAX: u64 = 1024 * 1024;

/// The arguments of `lmn auction`.
#[derive(Debug, clap::Args)]
pub(super) struct Auction {
    #[command(flatten)]
    operator: OperatorArgs,
    #[command(subcommand)]
    action: AuctionAction,
}

#[derive(Debug, Subcommand)]
enum AuctionAction {
    /// Show what to bid on at the auctions of a day: vehicle, orders, highest and second bid, and who leads.
    Sheet(Sheet),
    /// Begin to buy the vehicles of an auction day: orders whose cutoff has passed become `acquiring`.
    Acquire {
        /// The day of the auctions in Korea, such as 2026-04-20.
        date: NaiveDate,
        /// The source of the vehicles.
        #[arg(long, value_parser = any_of::<Source>())]
        source: Option<Source>,
    },
    /// Record the results of up to 500 auctions from a CSV file with the columns vehicle_id,result,price_usd,fee_usd.
    Results {
        /// The file, or - for standard input.
        file: PathBuf,
    },
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
        let Self { operator, action } = self;
        operator.work(async |session| {
            let Session {
                database, actor, ..
            } = session;
            let affected = match &action {
                AuctionAction::Sheet(sheet) => return sheet.print(session).await,
                AuctionAction::Acquire { date, source } => {
                    let mut connection = database.acquire().await?;
                    let vehicles = bulk::list_auctioned(&mut connection, *date, *source).await?;
                    drop(connection);
                    let ids = vehicles.iter().map(ToString::to_string).collect();
                    return print_rows(session, &acquire(database, actor, ids).await?);
                }
                AuctionAction::Results { file } => {
                    let rows = read_csv::<ResultRow>(&read(file)?);
                    let rows =
                        rows.map_err(|fault| anyhow::Error::msg(fault.at("file", None).message))?;
                    return print_rows(session, &record_all(database, actor, rows).await?);
                }
                AuctionAction::Result { vehicle, end } => {
                    operator::settle(database, actor, vehicle, (*end).into()).await?
                }
                AuctionAction::Reschedule { vehicle, date } => {
                    let reschedule = VehicleChange::Reschedule(date.instant());
                    reschedule.commit(database, actor, vehicle).await?
                }
            };
            print_affected(session, &affected)
        })
    }
}

/// Reads a file of results.
fn read(file: &Path) -> anyhow::Result<String> {
    let mut text = String::new();
    let mut bounded = open(file)?.reader.take(FILE_BYTES_MAX + 1);
    let length = bounded.read_to_string(&mut text);
    if length.context("the file cannot be read as UTF-8")? as u64 > FILE_BYTES_MAX {
        bail!("the file is larger than {FILE_BYTES_MAX} bytes");
    }
    Ok(text)
}

/// Prints the outcomes of rows, one per line. Fails if a row was refused.
fn print_rows(session: &Session, rows: &[RowReply]) -> anyhow::Result<()> {
    if rows.is_empty() {
        say("No vehicle with orders has its auction on this day.");
    }
    for row in rows {
        if session.json {
            print_outcome(serde_json::to_string(row)?)?;
            continue;
        }
        let id = row.id.as_deref().unwrap_or("-");
        let reason = row.error.as_ref().map_or(String::new(), |it| it.summary());
        let line = format!("{:<10} {id}  {reason}", row.outcome.as_str());
        print_outcome(line.trim_end())?;
    }
    let refused = rows.iter().filter(|it| it.outcome == RowOutcome::Refused);
    match refused.count() {
        0 => Ok(()),
        count => bail!("{count} of {} rows were refused", rows.len()),
    }
}
