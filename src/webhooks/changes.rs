//! Changes of endpoints and deliveries by partners, the operator and background jobs, with their audit rows.

use chrono::TimeDelta;
use serde_json::{Value, json};

use super::{
    model::{DisabledReason, Endpoint, EndpointRequest, WebhookTest},
    schedule::Failures,
    signature::Secret,
    store::{self, Place, Range},
};
use crate::{
    audit::{self, Actor, store::Change},
    database::{Tx, clock},
    events::{
        self,
        model::{Event, EventType, NewEvent},
    },
    values::{
        id::{EventId, PartnerId},
        timestamp::Timestamp,
    },
};

/// Time after a rotation during which deliveries are also signed with the previous secret.
const OVERLAP: TimeDelta = TimeDelta::hours(24);

/// Creates or updates a partner's endpoint. Returns the secret if the endpoint is new.
///
/// Enabling the endpoint or giving it another URL makes all its pending events due at once.
pub(crate) async fn put(
    tx: &mut Tx,
    actor: &Actor,
    partner: PartnerId,
    wish: &EndpointRequest,
) -> Result<(Endpoint, Option<Secret>), sqlx::Error> {
    let endpoint = store::lock(tx, partner).await?;
    let now = clock::now(tx, partner).await?;
    let Some(mut endpoint) = endpoint else {
        let (endpoint, secret) = (Endpoint::made(wish, now), Secret::random());
        store::save(tx, partner, &endpoint).await?;
        store::insert_secret(tx, partner, &secret).await?;
        record(tx, actor, partner, "webhook.created", to_json(&endpoint)).await?;
        return Ok((endpoint, Some(secret)));
    };
    let before = endpoint.clone();
    let is_restarted = endpoint.change(wish, now);
    if endpoint != before {
        store::save(tx, partner, &endpoint).await?;
        let details = json!({"old": to_json(&before), "new": to_json(&endpoint)});
        record(tx, actor, partner, "webhook.changed", details).await?;
    }
    if is_restarted {
        store::begin_anew(tx, partner, now).await?;
        store::wake(tx).await?;
    }
    Ok((endpoint, None))
}

/// Deletes a partner's endpoint and skips its pending events. Returns the endpoint as it was.
pub(crate) async fn delete(
    tx: &mut Tx,
    actor: &Actor,
    partner: PartnerId,
) -> Result<Option<Endpoint>, sqlx::Error> {
    let Some(endpoint) = store::lock(tx, partner).await? else {
        return Ok(None);
    };
    store::delete(tx, partner).await?;
    record(tx, actor, partner, "webhook.deleted", to_json(&endpoint)).await?;
    Ok(Some(endpoint))
}

/// Replaces the secret of a partner's endpoint. Deliveries are also signed with the former one for 24 hours.
pub(crate) async fn rotate(
    tx: &mut Tx,
    actor: &Actor,
    partner: PartnerId,
) -> Result<Option<(Endpoint, Secret)>, sqlx::Error> {
    let Some(mut endpoint) = store::lock(tx, partner).await? else {
        return Ok(None);
    };
    let secret = Secret::random();
    // Signatures use real time; the timestamps that a partner reads use the partner's clock.
    let former_until = clock::real_now(tx).await? + OVERLAP;
    endpoint.updated_at = clock::now(tx, partner).await?;
    store::save(tx, partner, &endpoint).await?;
    store::replace_secret(tx, partner, &secret, former_until).await?;
    let details = json!({"former_until": Timestamp::kst(former_until)});
    record(tx, actor, partner, "webhook.secret_rotated", details).await?;
    Ok(Some((endpoint, secret)))
}

/// Disables an endpoint on LMN's side. The caller has locked its row.
pub(crate) async fn disable(
    tx: &mut Tx,
    actor: &Actor,
    partner: PartnerId,
    failures: Failures,
    reason: DisabledReason,
) -> Result<(), sqlx::Error> {
    store::set_health(tx, partner, failures, Some(reason)).await?;
    let details = json!({"reason": reason, "failing_since": Timestamp::kst(failures.since)});
    record(tx, actor, partner, "webhook.disabled", details).await
}

