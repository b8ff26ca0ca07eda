//! [`WriteHealth`]: since when no write could begin.

use std::{
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use tokio::time::Instant;

/// Since when writes have failed to get a connection or to begin. Cheap to clone.
///
/// The heartbeat has a connection of its own, so the database can answer it while no write can begin.
#[derive(Debug, Clone, Default)]
pub(super) struct WriteHealth(Arc<Mutex<Option<Instant>>>);

impl WriteHealth {
    /// Records whether a write could begin.
    pub(super) fn record(&self, could_begin: bool) {
        let mut failing_since = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        match could_begin {
            true => *failing_since = None,
            false => {
                failing_since.get_or_insert_with(Instant::now);
            }
        }
    }

    /// Returns for how long no write could begin; zero if the last one could.
    pub(super) fn failing_for(&self) -> Duration {
        let failing_since = *self.0.lock().unwrap_or_else(PoisonError::into_inner);
        failing_since.map_or(Duration::ZERO, |it| it.elapsed())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn failure_lasts_until_a_write_can_begin() {
        let writes = WriteHealth::default();
        assert_eq!(writes.failing_for(), Duration::ZERO);
        writes.record(false);
        tokio::time::advance(Duration::from_secs(1)).await;
        writes.record(false);
        tokio::time::advance(Duration::from_secs(1)).await;
        assert_eq!(writes.failing_for(), Duration::from_secs(2));
        writes.record(true);
        assert_eq!(writes.failing_for(), Duration::ZERO);
    }
}
