//! [`Lease`]: the lease of a delivery in progress, which is renewed until the attempt ends.
//!
//! So a lease can be short: when a worker dies, another one sends the event soon after.

use std::{
    sync::{Mutex, PoisonError},
    time::Duration,
};

use tokio::time::{Instant, sleep_until, timeout_at};

use super::store::{self, Due};
use crate::database::Database;

/// A lease is renewed when this part of it has passed, so that a failed renewal can be repeated.
const RENEWED_AFTER: u32 = 3;

/// The lease of a delivery in progress.
#[derive(Debug)]
pub(super) struct Lease {
    duration: Duration,
    /// A time before the last renewal, so that the lease ends no earlier in the database than here.
    begun_at: Mutex<Instant>,
}

impl Lease {
    /// Creates a lease that was begun or renewed after a time.
    pub(super) fn new(begun_at: Instant, duration: Duration) -> Self {
        Self {
            duration,
            begun_at: Mutex::new(begun_at),
        }
    }

    /// Returns whether the lease has ended: another worker may be sending the event by now.
    pub(super) fn has_ended(&self) -> bool {
        Instant::now() >= self.ends_at()
    }

    /// Renews the lease as long as this future is polled. Returns when the lease is lost or has ended.
    pub(super) async fn keep(&self, database: &Database, due: &Due) {
        let pause = self.duration / RENEWED_AFTER;
        let mut next = self.begun_at() + pause;
        loop {
            let end = self.ends_at();
            sleep_until(next.min(end)).await;
            if self.has_ended() {
                return;
            }
            let began = Instant::now();
            match timeout_at(end, renew(database, due, self.duration)).await {
                Ok(Ok(true)) => self.set_begun_at(began),
                Ok(Ok(false)) | Err(_) => return,
                Ok(Err(error)) => {
                    tracing::warn!(error = %error, event = %due.event, "the lease of a delivery could not be renewed");
                }
            }
            next = began + pause;
        }
    }

    fn ends_at(&self) -> Instant {
        self.begun_at() + self.duration
    }

    fn begun_at(&self) -> Instant {
        *self.begun_at.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn set_begun_at(&self, begun_at: Instant) {
        *self.begun_at.lock().unwrap_or_else(PoisonError::into_inner) = begun_at;
    }
}

/// Renews a lease in the database. Returns `false` if the delivery queue is gone or leased to another worker.
async fn renew(database: &Database, due: &Due, duration: Duration) -> Result<bool, sqlx::Error> {
    let mut tx = database.begin().await?;
    let is_renewed = store::renew(&mut tx, due, duration).await?;
    tx.commit().await?;
    Ok(is_renewed)
}
