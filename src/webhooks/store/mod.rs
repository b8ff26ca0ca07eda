//! The store of webhook endpoints, secrets and delivery queues. Every statement about endpoints is scoped by the partner.
//!
//! Locks are taken in one order: feed, endpoint, delivery queue, event. A lease skips locked rows, so it never waits.

mod lease;
mod queue;

use chrono::{DateTime, Utc};

use super::{
    model::{DisabledReason, Endpoint},
    schedule::Failures,
    signature::Secret,
};
use crate::{
    database::{
        Connection, Tx,
        column::{optional_word, word},
    },
    values::{id::PartnerId, string_enum::StringEnum},
};

pub(crate) use lease::{Due, Limits, lease, renew, serve};
pub(crate) use queue::{
    LockedQueue, Place, Range, bring_forward, count_backlog, count_waiting, go_on, list_done,
    lock_queue, postpone, queue_events, record_attempt, wake,
};

/// Locks a partner's feed. Until the commit, no event is appended to it and the endpoint does not change.
pub(crate) async fn lock_feed(tx: &mut Tx, partner: PartnerId) -> Result<(), sqlx::Error> {
    sqlx::query!(
        r#"
        insert into event_feeds (partner_id, last_position) values ($1, 0)
        on conflict (partner_id) do update set last_position = event_feeds.last_position
        "#,
        partner.uuid(),
    )
    .execute(&mut **tx)
    .await
    .map(drop)
}

/// Locks a partner's feed and then its endpoint, and returns the locked endpoint.
pub(crate) async fn lock(tx: &mut Tx, partner: PartnerId) -> Result<Option<Endpoint>, sqlx::Error> {
    lock_feed(tx, partner).await?;
    lock_health(tx, partner).await?;
    find(tx, partner).await
}

/// Returns a partner's endpoint.
pub(crate) async fn find(
    conn: &mut Connection,
    partner: PartnerId,
) -> Result<Option<Endpoint>, sqlx::Error> {
    let row = sqlx::query!(
        r#"
        select url, enabled, disabled_reason, event_types as "event_types: Vec<String>", description, failing_since,
               created_at, updated_at
        from webhook_endpoints join event_feeds using (partner_id)
        where partner_id = $1
        "#,
        partner.uuid(),
    )
    .fetch_optional(conn)
    .await?;
    let Some(row) = row else { return Ok(None) };
    let types = row.event_types.map(|types| {
        let types = types.iter().map(|it| word(it));
        types.collect::<Result<Vec<_>, _>>()
    });
    Ok(Some(Endpoint {
        url: row.url,
        enabled: row.enabled,
        event_types: types.transpose()?,
        description: row.description,
        disabled_reason: optional_word(row.disabled_reason.as_deref())?,
        failing_since: row.failing_since,
        created_at: row.created_at,
        updated_at: row.updated_at,
    }))
}

/// Inserts or updates a partner's endpoint, and copies its event types to the locked feed.
pub(crate) async fn save(
    tx: &mut Tx,
    partner: PartnerId,
    endpoint: &Endpoint,
) -> Result<(), sqlx::Error> {
    let types = endpoint.event_types.as_ref();
    let types: Option<Vec<String>> =
        types.map(|it| it.iter().map(|it| it.as_str().to_owned()).collect());
    sqlx::query!(
        r#"
        with feed as (
            update event_feeds set has_endpoint = true, event_types = $9 where partner_id = $1
        )
        insert into webhook_endpoints (partner_id, url, enabled, disabled_reason, description, failing_since,
                                       created_at, updated_at)
        values ($1, $2, $3, $4, $5, $6, $7, $8)
        on conflict (partner_id) do update
        set url = excluded.url, enabled = excluded.enabled, disabled_reason = excluded.disabled_reason,
            description = excluded.description, failing_since = excluded.failing_since,
            updated_at = excluded.updated_at
        "#,
        partner.uuid(),
        endpoint.url,
        endpoint.enabled,
        endpoint.disabled_reason.map(StringEnum::as_str),
        endpoint.description,
        endpoint.failing_since,
        endpoint.created_at,
        endpoint.updated_at,
        types.as_deref(),
    )
    .execute(&mut **tx)
    .await
    .map(drop)
}

/// Inserts the current secret of an endpoint.
pub(crate) async fn insert_secret(
    tx: &mut Tx,
    partner: PartnerId,
    secret: &Secret,
) -> Result<(), sqlx::Error> {
    sqlx::query!(
        "insert into webhook_secrets (secret, partner_id) values ($1, $2)",
        secret.expose(),
        partner.uuid(),
    )
    .execute(&mut **tx)
    .await
    .map(drop)
}

/// Replaces the current secret, which stays valid until `former_until`. An older one is deleted.
pub(crate) async fn replace_secret(
    tx: &mut Tx,
    partner: PartnerId,
    secret: &Secret,
    former_until: DateTime<Utc>,
) -> Result<(), sqlx::Error> {
    sqlx::query!(
        "delete from webhook_secrets where partner_id = $1 and expires_at is not null",
        partner.uuid(),
    )
    .execute(&mut **tx)
    .await?;
    sqlx::query!(
        "update webhook_secrets set expires_at = $2 where partner_id = $1",
        partner.uuid(),
        former_until,
    )
    .execute(&mut **tx)
    .await?;
    insert_secret(tx, partner, secret).await
}

