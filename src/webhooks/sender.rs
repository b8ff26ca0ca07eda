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
    store::{self, Due, Health},
};
use crate::{
    audit::model::Actor,
    config::Settings,
    database::{Database, Tx},
    events::model::DeliveryStatus,
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

/// Sends leased events and records the results.
pub(super) struct Sender {
    client: Client,
    database: Database,
    metrics: Metrics,
    /// Time from the lease during which an attempt may begin, so that it ends before the lease.
    begin_within: Duration,
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
            begin_within: webhooks.lease.saturating_sub(webhooks.attempt),
        })
    }

    /// Sends one event and records the result. Returns `None` if the result was not recorded.
    pub(super) async fn send(
        &self,
        due: &Due,
        leased_at: Instant,
        stop: &CancellationToken,
    ) -> Option<Verdict> {
        let elapsed = TimeDelta::from_std(leased_at.elapsed()).unwrap_or_default();
        let real_at = due.real_now + elapsed;
        let body = bytes::Bytes::from(due.payload.clone());
        let post = Post {
            target: &due.target,
            headers: signature::headers(due.event, real_at, &body, &due.secrets),
            body,
            send_by: leased_at + self.begin_within,
        };
        let began = Instant::now();
        let answered = self.client.post(post).await;
        let lag = due.now + elapsed - due.due_at;
        self.report_attempt(due, &answered, lag, began.elapsed());
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
        self.record(due, answer, began, stop).await
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
            Err(SendError::LeaseExpiring) => DeliveryOutcome::NotSent,
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
    async fn record(
        &self,
        due: &Due,
        answer: Answer,
        began: Instant,
        stop: &CancellationToken,
    ) -> Option<Verdict> {
        for _ in 0..RECORD_TRIES {
            match self.try_record(due, answer, began).await {
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
    async fn try_record(
        &self,
        due: &Due,
        answer: Answer,
        began: Instant,
    ) -> Result<Option<Verdict>, sqlx::Error> {
        let mut tx = self.database.begin().await?;
        let mut health = None;
        match answer.is_success() {
            true => store::forgive(&mut tx, due.partner, due.target.as_str()).await?,
            false => health = store::lock_health(&mut tx, due.partner).await?,
        }
        let Some(queue) = store::hold(&mut tx, due).await? else {
            return Ok(None);
        };
        let has_new_url = |it: &Health| it.url != due.target.as_str();
        let is_superseded = queue.tries != due.tries || health.as_ref().is_some_and(has_new_url);
        let attempt = Attempt {
            at: queue.now - TimeDelta::from_std(began.elapsed()).unwrap_or_default(),
            before: usize::try_from(queue.tries).unwrap_or_default(),
            is_superseded,
            chance: due.lease.as_u128() as u32,
        };
        let disabled = match health.filter(|it| it.enabled && !is_superseded) {
            Some(health) => record_failure(&mut tx, due, &health, attempt, answer).await?,
            None => None,
        };
        let verdict = attempt.judge(answer);
        let status = match verdict {
            Verdict::Delivered => DeliveryStatus::Delivered,
            Verdict::Again(_) => DeliveryStatus::Pending,
            Verdict::GivenUp => DeliveryStatus::Failed,
        };
        store::record_attempt(&mut tx, due.event, status, attempt.at, answer.status).await?;
        match verdict {
            Verdict::Again(due_at) => {
                let tries = queue.tries + i32::from(!attempt.is_superseded);
                store::postpone(&mut tx, due.queue, due_at, tries).await?;
            }
            Verdict::Delivered | Verdict::GivenUp => {
                store::go_on(&mut tx, due.queue, attempt.at).await?;
            }
        }
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
