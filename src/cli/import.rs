//! `lmn catalog import`: the cars of a file, and all that follows from them.

use std::{
    fs::File,
    io::{self, BufRead, BufReader, IsTerminal, Write},
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

use anyhow::{Context, bail};
use chrono::{DateTime, Utc};
use serde::Serialize;
use serde_json::json;

use super::{
    listings::{self, End, Part, Rejects},
    operator::{Desk, Session},
    print, say,
};
use crate::{
    audit::{self, store::Change},
    database,
    orders::progress::ProgressError,
    vehicles::{
        import::{
            batch::{Batch, Written},
            snapshot,
        },
        model::Source,
        store,
    },
    word::Word,
};

/// How often a batch is tried that meets others: it waits for a lock for `database.lock_seconds` each time.
const TRIES_MAX: u32 = 5;
/// How often a person is shown how far it is.
const PROGRESS: Duration = Duration::from_millis(200);
/// Bytes of a file that are read at once.
const READ_BYTES: usize = 256 * 1024;
/// Characters of a file's name that the audit log keeps.
const NAME_CHARACTERS_MAX: usize = 256;

/// The arguments of `lmn catalog import`.
#[derive(Debug, clap::Args)]
pub(super) struct Import {
    /// The file; `-` is standard input.
    file: PathBuf,
    /// Sources of which the file lists all cars: those that it leaves out are taken off the catalogue.
    #[arg(long, value_name = "SOURCE,…", value_delimiter = ',', value_parser = source)]
    snapshot: Vec<Source>,
    /// Keep bad lines in this file: JSON, each with its number and all reasons.
    #[arg(long, value_name = "FILE")]
    rejects: Option<PathBuf>,
}

fn source(text: &str) -> Result<Source, String> {
    Source::parse(text).ok_or_else(|| {
        let sources: Vec<_> = Source::ALL.iter().map(|it| it.as_str()).collect();
        format!("a source is one of {}", sources.join(", "))
    })
}

/// What became of the lines of a file.
#[derive(Debug, Default, Serialize)]
struct Summary {
    read: u64,
    inserted: u64,
    updated: u64,
    unchanged: u64,
    held_back: u64,
    withdrawn: u64,
    rejected: u64,
}

impl Import {
    /// Imports the file.
    pub(super) fn run(mut self, desk: &Desk) -> anyhow::Result<()> {
        // Two who take several snapshots wait for each other in one order.
        self.snapshot.sort_unstable();
        self.snapshot.dedup();
        let input = open(&self.file)?;
        let rejects = self.rejects.as_deref().map(Rejects::create).transpose()?;
        desk.work_alone(async |session| {
            let mut running = Running {
                session,
                sources: &self.snapshot,
                summary: Summary::default(),
                progress: Progress::begin(),
            };
            let name = self.file.display().to_string();
            let name: String = name.chars().take(NAME_CHARACTERS_MAX).collect();
            running.import(&name, input, rejects).await
        })
    }
}

fn open(file: &Path) -> anyhow::Result<Box<dyn BufRead + Send>> {
    if file.as_os_str() == "-" {
        return Ok(Box::new(BufReader::with_capacity(READ_BYTES, io::stdin())));
    }
    let opened = File::open(file).with_context(|| format!("cannot open {}", file.display()))?;
    Ok(Box::new(BufReader::with_capacity(READ_BYTES, opened)))
}

/// An import that is going on.
struct Running<'a> {
    session: &'a Session,
    /// The sources of a snapshot; none if it is not one.
    sources: &'a [Source],
    summary: Summary,
    progress: Progress,
}

