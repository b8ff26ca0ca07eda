//! The delivery worker: leases due events, sends them and records the results. Any number of workers may run.
//!
//! A worker holds no state that matters after a crash. A lease is a token and an end time in the row of the delivery
//! queue, and is renewed while the event is being sent: if a worker dies, the lease ends soon and the event is due again.
//! An attempt whose lease ends is abandoned, so an event is never sent after the next one of its order. The result counts
//! only if the token is still the same.

use std::{
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use tokio::{
    sync::{Notify, OwnedSemaphorePermit, Semaphore},
    task::JoinSet,
    time::{Instant, sleep, sleep_until, timeout_at},
};
use tokio_util::sync::CancellationToken;

use super::{
    schedule::Verdict,
    sender::Sender,
    store::{self, Due, Limits},
};
use crate::{
    config::Settings,
    database::{Database, Heartbeat},
    telemetry::metrics::Metrics,
};

/// The maximum number of delivery queues counted per state. It bounds the cost of the query.
const COUNTED_MAX: i64 = 10_000;

/// The number of deliveries by their result.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Outcome {
    /// Deliveries that the endpoint accepted.
    pub delivered: usize,
    /// Failed deliveries that are retried later.
    pub postponed: usize,
    /// Failed deliveries without a further retry.
    pub given_up: usize,
    /// Deliveries that were not recorded, for example because another worker has the event by now.
    pub lost: usize,
}

impl Outcome {
    /// Returns the number of all deliveries.
    pub fn total(&self) -> usize {
        self.delivered + self.postponed + self.given_up + self.lost
    }
}

/// A delivery worker.
#[derive(Clone)]
pub struct Worker {
    settings: Arc<Settings>,
    database: Database,
    heartbeat: Heartbeat,
    sender: Arc<Sender>,
    slots: Arc<Semaphore>,
    /// The number of deliveries in progress to failing endpoints.
    failing: Arc<AtomicUsize>,
    /// Notified when a delivery ends: a slot is free, and the next event of the queue may be due.
    ended: Arc<Notify>,
}

impl Worker {
    /// Creates a worker.
    ///
    /// # Errors
    ///
    /// If TLS cannot be configured.
    pub fn new(
        settings: Arc<Settings>,
        database: Database,
        heartbeat: Heartbeat,
        metrics: Metrics,
    ) -> Result<Self, rustls::Error> {
        Ok(Self {
            sender: Arc::new(Sender::new(&settings, database.clone(), metrics)?),
            slots: Arc::new(Semaphore::new(settings.webhooks.sends_max)),
            failing: Arc::default(),
            ended: Arc::default(),
            settings,
            database,
            heartbeat,
        })
    }

    /// Delivers events until `stop` is cancelled, and then finishes the deliveries in progress.
    ///
    /// A notification or the end of a delivery only triggers the next lease early; due events are found by polling.
    pub async fn run(self, stop: CancellationToken) {
        let poll = self.settings.webhooks.poll;
        let mut sending = JoinSet::new();
        loop {
            match self.lease().await {
                Ok(due) => due.into_iter().for_each(|(due, slot)| {
                    let (worker, stop) = (self.clone(), stop.clone());
                    sending.spawn(async move { worker.deliver(&due, slot, &stop).await });
                }),
                Err(error) => {
                    tracing::warn!(error = %error, "due events could not be leased; will retry")
                }
            }
            while sending.try_join_next().is_some() {}
            tokio::select! {
                () = sleep(poll) => {}
                () = self.ended.notified() => {}
                () = self.heartbeat.announced() => {}
                () = stop.cancelled() => break,
            }
        }
        while sending.join_next().await.is_some() {}
    }

    /// Sends the events that are due now, once. Public so that tests can run a single step.
    pub async fn deliver_due(&self) -> Result<Outcome, sqlx::Error> {
        let mut sending = JoinSet::new();
        for (due, slot) in self.lease().await? {
            let (worker, stop) = (self.clone(), CancellationToken::new());
            sending.spawn(async move { worker.deliver(&due, slot, &stop).await });
        }
        let mut outcome = Outcome::default();
        while let Some(ended) = sending.join_next().await {
            match ended.unwrap_or(None) {
                Some(Verdict::Delivered) => outcome.delivered += 1,
                Some(Verdict::Again(_)) => outcome.postponed += 1,
                Some(Verdict::GivenUp) => outcome.given_up += 1,
                None => outcome.lost += 1,
            }
        }
        Ok(outcome)
    }

