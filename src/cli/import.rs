//! `lmn catalog import`: imports the vehicles of a file, and withdraws the vehicles that a snapshot omits.

use std::{
    fs::File,
    io::{self, BufRead, BufReader},
    path::{Path, PathBuf},
};

use anyhow::{Context, bail};
use chrono::{DateTime, Utc};
use serde_json::json;

use super::{
    import_summary::{Progress, Summary},
    lines::Lines,
    listings::{self, End, Part, Rejects},
    operator::{OperatorArgs, Session},
};
use crate::{
    audit::{self, store::Change},
    clock, database,
    orders::transitions::TransitionFailed,
    values::{id::VehicleId, string_enum::StringEnum},
    vehicles::{
        import::{
            batch::{Batch, Written},
            snapshot::{self, Excess, WithdrawalLimit},
        },
        model::Source,
        store,
    },
};

/// Number of attempts to write a batch that conflicts with other transactions. Each waits for a lock for at most
/// `database.lock_seconds`.
const TRIES_MAX: u32 = 5;
/// The default of the largest part of a source, in percent, that a snapshot may withdraw.
const WITHDRAWN_PERCENT: u8 = 10;
/// Size of the read buffer, in bytes.
const READ_BYTES: usize = 256 * 1024;
/// The largest length of a file name in the audit log, in characters.
const NAME_CHARACTERS_MAX: usize = 256;

/// The arguments of `lmn catalog import`.
#[derive(Debug, clap::Args)]
pub(super) struct Import {
    /// The file to import; `-` is standard input.
    file: PathBuf,
    /// Sources of which the file lists all vehicles; their other vehicles are withdrawn.
    ///
    /// A file that omits more than a tenth of the vehicles of a source was probably truncated: the import fails and
    /// withdraws no vehicle. A regular file is read twice, so that it is refused before anything is changed. Vehicles
    /// from standard input and pipes are imported while they are read, and have been imported when the import fails.
    #[arg(long, value_name = "SOURCE,…", value_delimiter = ',', value_parser = source)]
    snapshot: Vec<Source>,
    /// The largest part of each source, in percent of its listed vehicles, that a snapshot may withdraw.
    #[arg(long, value_name = "PERCENT", default_value_t = WITHDRAWN_PERCENT, requires = "snapshot",
          value_parser = clap::value_parser!(u8).range(0..=100))]
    withdraw_up_to: u8,
    /// Write bad lines to this file, as JSON with the line number and all reasons.
    #[arg(long, value_name = "FILE")]
    rejects: Option<PathBuf>,
}

fn source(text: &str) -> Result<Source, String> {
    Source::parse(text).ok_or_else(|| {
        let sources: Vec<_> = Source::ALL.iter().map(|it| it.as_str()).collect();
        format!("a source is one of {}", sources.join(", "))
    })
}

impl Import {
    /// Imports the file.
    pub(super) fn run(mut self, operator: &OperatorArgs) -> anyhow::Result<()> {
        // Imports that take snapshots of several sources lock them in the same order.
        self.snapshot.sort_unstable();
        self.snapshot.dedup();
        let input = open(&self.file)?;
        let is_checked_first = !self.snapshot.is_empty() && is_regular(&self.file);
        let to_check = is_checked_first.then(|| open(&self.file)).transpose()?;
        let rejects = self.rejects.as_deref().map(Rejects::create).transpose()?;
        operator.work_alone(async |session| {
            let mut running = Running {
                session,
                sources: &self.snapshot,
                percent: self.withdraw_up_to,
                summary: Summary::default(),
                progress: Progress::begin(),
            };
            let name = self.file.display().to_string();
            let name: String = name.chars().take(NAME_CHARACTERS_MAX).collect();
            running.prepare().await?;
            if let Some(input) = to_check {
                running.check(input).await?;
            }
            running.import(&name, input, rejects).await
        })
    }
}

fn open(file: &Path) -> anyhow::Result<Box<dyn BufRead + Send>> {
    if is_stdin(file) {
        return Ok(Box::new(BufReader::with_capacity(READ_BYTES, io::stdin())));
    }
    let opened = File::open(file).with_context(|| format!("cannot open {}", file.display()))?;
    Ok(Box::new(BufReader::with_capacity(READ_BYTES, opened)))
}

fn is_stdin(file: &Path) -> bool {
    file.as_os_str() == "-"
}

/// Returns whether a file can be read twice.
fn is_regular(file: &Path) -> bool {
    !is_stdin(file) && file.is_file()
}

