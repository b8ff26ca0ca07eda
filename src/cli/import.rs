//! `lmn catalog import`: takes over the vehicles of a file, and withdraws those that a snapshot leaves out.

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
    orders::progress::ProgressError,
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

/// How often a batch is tried that meets others: it waits for a lock for `database.lock_seconds` each time.
const TRIES_MAX: u32 = 5;
/// The largest part of a source, in percent, that a snapshot withdraws unless it is allowed more.
const WITHDRAWN_PERCENT: u8 = 10;
/// Bytes of a file that are read at once.
const READ_BYTES: usize = 256 * 1024;
/// Characters of a file's name that the audit log keeps.
const NAME_CHARACTERS_MAX: usize = 256;

/// The arguments of `lmn catalog import`.
#[derive(Debug, clap::Args)]
pub(super) struct Import {
    /// The file; `-` is standard input.
    file: PathBuf,
    /// Sources of which the file lists all vehicles: those that it leaves out are withdrawn.
    ///
    /// A file that leaves out more than a tenth of a source was probably cut off: the import fails, and withdraws
    /// nothing. A regular file is read twice, so that it is refused before anything is changed. Standard input and pipes
    /// are written while they are read: the vehicles that they list have been taken over by then.
    #[arg(long, value_name = "SOURCE,…", value_delimiter = ',', value_parser = source)]
    snapshot: Vec<Source>,
    /// The largest part of each source, in percent of its listed vehicles, that a snapshot may withdraw.
    #[arg(long, value_name = "PERCENT", default_value_t = WITHDRAWN_PERCENT, requires = "snapshot",
          value_parser = clap::value_parser!(u8).range(0..=100))]
    withdraw_up_to: u8,
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

impl Import {
    /// Imports the file.
    pub(super) fn run(mut self, desk: &OperatorArgs) -> anyhow::Result<()> {
        // Two who take several snapshots wait for each other in one order.
        self.snapshot.sort_unstable();
        self.snapshot.dedup();
        let input = open(&self.file)?;
        let is_checked_first = !self.snapshot.is_empty() && is_regular(&self.file);
        let to_check = is_checked_first.then(|| open(&self.file)).transpose()?;
        let rejects = self.rejects.as_deref().map(Rejects::create).transpose()?;
        desk.work_alone(async |session| {
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

/// Says whether a file can be read twice.
fn is_regular(file: &Path) -> bool {
    !is_stdin(file) && file.is_file()
}

/// An import that is going on.
struct Running<'a> {
    session: &'a Session,
    /// The sources of a snapshot; none if it is not one.
    sources: &'a [Source],
    /// The part of each that may be withdrawn.
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
            match parts.recv().await.context("reading the file broke off")?? {
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

    /// Makes what the session needs, and waits until nobody else takes a snapshot of the same sources.
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

    /// Reads the ids that a snapshot lists, and refuses it if it leaves out too many; nothing has been changed by then.
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

    /// Writes a batch in one transaction, and tries again when it meets others.
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

    /// Gathers the vehicles that the file leaves out, and says of which sources they are too many, if so.
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

    /// Withdraws the vehicles that the file leaves out, batch by batch, or says why none of them.
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
        work: impl AsyncFn() -> Result<T, ProgressError>,
    ) -> anyhow::Result<T> {
        let mut tries = 1;
        loop {
            match work().await {
                Err(ProgressError::Database(error))
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
            "stopped after {} vehicles, which are in the catalogue; run it again",
            self.summary.vehicles()
        )
    }

    /// Says why nobody knows what a file leaves out, if so.
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

    /// Leaves a row in the audit log, and returns its time: an import that has a beginning and no end was cut off.
    async fn record(&self, action: &str, file: &str) -> anyhow::Result<DateTime<Utc>> {
        let mut tx = self.session.begin().await?;
        // Whatever is written under an earlier time is there by now.
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
