//! The import of a catalogue file: writes its vehicles, withdraws the vehicles that a snapshot omits, and prints a
//! summary.

use anyhow::{Context, bail};
use chrono::{DateTime, Utc};
use serde::Serialize;
use serde_json::json;

use super::{
    import_file::{self, End, Input, Lines, Part, Rejects},
    operator::Session,
    print_outcome,
    progress::{Position, Progress},
    say,
};
use crate::{
    audit::{self, store::Change},
    catalogue_import::{
        batch::Batch,
        snapshot::{self, WithdrawalLimit},
        store,
    },
    database::{self, clock},
    orders::transitions::TransitionFailed,
    values::{id::VehicleId, string_enum::StringEnum},
    vehicles::model::Source,
};

/// Number of attempts to write a batch that conflicts with other transactions. Each waits for a lock for at most
/// `database.lock_seconds`.
const TRIES_MAX: u32 = 5;
/// The largest length of a file name in the audit log, in characters.
const NAME_CHARACTERS_MAX: usize = 256;

/// A running import.
pub(super) struct Running<'a> {
    session: &'a Session,
    /// The sources of a snapshot; empty if the file is not a snapshot.
    sources: &'a [Source],
    /// The part of each source that may be withdrawn, in percent.
    percent: u8,
    summary: Summary,
    progress: Progress,
}

impl<'a> Running<'a> {
    /// Starts an import of a file; `sources` are those of a snapshot, of which it may withdraw `percent` each.
    pub(super) fn new(session: &'a Session, sources: &'a [Source], percent: u8) -> Self {
        Self {
            session,
            sources,
            percent,
            summary: Summary::default(),
            progress: Progress::begin(Position::default()),
        }
    }

    /// Imports the file, and withdraws the vehicles that a snapshot omits.
    pub(super) async fn import(
        &mut self,
        name: &str,
        input: Input,
        rejects: Option<Rejects>,
    ) -> anyhow::Result<()> {
        let name: String = name.chars().take(NAME_CHARACTERS_MAX).collect();
        let begun_at = self.record("catalog.import_started", &name).await?;
        self.progress = Progress::begin(input.position);
        let mut parts = import_file::read(input.reader, rejects, begun_at);
        let end = loop {
            match parts
                .recv()
                .await
                .context("the file reader stopped unexpectedly")??
            {
                Part::Batch(batch, read) => {
                    self.write(&batch).await?;
                    let vehicles = self.summary.vehicles();
                    let counts = format_args!("{read} lines, {vehicles} vehicles");
                    self.progress.show(counts, vehicles);
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
        self.record("catalog.imported", &name).await?;
        self.summary.print(self.session.json, doubt)
    }

    /// Creates the temporary tables, and locks the snapshots of the sources; waits while another import holds a lock.
    pub(super) async fn prepare(&self) -> anyhow::Result<()> {
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
    pub(super) async fn check(&mut self, input: Input) -> anyhow::Result<()> {
        self.progress = Progress::begin(input.position);
        let mut lines = Lines::of(input.reader);
        let mut checked = 0;
        loop {
            let ids = import_file::read_ids(&mut lines)?;
            if ids.is_empty() {
                break;
            }
            checked += u64::try_from(ids.len())?;
            let ids: Vec<_> = ids.iter().map(VehicleId::as_str).collect();
            let mut tx = self.session.begin().await?;
            store::note_listed(&mut tx, &ids).await?;
            tx.commit().await?;
            let counts = format_args!("checking first: {checked} vehicles");
            self.progress.show(counts, checked);
        }
        self.progress.clear();
        let mut tx = self.session.begin().await?;
        let now = clock::real_now(&mut tx).await?;
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
        let written = written.await?;
        self.summary.inserted += written.inserted;
        self.summary.updated += written.updated;
        self.summary.unchanged += written.unchanged;
        self.summary.held_back += written.held_back;
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
            let sources = excess.iter().map(|it| {
                let (unlisted, listed) = (it.unlisted, it.listed_before);
                let source = it.source.as_str();
                format!("{unlisted} of the {listed} listed vehicles of {source}")
            });
            let sources: Vec<_> = sources.collect();
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

    /// Runs a transaction, and retries if it conflicts with others.
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

/// The numbers of lines and vehicles of an import by their result.
#[derive(Debug, Default, Serialize)]
struct Summary {
    /// Lines that are not blank.
    read: u64,
    /// Vehicles that were not in the catalogue.
    inserted: u64,
    /// Vehicles that changed or were listed again.
    updated: u64,
    /// Vehicles that did not change.
    unchanged: u64,
    /// Vehicles that stay withdrawn although the file lists them.
    held_back: u64,
    /// Vehicles that were withdrawn because the file does not list them.
    withdrawn: u64,
    /// Lines that are not valid.
    rejected: u64,
}

impl Summary {
    /// Returns the number of vehicles of the file that are in the catalogue or were held back.
    fn vehicles(&self) -> u64 {
        self.inserted + self.updated + self.unchanged + self.held_back
    }

    /// Prints the summary. Fails if lines were rejected, or if a `doubt` prevented vehicles from being withdrawn.
    fn print(&self, as_json: bool, doubt: Option<String>) -> anyhow::Result<()> {
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
            print_outcome(json!(self))?;
        } else {
            say(format_args!(
                "{read} read: {inserted} inserted, {updated} updated, {unchanged} unchanged, \
                 {held_back} held back, {rejected} rejected; {withdrawn} withdrawn"
            ));
        }
        match doubt {
            Some(doubt) => {
                bail!(
                    "{doubt}, so no vehicle was withdrawn; {rejected} of {read} lines were rejected"
                )
            }
            None if *rejected > 0 => bail!("{rejected} of {read} lines were rejected"),
            None => Ok(()),
        }
    }
}
