//! The result of a delivery attempt: the endpoint's health and the queue's next attempt, in one transaction.

use chrono::TimeDelta;
use tokio::time::Instant;

use super::{
    changes,
    model::DisabledReason,
    schedule::{Answer, Attempt, Verdict},
    store::{self, Due, Health},
};
use crate::{
    app::App,
    audit::model::Actor,
    database::Tx,
    events::model::DeliveryStatus,
    orders::state::Owner,
    values::{id::RequestId, string_enum::StringEnum},
};

/// Records an attempt. Returns `None` if the lease was lost: another worker has the event, or it is no longer pending.
///
/// The partner's time is read under the lock of the delivery queue, because the partner's clock may have been set back
/// since the lease, together with the due times of its queues. A failure does not count against an endpoint that was
/// enabled, disabled or moved to another URL in the meantime.
pub(super) async fn record(
    app: &App,
    due: &Due,
    answer: Answer,
    began: Instant,
) -> Result<Option<Verdict>, sqlx::Error> {
    let mut tx = app.begin().await?;
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
    report(app, due, verdict, disabled);
    Ok(Some(verdict))
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

/// Counts given-up events and disabled endpoints in the metrics, and logs the latter.
fn report(app: &App, due: &Due, verdict: Verdict, disabled: Option<DisabledReason>) {
    if verdict == Verdict::GivenUp {
        app.metrics().count_given_up();
    }
    if let Some(reason) = disabled {
        app.metrics().count_disabled(reason.as_str());
        tracing::warn!(partner = %due.partner, reason = reason.as_str(), "a webhook endpoint was disabled");
    }
}