impl Running<'_> {
    async fn import(
        &mut self,
        name: &str,
        input: Box<dyn BufRead + Send>,
        rejects: Option<Rejects>,
    ) -> anyhow::Result<()> {
        self.prepare().await?;
        let begun_at = self.record("catalog.import_started", name).await?;
        let mut parts = listings::read(input, rejects, begun_at);
        let end = loop {
            match parts.recv().await.context("reading the file broke off")?? {
                Part::Batch(batch, read) => {
                    self.write(&batch).await?;
                    self.progress.show(read, &self.summary);
                }
                Part::End(end) => break end,
            }
        };
        (self.summary.read, self.summary.rejected) = (end.read, end.rejected);
        let doubt = self.doubt(&end);
        if doubt.is_none() && !self.sources.is_empty() {
            self.withdraw_unlisted(begun_at).await?;
        }
        self.progress.clear();
        self.record("catalog.imported", name).await?;
        self.summary.tell(self.session.json, doubt)
    }

    /// Makes what the session needs, and waits until nobody else takes a snapshot of the same sources.
    async fn prepare(&self) -> anyhow::Result<()> {
        let mut tx = self.session.begin().await?;
        store::make_tables(&mut tx).await?;
        if !self.sources.is_empty() {
            store::make_snapshot(&mut tx).await?;
        }
        for source in self.sources {
            store::take_turn(&mut tx, *source).await?;
        }
        Ok(tx.commit().await?)
    }

    /// Writes a batch in one transaction, and tries again when it meets others.
    async fn write(&mut self, batch: &Batch) -> anyhow::Result<()> {
        let written = self.retry(async || {
            let mut tx = self.session.database.begin().await?;
            let is_snapshot = !self.sources.is_empty();
            let author = &self.session.author;
            let written = batch.write(&mut tx, author, is_snapshot).await?;
            tx.commit().await?;
            Ok(written)
        });
        let Written {
            inserted,
            updated,
            unchanged,
            held_back,
        } = written.await?;
        self.summary.inserted += inserted;
        self.summary.updated += updated;
        self.summary.unchanged += unchanged;
        self.summary.held_back += held_back;
        Ok(())
    }

    /// Takes off what the file has left out, batch by batch.
    async fn withdraw_unlisted(&mut self, begun_at: DateTime<Utc>) -> anyhow::Result<()> {
        let mut tx = self.session.begin().await?;
        store::find_unlisted(&mut tx, self.sources, begun_at).await?;
        tx.commit().await?;
        let mut after = String::new();
        loop {
            let next = self.retry(async || {
                let mut tx = self.session.database.begin().await?;
                let author = &self.session.author;
                let next = snapshot::withdraw_next(&mut tx, author, &after, begun_at).await?;
                tx.commit().await?;
                Ok(next)
            });
            let Some((withdrawn, last)) = next.await? else {
                return Ok(());
            };
            self.summary.withdrawn += withdrawn;
            after = last.to_string();
        }
    }

    async fn retry<T>(
        &self,
        work: impl AsyncFn() -> Result<T, ProgressError>,
    ) -> anyhow::Result<T> {
        let mut tries = 1;
        loop {
            match work().await {
                Err(ProgressError::Database(error))
                    if tries < TRIES_MAX && database::is_collision(&error) =>
                {
                    tries += 1;
                }
                done => return done.with_context(|| self.stopped()),
            }
        }
    }

    fn stopped(&self) -> String {
        format!(
            "stopped after {} cars, which are in the catalogue; run it again",
            self.summary.cars()
        )
    }

    /// Says why nobody knows what a file leaves out, if so.
    fn doubt(&self, end: &End) -> Option<String> {
        if self.sources.is_empty() {
            return None;
        }
        match end.nameless {
            Some(line) => Some(format!("line {line} does not say which car it lists")),
            None if end.read == 0 => Some("the file lists nothing at all".to_owned()),
            None => None,
        }
    }

    /// Leaves a row in the audit log, and returns its time: an import that has a beginning and no end was cut off.
    async fn record(&self, action: &str, file: &str) -> anyhow::Result<DateTime<Utc>> {
        let mut tx = self.session.begin().await?;
        // Whatever is written under an earlier time is there by now.
        let now = store::lock_listing(&mut tx).await?;
        let change = Change {
            author: &self.session.author,
            partner: None,
            action,
            subject: file,
            details: json!(self.summary),
        };
        audit::store::record(&mut tx, &change, now).await?;
        // And with this row all batches before it.
        store::commit_on_disk(&mut tx).await?;
        tx.commit().await?;
        Ok(now)
    }
}

/// How far it is, for a person at a terminal.
struct Progress {
    is_wanted: bool,
    begun: Instant,
    shown: Option<Instant>,
}

impl Progress {
    fn begin() -> Self {
        Self {
            is_wanted: io::stderr().is_terminal(),
            begun: Instant::now(),
            shown: None,
        }
    }

    fn show(&mut self, lines: u64, summary: &Summary) {
        let is_due = self.shown.is_none_or(|it| it.elapsed() >= PROGRESS);
        if !self.is_wanted || !is_due {
            return;
        }
        self.shown = Some(Instant::now());
        let cars = summary.cars();
        let rate = u128::from(cars) * 1_000 / self.begun.elapsed().as_millis().max(1);
        // A terminal that is gone is no reason to stop.
        let _ = write!(
            io::stderr(),
            "\x1b[2K{lines} lines, {cars} cars, {rate} a second\r"
        );
    }

    /// Leaves the terminal to what is said next.
    fn clear(&self) {
        if self.is_wanted {
            let _ = write!(io::stderr(), "\x1b[2K");
        }
    }
}

impl Summary {
    /// Returns how many cars of the file are in the catalogue, or were kept off it.
    fn cars(&self) -> u64 {
        self.inserted + self.updated + self.unchanged + self.held_back
    }

    fn tell(&self, as_json: bool, doubt: Option<String>) -> anyhow::Result<()> {
        let Self {
            read,
            inserted,
            updated,
            unchanged,
            held_back,
            withdrawn,
            rejected,
        } = self;
        if as_json {
            print(json!(self))?;
        } else {
            say(format_args!(
                "{read} read: {inserted} inserted, {updated} updated, {unchanged} unchanged, \
                 {held_back} held back, {rejected} rejected; {withdrawn} withdrawn"
            ));
        }
        match doubt {
            Some(doubt) => {
                bail!("{doubt}, so no car was withdrawn; {rejected} of {read} lines were rejected")
            }
            None if *rejected > 0 => bail!("{rejected} of {read} lines were rejected"),
            None => Ok(()),
        }
    }
}