/// A running import.
struct Running<'a> {
    session: &'a Session,
    /// The sources of a snapshot; empty if the file is not a snapshot.
    sources: &'a [Source],
    /// The part of each source that may be withdrawn, in percent.
    percent: u8,
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
        let begun_at = self.record("catalog.import_started", name).await?;
        let mut parts = listings::read(input, rejects, begun_at);
        let end = loop {
            match parts
                .recv()
                .await
                .context("the file reader stopped unexpectedly")??
            {
                Part::Batch(batch, read) => {
                    self.write(&batch).await?;
                    self.progress.show(read, &self.summary);
                }
                Part::End(end) => break end,
            }
        };
        (self.summary.read, self.summary.rejected) = (end.read, end.rejected);
        let mut doubt = self.doubt(&end);
        if doubt.is_none() && !self.sources.is_empty() {
            doubt = self.withdraw_unlisted(begun_at).await?;
        }
        self.progress.clear();
        self.record("catalog.imported", name).await?;
        self.summary.tell(self.session.json, doubt)
    }

    /// Creates the temporary tables, and locks the snapshots of the sources; waits while another import holds a lock.
    async fn prepare(&self) -> anyhow::Result<()> {
        let mut tx = self.session.begin().await?;
        store::make_tables(&mut tx).await?;
        for source in self.sources {
            store::take_turn(&mut tx, *source).await?;
        }
        if !self.sources.is_empty() {
            store::make_snapshot(&mut tx, self.sources).await?;
        }
        Ok(tx.commit().await?)
    }

    /// Reads the ids that a snapshot lists, and fails if it omits too many vehicles. Changes nothing in the catalogue.
    async fn check(&self, input: Box<dyn BufRead + Send>) -> anyhow::Result<()> {
        let mut lines = Lines::of(input);
        loop {
            let ids = listings::read_ids(&mut lines)?;
            if ids.is_empty() {
                break;
            }
            let ids: Vec<_> = ids.iter().map(VehicleId::as_str).collect();
            let mut tx = self.session.begin().await?;
            store::note_listed(&mut tx, &ids).await?;
            tx.commit().await?;
        }
        let mut tx = self.session.begin().await?;
        let now = clock::store::real_now(&mut tx).await?;
        tx.commit().await?;
        match self.find_unlisted(now).await? {
            Some(too_many) => bail!("{too_many}; nothing was changed"),
            None => Ok(()),
        }
    }

    /// Writes a batch in one transaction, and retries if it conflicts with other transactions.
    async fn write(&mut self, batch: &Batch) -> anyhow::Result<()> {
        let written = self.retry(async || {
            let mut tx = self.session.database.begin().await?;
            let is_snapshot = !self.sources.is_empty();
            let actor = &self.session.actor;
            let written = batch.write(&mut tx, actor, is_snapshot).await?;
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

    /// Collects the vehicles that the file omits, and returns a message with the sources of which it omits too many.
    async fn find_unlisted(&self, begun_at: DateTime<Utc>) -> anyhow::Result<Option<String>> {
        let limit = WithdrawalLimit::percent(self.percent);
        let mut tx = self.session.begin().await?;
        let excess = snapshot::find_unlisted(&mut tx, self.sources, limit, begun_at).await?;
        tx.commit().await?;
        let percent = self.percent;
        Ok((!excess.is_empty()).then(|| {
            let sources: Vec<_> = excess.iter().map(describe).collect();
            format!(
                "the file leaves out {}, and --withdraw-up-to allows {percent} percent of a source",
                sources.join(" and ")
            )
        }))
    }

    /// Withdraws the vehicles that the file omits, in batches; returns the reason if none may be withdrawn.
    async fn withdraw_unlisted(
        &mut self,
        begun_at: DateTime<Utc>,
    ) -> anyhow::Result<Option<String>> {
        let too_many = self.find_unlisted(begun_at).await?;
        if too_many.is_some() {
            return Ok(too_many);
        }
        let mut after = String::new();
        loop {
            let next = self.retry(async || {
                let mut tx = self.session.database.begin().await?;
                let actor = &self.session.actor;
                let next = snapshot::withdraw_next(&mut tx, actor, &after, begun_at).await?;
                tx.commit().await?;
                Ok(next)
            });
            let Some((withdrawn, last)) = next.await? else {
                return Ok(None);
            };
            self.summary.withdrawn += withdrawn;
            after = last.to_string();
        }
    }

    async fn retry<T>(
        &self,
        work: impl AsyncFn() -> Result<T, TransitionFailed>,
    ) -> anyhow::Result<T> {
        let mut tries = 1;
        loop {
            match work().await {
                Err(TransitionFailed::Database(error))
                    if tries < TRIES_MAX && database::is_conflict(&error) =>
                {
                    tries += 1;
                }
                done => return done.with_context(|| self.stopped()),
            }
        }
    }

    fn stopped(&self) -> String {
        format!(
            "stopped after {} vehicles, which are in the catalogue; run the import again",
            self.summary.vehicles()
        )
    }

    /// Returns the reason why the vehicles that the file omits cannot be determined, if there is one.
    fn doubt(&self, end: &End) -> Option<String> {
        if self.sources.is_empty() {
            return None;
        }
        match end.nameless {
            Some(line) => Some(format!("line {line} does not say which vehicle it lists")),
            None if end.read == 0 => Some("the file lists nothing at all".to_owned()),
            None => None,
        }
    }

    /// Writes an entry to the audit log, and returns its time. An import with a start entry but no end entry was
    /// interrupted.
    async fn record(&self, action: &str, file: &str) -> anyhow::Result<DateTime<Utc>> {
        let mut tx = self.session.begin().await?;
        // After this lock, every listing that was written with an earlier time has been committed.
        let now = store::lock_listing(&mut tx).await?;
        let change = Change {
            actor: &self.session.actor,
            partner: None,
            action,
            subject: file,
            details: json!(self.summary),
        };
        audit::store::record(&mut tx, &change, now).await?;
        tx.commit().await?;
        Ok(now)
    }
}

fn describe(excess: &Excess) -> String {
    let Excess {
        source,
        unlisted,
        listed_before,
    } = excess;
    let source = source.as_str();
    format!("{unlisted} of the {listed_before} listed vehicles of {source}")
}
