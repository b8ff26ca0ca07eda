//! The worker: lease what is due, send it, record what came of it. Any number of them may work at once.
//!
//! Nothing lives in a worker only. A lease is a row with a token and an end: whoever dies while sending loses nothing,
//! because the end comes and the event is due again. An attempt takes less time than a lease, and is not even begun when
//! the lease is nearly over, so that an event is never sent behind the next one of its order; and what came of it counts
//! only while the token is still there.

use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use chrono::TimeDelta;
use tokio::{
    sync::{Notify, OwnedSemaphorePermit, Semaphore},
    task::JoinSet,
    time::{Instant, sleep, timeout},
};

use super::{
    client::{Answered, Client, Post, SendError},
    model::DisabledReason,
    progress,
    schedule::{Answer, Verdict, read_retry_after},
    signature,
    store::{self, Due, Limits},
};
use crate::{
    app::App,
    telemetry::delivery::{Delivery, DeliveryOutcome},
    word::Word,
};

/// How often a record is tried that the database does not take.
const RECORD_TRIES: usize = 3;
/// How long to wait in between.
const RECORD_PAUSE: Duration = Duration::from_millis(500);

/// What came of deliveries.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Outcome {
    /// Acknowledged.
    pub delivered: usize,
    /// Failed, to be sent again.
    pub postponed: usize,
    /// Failed for the last time.
    pub given_up: usize,
    /// Not recorded: somebody else has the event by now, or nobody any more.
    pub lost: usize,
}

impl Outcome {
    /// Returns how many there were.
    pub fn total(&self) -> usize {
        self.delivered + self.postponed + self.given_up + self.lost
    }
}

/// A worker.
#[derive(Clone)]
pub struct Worker {
    app: App,
    client: Client,
    slots: Arc<Semaphore>,
    /// Deliveries in progress to endpoints that fail.
    failing: Arc<AtomicUsize>,
    /// Told when a delivery ends: a slot is free, and the next event of its lane is due.
    ended: Arc<Notify>,
}

impl Worker {
    /// Makes one, or says what is wrong with its cryptography.
    pub fn new(app: App) -> Result<Self, rustls::Error> {
        let settings = &app.settings().webhooks;
        let environment = app.settings().environment;
        let client = Client::new(settings.guard.clone(), environment, settings.attempt)?;
        let reasons = DisabledReason::ALL.iter().map(|it| it.as_str());
        app.metrics().begin_deliveries(reasons);
        Ok(Self {
            client,
            slots: Arc::new(Semaphore::new(settings.sends_max)),
            failing: Arc::default(),
            ended: Arc::default(),
            app,
        })
    }

    /// Works until the replica stops, and then finishes what it is sending.
    ///
    /// An announcement is a hint, and so is a delivery that ended; what is due is found by looking every so often.
    pub async fn run(self) {
        let poll = self.app.settings().webhooks.poll;
        let mut sending = JoinSet::new();
        loop {
            match self.lease().await {
                Ok(due) => due.into_iter().for_each(|(due, slot)| {
                    let worker = self.clone();
                    sending.spawn(async move { worker.deliver(due, slot).await });
                }),
                Err(error) => {
                    tracing::warn!(error = %error, "nothing could be leased; it is tried again")
                }
            }
            while sending.try_join_next().is_some() {}
            tokio::select! {
                () = sleep(poll) => {}
                () = self.ended.notified() => {}
                () = self.app.heartbeat().announced() => {}
                () = self.app.stopping() => break,
            }
        }
        while sending.join_next().await.is_some() {}
    }

