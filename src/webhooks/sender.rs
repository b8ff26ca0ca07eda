//! One delivery: sends a leased event and records the result.
//!
//! The result is the endpoint's health and the queue's next attempt, recorded in one transaction.

use std::time::Duration;

use chrono::TimeDelta;
use tokio::time::{Instant, timeout};
use tokio_util::sync::CancellationToken;

use super::{
    changes,
    client::{Answered, Client, Post, SendError},
    model::DisabledReason,
    schedule::{Answer, Attempt, Verdict, read_retry_after},
    signature,
    store::{self, Due, Health, LockedQueue, Place},
    worker::Lease,
};
use crate::{
    audit::Actor,
    config::Settings,
    database::{Database, Tx},
    events::model::{DeliveryAttempt, DeliveryError, DeliveryStatus},
    orders::state_machine::Owner,
    telemetry::{
        jobs::{Delivery, DeliveryOutcome},
        metrics::Metrics,
    },
    values::{id::RequestId, string_enum::StringEnum},
};

/// The number of tries to record an attempt in the database.
const RECORD_TRIES: usize = 3;
/// The delay between these tries.
const RECORD_PAUSE: Duration = Duration::from_millis(500);

/// An attempt that is over.
#[derive(Debug, Clone, Copy)]
struct Sent {
    answer: Answer,
    /// The cause if it failed.
    error: Option<DeliveryError>,
    began: Instant,
    took: Duration,
}

/// Sends leased events and records the results.
pub(super) struct Sender {
    client: Client,
    database: Database,
    metrics: Metrics,
    /// Time from one renewal of a lease to its end.
    lease: Duration,
}

impl Sender {
    /// Creates a sender.
    ///
    /// # Errors
    ///
    /// If TLS cannot be configured.
    pub(super) fn new(
        settings: &Settings,
        database: Database,
        metrics: Metrics,
    ) -> Result<Self, rustls::Error> {
        let (webhooks, environment) = (&settings.webhooks, settings.environment);
        let client = Client::new(webhooks.guard.clone(), environment, webhooks.attempt)?;
        let reasons = DisabledReason::ALL.iter().map(|it| it.as_str());
        metrics.begin_deliveries(reasons);
        Ok(Self {
            client,
            database,
            metrics,
            lease: webhooks.lease,
        })
    }

    /// Sends one event and records the result. Returns `None` if the result was not recorded.
    ///
    /// The lease is renewed until the endpoint has responded. If it is lost, the attempt is abandoned, so that an event is
    /// never sent after the next one of its order.
    pub(super) async fn send(
        &self,
        due: &Due,
        leased_at: Instant,
        stop: &CancellationToken,
    ) -> Option<Verdict> {
        let elapsed = TimeDelta::from_std(leased_at.elapsed()).unwrap_or_default();
        let real_at = due.real_now + elapsed;
        let body = bytes::Bytes::from(due.payload.clone());
        let lease = Lease::new(leased_at, self.lease);
        let post = Post {
            target: &due.target,
            headers: signature::headers(due.event, real_at, &body, &due.secrets),
            body,
            lease: &lease,
        };
        let began = Instant::now();
        let answered = tokio::select! {
            answered = self.client.post(post) => answered,
            () = lease.keep(&self.database, due) => Err(SendError::LeaseEnded),
        };
        let (lag, took) = (due.now + elapsed - due.due_at, began.elapsed());
        self.report_attempt(due, &answered, lag, took);
        let (answer, error) = match answered {
            Ok(answered) => {
                let retry_after = answered.retry_after;
                let answer = Answer {
                    status: Some(answered.status),
                    retry_after: retry_after.and_then(|it| read_retry_after(&it, real_at)),
                };
                let error = (!answer.is_success()).then_some(DeliveryError::Status);
                (answer, error)
            }
            // An attempt without a cause was abandoned.
            Err(error) => (Answer::NONE, Some(error.cause()?)),
        };
        let sent = Sent {
            answer,
            error,
            began,
            took,
        };
        self.record(due, sent, stop).await
    }

    /// Counts an attempt in the metrics and logs it.
    fn report_attempt(
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
            Err(SendError::LeaseEnded) => DeliveryOutcome::Abandoned,
            Err(_) => DeliveryOutcome::Unreachable,
        };
        let lag = lag.to_std().unwrap_or_default();
        self.metrics
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

    /// Records an attempt, with retries in case the database is briefly unavailable.
    async fn record(&self, due: &Due, sent: Sent, stop: &CancellationToken) -> Option<Verdict> {
        for _ in 0..RECORD_TRIES {
            match self.try_record(due, sent).await {
                Ok(verdict) => return verdict,
                Err(error) => {
                    tracing::warn!(error = %error, event = %due.event, "a delivery attempt could not be recorded")
                }
            }
            let _ = timeout(RECORD_PAUSE, stop.cancelled()).await;
        }
        None
    }