/// Appends a test event for a partner's endpoint. Returns `None` if there is no endpoint.
pub(crate) async fn test(tx: &mut Tx, partner: PartnerId) -> Result<Option<Event>, TestError> {
    store::lock_feed(tx, partner).await?;
    if store::find(tx, partner).await?.is_none() {
        return Ok(None);
    }
    let now = clock::now(tx, partner).await?;
    let (id, event_type) = (EventId::new(now), EventType::WebhookTest);
    let data = WebhookTest::default();
    let event = NewEvent {
        id,
        partner,
        of_order: None,
        event_type,
        new_vehicle_id: None,
        occurred_at: now,
        payload: events::model::render(id, event_type, None, now, &data)?,
    };
    events::store::append(tx, &[&event]).await?;
    Ok(events::store::find(tx, partner, id).await?)
}

/// The reason why a test event was not appended.
#[derive(Debug, thiserror::Error)]
pub(crate) enum TestError {
    /// The event could not be serialized, which is a bug.
    #[error("an event cannot be serialized: {0}")]
    Unwritable(#[from] serde_json::Error),
    /// The database failed.
    #[error(transparent)]
    Database(#[from] sqlx::Error),
}

/// The reason why an event is not sent again.
#[derive(Debug, thiserror::Error)]
pub(crate) enum RedeliverError {
    /// There is no such event.
    #[error("there is no event {0}")]
    NoEvent(EventId),
    /// The partner has no endpoint.
    #[error("the partner has no webhook endpoint")]
    NoEndpoint,
    /// The database failed.
    #[error(transparent)]
    Database(#[from] sqlx::Error),
}

/// Queues an event for another delivery, outside its order's sequence.
///
/// An event that is still pending is sent as soon as the sequence of its order allows; one that is being sent is sent
/// again after that.
pub(crate) async fn redeliver(
    tx: &mut Tx,
    actor: &Actor,
    partner: PartnerId,
    id: EventId,
) -> Result<Event, RedeliverError> {
    store::lock_feed(tx, partner).await?;
    let event = events::store::find(tx, partner, id).await?;
    event.ok_or(RedeliverError::NoEvent(id))?;
    if store::find(tx, partner).await?.is_none() {
        return Err(RedeliverError::NoEndpoint);
    }
    let now = clock::now(tx, partner).await?;
    let place = [Place::alone(id)];
    if store::queue_events(tx, partner, &place, now).await? == 0
        && !store::bring_forward(tx, partner, id, now).await?
    {
        // Either it waits behind other events, or an attempt that was in progress has ended between the statements.
        store::queue_events(tx, partner, &place, now).await?;
    }
    store::wake(tx).await?;
    let details = json!({"event": id});
    record(tx, actor, partner, "webhook.redelivered", details).await?;
    let event = events::store::find(tx, partner, id).await?;
    event.ok_or(RedeliverError::NoEvent(id))
}

/// Queues up to `limit` events of a time range for another delivery, those of an order one after the other.
///
/// A dry run only counts them. Returns the number of events, and the feed position after which the next call continues:
/// `None` if there were no events.
pub(crate) async fn replay(
    tx: &mut Tx,
    actor: &Actor,
    partner: PartnerId,
    range: Range,
    (after, limit): (i64, i64),
    is_dry_run: bool,
) -> Result<(u64, Option<i64>), RedeliverError> {
    store::lock_feed(tx, partner).await?;
    if store::find(tx, partner).await?.is_none() {
        return Err(RedeliverError::NoEndpoint);
    }
    let done = store::list_done(tx, partner, range, after, limit).await?;
    let last = done.last().map(|it| it.position);
    if is_dry_run {
        return Ok((done.len() as u64, last));
    }
    let now = clock::now(tx, partner).await?;
    let places: Vec<_> = done.iter().map(Place::among).collect();
    let queued = store::queue_events(tx, partner, &places, now).await?;
    if queued > 0 {
        store::wake(tx).await?;
        let (since, until) = (Timestamp::kst(range.since), Timestamp::kst(range.until));
        let details = json!({"since": since, "until": until, "events": queued});
        record(tx, actor, partner, "webhook.replayed", details).await?;
    }
    Ok((queued, last))
}

/// Returns an endpoint as it is recorded in the audit log.
fn to_json(endpoint: &Endpoint) -> Value {
    json!({
        "url": endpoint.url,
        "enabled": endpoint.enabled,
        "event_types": endpoint.event_types,
        "description": endpoint.description,
        "disabled_reason": endpoint.disabled_reason,
    })
}

async fn record(
    tx: &mut Tx,
    actor: &Actor,
    partner: PartnerId,
    action: &str,
    details: Value,
) -> Result<(), sqlx::Error> {
    let now = clock::real_now(tx).await?;
    let change = Change {
        actor,
        partner: Some(partner),
        action,
        subject: "webhook_endpoint",
        details,
    };
    audit::store::record(tx, &change, now).await
}
