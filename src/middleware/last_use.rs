//! The last use of each API key: recorded in memory without a lock, and written to the database in batches.

use std::{
    sync::{
        Arc,
        atomic::{AtomicI64, Ordering},
    },
    time::Duration,
};

use chrono::{DateTime, Utc};
use tokio::time::{MissedTickBehavior, interval};

use crate::{app::App, partners::store, telemetry::sweep::Sweep, values::id::KeyId};

/// The shortest time between two recorded uses, which limits memory writes for a busy key.
const NOTED_EVERY_MILLISECONDS: i64 = 1000;
/// The most keys that one transaction writes and locks.
const BATCH: usize = 500;

/// The last use of a key on this replica.
#[derive(Debug)]
pub(super) struct LastUse {
    key: KeyId,
    /// The last recorded use, in milliseconds since 1970; 0 for none.
    noted: AtomicI64,
    written: AtomicI64,
}

impl LastUse {
    /// Creates the value for a key without any use on this replica.
    pub(super) fn never(key: KeyId) -> Self {
        Self {
            key,
            noted: AtomicI64::new(0),
            written: AtomicI64::new(0),
        }
    }

    /// Records a use of the key.
    pub(super) fn note(&self, now: DateTime<Utc>) {
        let (now, noted) = (now.timestamp_millis(), self.noted.load(Ordering::Relaxed));
        if now - noted >= NOTED_EVERY_MILLISECONDS {
            self.noted.store(now, Ordering::Relaxed);
        }
    }

    /// Returns the last use if it has not been written yet.
    fn unwritten(&self) -> Option<i64> {
        let noted = self.noted.load(Ordering::Relaxed);
        (noted > self.written.load(Ordering::Relaxed)).then_some(noted)
    }
}

/// Writes the last uses at this interval until the replica stops, and once more then.
pub(super) async fn keep(app: App, every: Duration, known: impl Fn() -> Vec<Arc<LastUse>>) {
    let mut ticks = interval(every);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        let stops = tokio::select! {
            () = app.stopping() => true,
            _ = ticks.tick() => false,
        };
        let known = known();
        if let Err(error) = app.note(Sweep::KeyUses, write(&app, &known)).await {
            tracing::warn!(%error, "the last use of API keys could not be written; retrying");
        }
        if stops {
            return;
        }
    }
}

/// Writes the last uses that are not written yet, in the order of key ids, so that replicas do not deadlock.
async fn write(app: &App, known: &[Arc<LastUse>]) -> Result<(), sqlx::Error> {
    let unwritten = known.iter().filter_map(|it| Some((it, it.unwritten()?)));
    let mut unwritten: Vec<_> = unwritten.collect();
    unwritten.sort_unstable_by_key(|(it, _)| it.key);
    for batch in unwritten.chunks(BATCH) {
        let uses = batch
            .iter()
            .filter_map(|(it, at)| Some((it.key, DateTime::from_timestamp_millis(*at)?)));
        let (keys, times): (Vec<_>, Vec<_>) = uses.unzip();
        let mut tx = app.begin().await?;
        store::set_last_used(&mut tx, &keys, &times).await?;
        tx.commit().await?;
        for (it, at) in batch {
            it.written.store(*at, Ordering::Relaxed);
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn use_is_recorded_once_per_second_and_written_once() {
        let at = |milliseconds| DateTime::from_timestamp_millis(milliseconds).unwrap();
        let used = LastUse::never(KeyId::new(DateTime::UNIX_EPOCH));
        assert_eq!(used.unwritten(), None);
        for (now, noted) in [(5000, 5000), (5999, 5000), (6000, 6000), (3000, 6000)] {
            used.note(at(now));
            assert_eq!(used.unwritten(), Some(noted), "at {now}");
        }
        used.written.store(6000, Ordering::Relaxed);
        assert_eq!(used.unwritten(), None);
        used.note(at(7000));
        assert_eq!(used.unwritten(), Some(7000));
    }
}