    /// Records an attempt, in one try. Returns `None` if the lease was lost: another worker has the event, or it is no
    /// longer pending.
    ///
    /// The partner's time is read under the lock of the delivery queue, because the partner's clock may have been set
    /// back since the lease, together with the due times of its queues. A failure does not count against an endpoint
    /// that was enabled, disabled or moved to another URL in the meantime.
    async fn try_record(&self, due: &Due, sent: Sent) -> Result<Option<Verdict>, sqlx::Error> {
        let answer = sent.answer;
        let mut tx = self.database.begin().await?;
        let mut locked = lock(&mut tx, due, answer).await?;
        if matches!(&locked, Some((queue, _)) if queue.is_redelivery_requested) {
            // A redelivery is queued under the lock of the feed, which is taken before the others.
            drop(tx);
            tx = self.database.begin().await?;
            store::lock_feed(&mut tx, due.partner).await?;
            locked = lock(&mut tx, due, answer).await?;
        }
        let Some((queue, health)) = locked else {
            return Ok(None);
        };
        let has_new_url = |it: &Health| it.url != due.target.as_str();
        let attempt = Attempt {
            at: queue.now - TimeDelta::from_std(sent.began.elapsed()).unwrap_or_default(),
            before: usize::try_from(queue.tries).unwrap_or_default(),
            is_superseded: queue.is_restarted || health.as_ref().is_some_and(has_new_url),
            is_redelivery_requested: queue.is_redelivery_requested,
            chance: due.lease.as_u128() as u32,
        };
        let disabled = match health.filter(|it| it.enabled && !attempt.is_superseded) {
            Some(health) => record_failure(&mut tx, due, &health, attempt, answer).await?,
            None => None,
        };
        let verdict = attempt.judge(answer);
        record_verdict(&mut tx, due, queue, attempt, sent, verdict).await?;
        tx.commit().await?;
        self.report_result(due, verdict, disabled);
        Ok(Some(verdict))
    }

    /// Counts given-up events and disabled endpoints in the metrics, and logs the latter.
    fn report_result(&self, due: &Due, verdict: Verdict, disabled: Option<DisabledReason>) {
        if verdict == Verdict::GivenUp {
            self.metrics.count_given_up();
        }
        if let Some(reason) = disabled {
            self.metrics.count_disabled(reason.as_str());
            tracing::warn!(partner = %due.partner, reason = reason.as_str(), "a webhook endpoint was disabled");
        }
    }
}

/// Locks the delivery queue of an attempt, after its endpoint if the attempt failed. Returns `None` if the lease was lost.
async fn lock(
    tx: &mut Tx,
    due: &Due,
    answer: Answer,
) -> Result<Option<(LockedQueue, Option<Health>)>, sqlx::Error> {
    let mut health = None;
    match answer.is_success() {
        true => store::forgive(tx, due.partner, due.target.as_str()).await?,
        false => health = store::lock_health(tx, due.partner).await?,
    }
    let queue = store::lock_queue(tx, due).await?;
    Ok(queue.map(|queue| (queue, health)))
}

/// Records the verdict on the event, and releases its locked delivery queue.
async fn record_verdict(
    tx: &mut Tx,
    due: &Due,
    queue: LockedQueue,
    attempt: Attempt,
    sent: Sent,
    verdict: Verdict,
) -> Result<(), sqlx::Error> {
    let status = match verdict {
        Verdict::Delivered => DeliveryStatus::Delivered,
        Verdict::Again(_) => DeliveryStatus::Pending,
        Verdict::GivenUp => DeliveryStatus::Failed,
    };
    let made = DeliveryAttempt {
        at: attempt.at,
        response_code: sent.answer.status.map(i32::from),
        error: sent.error,
        duration_ms: i32::try_from(sent.took.as_millis()).unwrap_or(i32::MAX),
    };
    store::record_attempt(tx, due.event, status, &made).await?;
    match verdict {
        Verdict::Again(due_at) => {
            let tries = queue.tries + i32::from(!attempt.is_superseded);
            store::postpone(tx, due.queue, due_at, tries).await
        }
        Verdict::Delivered | Verdict::GivenUp => {
            store::go_on(tx, due.queue, attempt.at).await?;
            if queue.is_redelivery_requested {
                let place = [Place::alone(due.event)];
                store::queue_events(tx, due.partner, &place, attempt.at).await?;
            }
            Ok(())
        }
    }
}

/// Records a failure of a locked endpoint, and disables the endpoint if there is a reason to.
async fn record_failure(
    tx: &mut Tx,
    due: &Due,
    health: &Health,
    attempt: Attempt,
    answer: Answer,
) -> Result<Option<DisabledReason>, sqlx::Error> {
    let failures = attempt.join(health.failures());
    let reason = attempt.judge_endpoint(answer, failures);
    match reason {
        Some(reason) => {
            let actor = Actor {
                actor: Owner::Automatic.as_str().to_owned(),
                request_id: RequestId::random(),
            };
            changes::disable(tx, &actor, due.partner, failures, reason).await?;
        }
        None => store::set_health(tx, due.partner, failures, None).await?,
    }
    Ok(reason)
}