/// Deletes a partner's endpoint with its secrets, and skips its pending events.
pub(crate) async fn delete(tx: &mut Tx, partner: PartnerId) -> Result<(), sqlx::Error> {
    // Separate statements, so that the locks are taken in one order.
    sqlx::query!(
        "delete from webhook_endpoints where partner_id = $1",
        partner.uuid(),
    )
    .execute(&mut **tx)
    .await?;
    sqlx::query!(
        "update event_feeds set has_endpoint = false, event_types = null where partner_id = $1",
        partner.uuid(),
    )
    .execute(&mut **tx)
    .await?;
    sqlx::query!(
        "delete from delivery_queues where partner_id = $1",
        partner.uuid(),
    )
    .execute(&mut **tx)
    .await?;
    sqlx::query!(
        r#"
        update events set delivery_status = 'delivery_skipped', queue_id = null
        where partner_id = $1 and delivery_status = 'pending'
        "#,
        partner.uuid(),
    )
    .execute(&mut **tx)
    .await
    .map(drop)
}

/// Makes all of a partner's delivery queues due now and resets their attempts. An attempt that is in progress does not
/// count.
pub(crate) async fn begin_anew(
    tx: &mut Tx,
    partner: PartnerId,
    now: DateTime<Utc>,
) -> Result<(), sqlx::Error> {
    sqlx::query!(
        r#"
        update delivery_queues set due_at = least(due_at, $2), tries = 0, is_restarted = lease is not null
        where partner_id = $1
        "#,
        partner.uuid(),
        now,
    )
    .execute(&mut **tx)
    .await
    .map(drop)
}

/// Sets the times of deliveries back together with the partner's clock, so that no delivery waits longer than before.
///
/// The caller has locked the feed, so that no event is queued in between.
pub(crate) async fn turn_back(
    tx: &mut Tx,
    partner: PartnerId,
    seconds: i64,
) -> Result<(), sqlx::Error> {
    let seconds = seconds as f64;
    // Separate statements, so that the locks are taken in one order.
    sqlx::query!(
        r#"
        update webhook_endpoints
        set failing_since = failing_since - make_interval(secs => $2),
            last_failed_at = last_failed_at - make_interval(secs => $2)
        where partner_id = $1
        "#,
        partner.uuid(),
        seconds,
    )
    .execute(&mut **tx)
    .await?;
    sqlx::query!(
        "update delivery_queues set due_at = due_at - make_interval(secs => $2) where partner_id = $1",
        partner.uuid(),
        seconds,
    )
    .execute(&mut **tx)
    .await
    .map(drop)
}

/// The health of an endpoint.
#[derive(Debug)]
pub(crate) struct Health {
    /// The URL of the endpoint.
    pub url: String,
    /// Whether events are sent.
    pub enabled: bool,
    /// The time since which every attempt has failed.
    pub failing_since: Option<DateTime<Utc>>,
    /// The time of the last failed attempt.
    pub last_failed_at: Option<DateTime<Utc>>,
}

impl Health {
    /// Returns the failures since the last success.
    pub(crate) fn failures(&self) -> Option<Failures> {
        let (since, last) = self.failing_since.zip(self.last_failed_at)?;
        Some(Failures { since, last })
    }
}

/// Locks an endpoint and returns its health.
pub(crate) async fn lock_health(
    tx: &mut Tx,
    partner: PartnerId,
) -> Result<Option<Health>, sqlx::Error> {
    sqlx::query_as!(
        Health,
        r#"
        select url, enabled, failing_since, last_failed_at from webhook_endpoints where partner_id = $1
        for no key update
        "#,
        partner.uuid(),
    )
    .fetch_optional(&mut **tx)
    .await
}

/// Ends the failure period of the endpoint at `url` after a success. Usually there is none and no row changes.
pub(crate) async fn forgive(tx: &mut Tx, partner: PartnerId, url: &str) -> Result<(), sqlx::Error> {
    sqlx::query!(
        r#"
        update webhook_endpoints set failing_since = null
        where partner_id = $1 and url = $2 and failing_since is not null
        "#,
        partner.uuid(),
        url,
    )
    .execute(&mut **tx)
    .await
    .map(drop)
}

/// Sets the failure period of a locked endpoint, and disables the endpoint if a reason is given.
pub(crate) async fn set_health(
    tx: &mut Tx,
    partner: PartnerId,
    failures: Failures,
    disabled: Option<DisabledReason>,
) -> Result<(), sqlx::Error> {
    sqlx::query!(
        r#"
        update webhook_endpoints
        set failing_since = $2, last_failed_at = $3, enabled = enabled and $4::text is null,
            disabled_reason = coalesce($4, disabled_reason),
            updated_at = case when $4 is null then updated_at else $3 end
        where partner_id = $1
        "#,
        partner.uuid(),
        failures.since,
        failures.last,
        disabled.map(StringEnum::as_str),
    )
    .execute(&mut **tx)
    .await
    .map(drop)
}