    /// Leases due events, at most as many as there are free slots.
    async fn lease(&self) -> Result<Vec<(Due, Slot)>, sqlx::Error> {
        let settings = &self.settings.webhooks;
        let free = self.slots.available_permits();
        if free == 0 {
            return Ok(Vec::new());
        }
        let failing = self.failing.load(Ordering::Relaxed);
        let count = |it: usize| i64::try_from(it).unwrap_or(i64::MAX);
        let limits = Limits {
            queues: count(free),
            // Failing endpoints get at most half of the slots.
            failing: count((settings.sends_max / 2).max(1).saturating_sub(failing)),
            of_partner: settings.partner_sends_max,
            lease: settings.lease,
        };
        let mut tx = self.database.begin().await?;
        // Measured before the lease begins, so that the time that the database needs is not added to it.
        let leased_at = Instant::now();
        let served = store::serve(&mut tx, limits).await?;
        let due = match served.is_empty() {
            true => Vec::new(),
            false => store::lease(&mut tx, &served, limits).await?,
        };
        tx.commit().await?;
        let slots = due.into_iter().filter_map(|due| {
            let permit = self.slots.clone().try_acquire_owned().ok()?;
            let failing = due.is_failing.then(|| Failing::new(&self.failing));
            let slot = Slot {
                leased_at,
                _permit: permit,
                _failing: failing,
            };
            Some((due, slot))
        });
        Ok(slots.collect())
    }

    /// Sends one event, records the result and frees the slot. Returns `None` if the result was not recorded.
    async fn deliver(&self, due: &Due, slot: Slot, stop: &CancellationToken) -> Option<Verdict> {
        let verdict = self.sender.send(due, slot.leased_at, stop).await;
        drop(slot);
        self.ended.notify_one();
        verdict
    }
}

/// One of the slots for deliveries in progress, freed when dropped.
struct Slot {
    leased_at: Instant,
    _permit: OwnedSemaphorePermit,
    _failing: Option<Failing>,
}

/// A delivery in progress to a failing endpoint, counted until it is dropped.
struct Failing(Arc<AtomicUsize>);

impl Failing {
    fn new(count: &Arc<AtomicUsize>) -> Self {
        count.fetch_add(1, Ordering::Relaxed);
        Self(count.clone())
    }
}

impl Drop for Failing {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

/// The age of the oldest due delivery that no worker has leased, as it was last counted. Cheap to clone.
#[derive(Debug, Clone)]
pub struct OldestDue(Arc<Mutex<(Duration, Instant)>>);

/// The last count of an [`OldestDue`].
#[derive(Debug, Clone, Copy)]
pub(crate) struct Count {
    /// The age at that time; zero if no delivery was due.
    pub(crate) age: Duration,
    /// Time since the count.
    pub(crate) ago: Duration,
}

impl OldestDue {
    /// Creates the age for a process that is starting, as if no delivery was due now.
    pub(crate) fn new() -> Self {
        Self(Arc::new(Mutex::new((Duration::ZERO, Instant::now()))))
    }

    /// Returns the last count.
    pub(crate) fn last_count(&self) -> Count {
        let (age, counted_at) = *self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let ago = counted_at.elapsed();
        Count { age, ago }
    }

    fn record(&self, seconds: f64) {
        let age = Duration::try_from_secs_f64(seconds).unwrap_or_default();
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = (age, Instant::now());
    }
}

/// Counts the pending deliveries, and records the result in the metrics and in `oldest_due`.
pub async fn count_backlog(
    database: &Database,
    metrics: &Metrics,
    oldest_due: &OldestDue,
) -> Result<(), sqlx::Error> {
    let mut connection = database.acquire().await?;
    let backlog = store::count_backlog(&mut connection, COUNTED_MAX).await?;
    metrics.set_backlog(&backlog);
    oldest_due.record(backlog.oldest_due_seconds);
    Ok(())
}

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
