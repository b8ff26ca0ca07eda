//! `lmn catalog`: the cars, from a file or made up.

use std::{
    collections::BTreeMap,
    fs::File,
    io::{self, BufRead, BufReader, BufWriter, IsTerminal, Write},
    path::{Path, PathBuf},
};

use anyhow::{Context, bail};
use chrono::{DateTime, NaiveDate, Utc};
use chrono_tz::Asia::Seoul;
use clap::Subcommand;
use serde::Serialize;
use serde_json::json;

use super::{
    auction::tell,
    lines::{LINE_BYTES_MAX, Line, Lines},
    operator::{Desk, Session},
    print, say,
    step::usd,
};
use crate::{
    audit::{self, store::Change},
    clock,
    id::VehicleId,
    money::Usd,
    orders::operator,
    stamp::Stamp,
    vehicles::{
        demo,
        import::model::{BadLine, read_line},
        model::{Listing, PricePoint, Vehicle},
        store,
        view::VehicleView,
    },
};

/// Bytes of lines that are held at once, beside the number of their cars.
const BATCH_BYTES_MAX: usize = 4 * 1024 * 1024;

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
    Import {
        /// The file; `-` is standard input.
        file: PathBuf,
    },
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
                let Session { pool, author, .. } = session;
                tell(
                    session,
                    &operator::reprice(pool, author, &vehicle, price).await?,
                )
            }),
            What::Withdraw { vehicle } => desk.work(async |session| {
                let Session { pool, author, .. } = session;
                tell(session, &operator::withdraw(pool, author, &vehicle).await?)
            }),
            What::Import { file } => {
                let input: Box<dyn BufRead> = match file.as_os_str() == "-" {
                    true => Box::new(io::stdin().lock()),
                    false => Box::new(BufReader::new(
                        File::open(&file)
                            .with_context(|| format!("cannot open {}", file.display()))?,
                    )),
                };
                desk.work(async |session| import(session, &file, input).await)
            }
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

/// What became of the lines of a file.
#[derive(Debug, Default, Serialize)]
struct Summary {
    read: u64,
    inserted: u64,
    updated: u64,
    unchanged: u64,
    rejected: u64,
}

/// Lines that are written together, sorted by id; a car that comes again goes into the next batch.
struct Batch {
    listings: BTreeMap<VehicleId, Listing>,
    bytes: usize,
}

async fn import(session: &Session, file: &Path, input: Box<dyn BufRead>) -> anyhow::Result<()> {
    let mut summary = Summary::default();
    let name: String = file.display().to_string().chars().take(256).collect();
    let learned_at = record(session, "catalog.import_started", &name, &summary).await?;
    let mut lines = Lines::of(input);
    let mut batch = Batch::empty();
    let progress = io::stderr().is_terminal();
    loop {
        let next = lines.next();
        let Some((number, line)) = next.with_context(|| format!("{name} cannot be read"))? else {
            break;
        };
        summary.read += 1;
        let (listing, bytes) = match line {
            Line::Text(text) => (read_line(text, learned_at), text.len()),
            Line::TooLong => {
                let reason = format!("longer than {LINE_BYTES_MAX} bytes");
                (Err(BadLine::because(reason)), 0)
            }
        };
        match listing {
            Ok(listing) => {
                if !batch.has_room(&listing, bytes) {
                    batch.write(session, &mut summary).await?;
                    show_progress(progress, &summary);
                }
                batch.bytes += bytes;
                batch.listings.insert(listing.id.clone(), listing);
            }
            Err(bad) => {
                summary.rejected += 1;
                say(format_args!("line {number}: {bad}"));
            }
        }
    }
    batch.write(session, &mut summary).await?;
    clear_progress(progress);
    record(session, "catalog.imported", &name, &summary).await?;
    summary.tell(session.json)
}

impl Batch {
    fn empty() -> Self {
        Self {
            listings: BTreeMap::new(),
            bytes: 0,
        }
    }

    fn has_room(&self, listing: &Listing, bytes: usize) -> bool {
        self.listings.len() < store::BATCH_ROWS
            && self.bytes + bytes <= BATCH_BYTES_MAX
            && !self.listings.contains_key(&listing.id)
    }

    /// Writes the cars in one transaction, and is empty.
    async fn write(&mut self, session: &Session, summary: &mut Summary) -> anyhow::Result<()> {
        let Self { listings, .. } = std::mem::replace(self, Self::empty());
        if listings.is_empty() {
            return Ok(());
        }
        let stopped = || {
            let done = summary.inserted + summary.updated + summary.unchanged;
            format!("stopped after {done} cars, which are in the catalogue; run it again")
        };
        let write = async {
            let mut tx = session.begin().await?;
            let now = clock::store::real_now(&mut tx).await?;
            let listings: Vec<_> = listings.values().collect();
            let upserted = store::upsert(&mut tx, &listings, now).await?;
            tx.commit().await?;
            anyhow::Ok(upserted)
        };
        let upserted = write.await.with_context(stopped)?;
        summary.inserted += upserted.inserted;
        summary.updated += upserted.updated;
        let changed = upserted.inserted + upserted.updated;
        summary.unchanged += u64::try_from(listings.len())?.saturating_sub(changed);
        Ok(())
    }
}

/// Leaves a row in the audit log, and returns its time: an import that has a beginning and no end was cut off.
async fn record(
    session: &Session,
    action: &str,
    file: &str,
    summary: &Summary,
) -> anyhow::Result<DateTime<Utc>> {
    let mut tx = session.begin().await?;
    let now = clock::store::real_now(&mut tx).await?;
    let change = Change {
        author: &session.author,
        partner: None,
        action,
        subject: file,
        details: json!(summary),
    };
    audit::store::record(&mut tx, &change, now).await?;
    tx.commit().await?;
    Ok(now)
}

/// Shows a person at a terminal how far it is.
fn show_progress(is_wanted: bool, summary: &Summary) {
    if is_wanted {
        // A terminal that is gone is no reason to stop.
        let _ = write!(io::stderr(), "\x1b[2K{} lines\r", summary.read);
    }
}

/// Leaves the terminal to what is said next.
fn clear_progress(was_wanted: bool) {
    if was_wanted {
        let _ = write!(io::stderr(), "\x1b[2K");
    }
}

impl Summary {
    fn tell(&self, as_json: bool) -> anyhow::Result<()> {
        let Self {
            read,
            inserted,
            updated,
            unchanged,
            rejected,
        } = self;
        if as_json {
            print(json!(self))?;
        } else {
            say(format_args!(
                "{read} read: {inserted} inserted, {updated} updated, {unchanged} unchanged, {rejected} rejected"
            ));
        }
        if *rejected > 0 {
            bail!("{rejected} of {read} lines were rejected");
        }
        Ok(())
    }
}
