//! The delivery worker: leases due events, sends them and records the results. Any number of workers may run.
//!
//! A worker holds no state that matters after a crash. A lease is a token and an end time in the row of the delivery
//! queue: if a worker dies while sending, the lease ends and the event is due again. An attempt takes less time than a
//! lease and does not begin when the lease is about to end, so an event is never sent after the next one of its order.
//! The result counts only if the token is still the same.

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
    values::string_enum::StringEnum,
};

/// The number of tries to record an attempt in the database.
const RECORD_TRIES: usize = 3;
/// The delay between these tries.
const RECORD_PAUSE: Duration = Duration::from_millis(500);

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
    app: App,
    client: Client,
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

    /// Delivers events until the replica stops, and then finishes the deliveries in progress.
    ///
    /// A notification or the end of a delivery only triggers the next lease early; due events are found by polling.
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
                    tracing::warn!(error = %error, "due events could not be leased; will retry")
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

    /// Sends the events that are due now, once. Public so that tests can run a single step.
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

    /// Leases due events, at most as many as there are free slots.
    async fn lease(&self) -> Result<Vec<(Due, Slot)>, sqlx::Error> {
        let settings = &self.app.settings().webhooks;
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
        let mut tx = self.app.begin().await?;
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

    /// Sends one event and records the result. Returns `None` if the result was not recorded.
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
        self.report(&due, &answered, lag, began.elapsed());
        let answer = match answered {
            Ok(answered) => Answer {
                status: Some(answered.status),
                retry_after: answered
                    .retry_after
                    .and_then(|it| read_retry_after(&it, real_at)),
            },
            Err(SendError::LeaseExpiring) => return None,
            Err(_) => Answer::NONE,
        };
        let verdict = self.record(&due, answer, began).await;
        drop(slot);
        self.ended.notify_one();
        verdict
    }

    /// Records an attempt, with retries in case the database is briefly unavailable.
    async fn record(&self, due: &Due, answer: Answer, began: Instant) -> Option<Verdict> {
        for _ in 0..RECORD_TRIES {
            match progress::record(&self.app, due, answer, began).await {
                Ok(verdict) => return verdict,
                Err(error) => {
                    tracing::warn!(error = %error, event = %due.event, "a delivery attempt could not be recorded")
                }
            }
            let _ = timeout(RECORD_PAUSE, self.app.stopping()).await;
        }
        None
    }

    /// Counts an attempt in the metrics and logs it.
    fn report(
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
            Err(SendError::LeaseExpiring) => DeliveryOutcome::NotSent,
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