    /// Sends what is due right now, once: a single step, for tests.
    pub async fn deliver_due(&self) -> Result<Outcome, sqlx::Error> {
        let mut sending = JoinSet::new();
        for (due, slot) in self.lease().await? {
            let worker = self.clone();
            sending.spawn(async move { worker.deliver(due, slot).await });
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

    /// Leases what is due, as far as there are slots for it.
    async fn lease(&self) -> Result<Vec<(Due, Slot)>, sqlx::Error> {
        let settings = &self.app.settings().webhooks;
        let free = self.slots.available_permits();
        if free == 0 {
            return Ok(Vec::new());
        }
        let failing = self.failing.load(Ordering::Relaxed);
        let count = |it: usize| i64::try_from(it).unwrap_or(i64::MAX);
        let limits = Limits {
            lanes: count(free),
            // Half of the slots stay free for those who take what they are sent.
            failing: count((settings.sends_max / 2).max(1).saturating_sub(failing)),
            of_partner: settings.partner_sends_max,
            lease: settings.lease,
        };
        let mut tx = self.app.begin().await?;
        // Before a lease begins: what the database takes to grant it is not added to it.
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

    /// Sends one event and records what came of it; `None` if it is somebody else's by now.
    async fn deliver(&self, due: Due, slot: Slot) -> Option<Verdict> {
        let settings = &self.app.settings().webhooks;
        let elapsed = TimeDelta::from_std(slot.leased_at.elapsed()).unwrap_or_default();
        let real_at = due.real_now + elapsed;
        let body = bytes::Bytes::from(due.payload.clone());
        let post = Post {
            target: &due.target,
            headers: signature::headers(due.event, real_at, &body, &due.secrets),
            body,
            send_by: slot.leased_at + settings.lease.saturating_sub(settings.attempt),
        };
        let began = Instant::now();
        let answered = self.client.post(post).await;
        let lag = due.now + elapsed - due.due_at;
        self.tell(&due, &answered, lag, began.elapsed());
        let answer = match answered {
            Ok(answered) => Answer {
                status: Some(answered.status),
                retry_after: answered
                    .retry_after
                    .and_then(|it| read_retry_after(&it, real_at)),
            },
            Err(SendError::LeaseOver) => return None,
            Err(_) => Answer::NONE,
        };
        let verdict = self.record_surely(&due, answer, began).await;
        drop(slot);
        self.ended.notify_one();
        verdict
    }

    /// Records an attempt; a database that is away for a moment does not make it forgotten.
    async fn record_surely(&self, due: &Due, answer: Answer, began: Instant) -> Option<Verdict> {
        for _ in 0..RECORD_TRIES {
            match progress::record(&self.app, due, answer, began).await {
                Ok(verdict) => return verdict,
                Err(error) => {
                    tracing::warn!(error = %error, event = %due.event, "an attempt could not be recorded")
                }
            }
            let _ = timeout(RECORD_PAUSE, self.app.stopping()).await;
        }
        None
    }

    /// Tells of an attempt, in the metrics and, if it failed, in the log.
    fn tell(
        &self,
        due: &Due,
        answered: &Result<Answered, SendError>,
        lag: TimeDelta,
        took: Duration,
    ) {
        let outcome = match answered {
            Ok(answered) if (200..300).contains(&answered.status) => DeliveryOutcome::Delivered,
            Ok(_) => DeliveryOutcome::Answered,
            Err(SendError::Refused(_)) => DeliveryOutcome::Refused,
            Err(SendError::LeaseOver) => DeliveryOutcome::NotSent,
            Err(_) => DeliveryOutcome::Unreachable,
        };
        let lag = lag.to_std().unwrap_or_default();
        self.app
            .metrics()
            .count_delivery(&Delivery { outcome, lag, took });
        let (event, partner) = (due.event, due.partner);
        match answered {
            Ok(answered) => {
                tracing::debug!(%event, %partner, status = answered.status, "an event was sent");
            }
            Err(error) => {
                tracing::info!(%event, %partner, error = %error, "an event was not delivered")
            }
        }
    }
}

/// A place among the deliveries in progress.
struct Slot {
    leased_at: Instant,
    _permit: OwnedSemaphorePermit,
    _failing: Option<Failing>,
}

/// A delivery in progress to an endpoint that fails, counted until it is dropped.
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
