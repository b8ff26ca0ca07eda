//! Lanes: what came of an attempt, and what is sent next.

use chrono::{DateTime, Utc};
use uuid::Uuid;

use super::Due;
use crate::{database::Tx, events::model::DeliveryStatus, id::EventId, word::Word};

/// Tells the workers that something is due.
pub(crate) async fn wake(tx: &mut Tx) -> Result<(), sqlx::Error> {
    sqlx::query!("select pg_notify('lmn_webhooks', '')")
        .execute(&mut **tx)
        .await
        .map(drop)
}

/// A lane that is locked.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Held {
    /// How often its head was sent since it began to wait.
    pub tries: i32,
    /// What time it is for the partner, now that it is locked.
    pub now: DateTime<Utc>,
}

/// Locks a lane that is still leased as it was; `None` if it is not, and the attempt does not count.
pub(crate) async fn hold(tx: &mut Tx, due: &Due) -> Result<Option<Held>, sqlx::Error> {
    sqlx::query_as!(
        Held,
        r#"
        with lane as materialized (
            select tries, partner_id from webhook_lanes where id = $1 and lease = $2 for update
        )
        select tries, lmn_now_of(partner_id) as "now!" from lane
        "#,
        due.lane,
        due.lease,
    )
    .fetch_optional(&mut **tx)
    .await
}

/// Records an attempt to send the head of a held lane.
pub(crate) async fn record_attempt(
    tx: &mut Tx,
    event: EventId,
    status: DeliveryStatus,
    at: DateTime<Utc>,
    response_code: Option<u16>,
) -> Result<(), sqlx::Error> {
    sqlx::query!(
        r#"
        update events
        set delivery_status = $2, lane_id = case when $2 = 'pending' then lane_id end,
            attempts = attempts + 1, last_attempt_at = $3, last_response_code = $4
        where id = $1
        "#,
        event.uuid(),
        status.as_str(),
        at,
        response_code.map(i32::from),
    )
    .execute(&mut **tx)
    .await
    .map(drop)
}

/// Gives back a held lane whose head is sent again later.
pub(crate) async fn postpone(
    tx: &mut Tx,
    lane: Uuid,
    due_at: DateTime<Utc>,
    tries: i32,
) -> Result<(), sqlx::Error> {
    sqlx::query!(
        "update webhook_lanes set due_at = $2, tries = $3, lease = null, leased_until = null where id = $1",
        lane,
        due_at,
        tries,
    )
    .execute(&mut **tx)
    .await
    .map(drop)
}

/// Gives back a held lane whose head is done: the next event of the lane is its head, or the lane is gone.
///
/// Who appends to the lane waits for its lock, so nothing is appended between the look and the end.
pub(crate) async fn go_on(tx: &mut Tx, lane: Uuid, now: DateTime<Utc>) -> Result<(), sqlx::Error> {
    sqlx::query!(
        r#"
        with next as materialized (
            select id from events where lane_id = $1 order by sequence limit 1
        ), gone as (
            delete from webhook_lanes where id = $1 and not exists (select from next)
        )
        update webhook_lanes
        set event_id = next.id, due_at = $2, tries = 0, lease = null, leased_until = null
        from next where webhook_lanes.id = $1
        "#,
        lane,
        now,
    )
    .execute(&mut **tx)
    .await
    .map(drop)
}
