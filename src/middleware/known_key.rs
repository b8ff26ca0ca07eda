//! [`KnownKey`]: an API key that this replica has found at least once, with its cached grant and its last use.

use std::sync::{
    Arc, Mutex, PoisonError,
    atomic::{AtomicI64, Ordering},
};

use chrono::{DateTime, Utc};
use tokio::time::Instant;

use crate::{
    database::Database,
    partners::{
        api_key::{Grant, KeyError},
        store,
    },
    values::{id::KeyId, rate_limit::Throttled},
};

/// The shortest time between two recorded uses, which limits memory writes for a busy key.
const NOTED_EVERY_MILLISECONDS: i64 = 1000;
/// The most keys that one transaction writes and locks.
const BATCH: usize = 500;

/// A key that was found at least once.
#[derive(Debug)]
pub(super) struct KnownKey {
    last_use: Arc<LastUse>,
    /// The grant, and the generation of the heartbeat in which it was read.
    ///
    /// It is valid while that generation lasts: when a change is announced, or the connection to the database is
    /// silent, the grant is read again. So a cached key costs no query, and a revoked key is refused everywhere
    /// within a second.
    cached: Mutex<Option<(u64, Arc<Grant>)>>,
    /// The last read: its start and its result.
    pub(super) reading: tokio::sync::Mutex<Option<(Instant, Found)>>,
}

/// The result of reading a grant, with the database's time of the read.
pub(super) type Found = Result<(Arc<Grant>, DateTime<Utc>), Arc<Miss>>;

/// The reason why a grant was not found.
#[derive(Debug, thiserror::Error)]
pub(super) enum Miss {
    #[error("the key is unknown")]
    Unknown,
    #[error("the client's address has tried too many unknown keys")]
    Throttled(Throttled),
    #[error("the key could not be looked up")]
    Database(#[from] sqlx::Error),
}

impl KnownKey {
    /// Creates the key, with a grant that was read in this generation.
    pub(super) fn new(generation: u64, grant: Arc<Grant>) -> Self {
        Self {
            last_use: Arc::new(LastUse::never(grant.key)),
            cached: Mutex::new(Some((generation, grant))),
            reading: tokio::sync::Mutex::default(),
        }
    }

    /// Returns the grant if it was read in this generation.
    pub(super) fn cached(&self, generation: u64) -> Option<Arc<Grant>> {
        let cached = self.cached.lock().unwrap_or_else(PoisonError::into_inner);
        let (read_in, grant) = cached.as_ref()?;
        (*read_in == generation).then(|| grant.clone())
    }

    /// Caches a grant that was read in this generation.
    pub(super) fn cache(&self, generation: u64, grant: Arc<Grant>) {
        let mut cached = self.cached.lock().unwrap_or_else(PoisonError::into_inner);
        *cached = Some((generation, grant));
    }

    /// Checks that the grant is in force, and records the use of the key.
    pub(super) fn accept(&self, grant: &Grant, now: DateTime<Utc>) -> Result<(), KeyError> {
        grant.check(now)?;
        self.last_use.note(now);
        Ok(())
    }

    /// Returns the last use of the key.
    pub(super) fn last_use(&self) -> Arc<LastUse> {
        self.last_use.clone()
    }
}

/// The last use of a key on this replica: recorded in memory without a lock, and written to the database in batches.
#[derive(Debug)]
pub(super) struct LastUse {
    key: KeyId,
    /// The last recorded use, in milliseconds since 1970; 0 for none.
    noted: AtomicI64,
    written: AtomicI64,
}

impl LastUse {
    /// Creates the value for a key without any use on this replica.
    fn never(key: KeyId) -> Self {
        Self {
            key,
            noted: AtomicI64::new(0),
            written: AtomicI64::new(0),
        }
    }

    /// Records a use of the key.
    fn note(&self, now: DateTime<Utc>) {
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

/// Writes the last uses that are not written yet, in the order of key ids, so that replicas do not deadlock.
pub(super) async fn write_last_uses(
    database: &Database,
    known: &[Arc<LastUse>],
) -> Result<(), sqlx::Error> {
    let unwritten = known.iter().filter_map(|it| Some((it, it.unwritten()?)));
    let mut unwritten: Vec<_> = unwritten.collect();
    unwritten.sort_unstable_by_key(|(it, _)| it.key);
    for batch in unwritten.chunks(BATCH) {
        let uses = batch
            .iter()
            .filter_map(|(it, at)| Some((it.key, DateTime::from_timestamp_millis(*at)?)));
        let (keys, times): (Vec<_>, Vec<_>) = uses.unzip();
        let mut tx = database.begin().await?;
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
