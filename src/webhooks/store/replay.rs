//! Redeliveries of one event or of the events in a time range.

use chrono::{DateTime, Utc};
use serde::Serialize;
use sqlx::types::Json;
use uuid::Uuid;

use crate::{
    database::{Connection, Tx},
    values::id::{EventId, PartnerId},
};

/// A time range.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Range {
    /// The start, inclusive.
    pub since: DateTime<Utc>,
    /// The end, exclusive.
    pub until: DateTime<Utc>,
}

/// Lists up to `limit` events of a time range that are not pending, after a feed position, in feed order.
pub(crate) async fn list_done(
    conn: &mut Connection,
    partner: PartnerId,
    range: Range,
    after: i64,
    limit: i64,
) -> Result<Vec<Done>, sqlx::Error> {
    sqlx::query_as!(
        Done,
        r#"
        select id as event, position, order_id as "order"
        from events
        where partner_id = $1 and occurred_at >= $2 and occurred_at < $3 and delivery_status <> 'pending'
          and position > $4
        order by position
        limit $5
        "#,
        partner.uuid(),
        range.since,
        range.until,
        after,
        limit,
    )
    .fetch_all(conn)
    .await
}

/// An event that is not pending and can be sent again.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Done {
    /// The event.
    pub event: Uuid,
    /// Its position in the feed.
    pub position: i64,
    /// Its order.
    pub order: Option<Uuid>,
}

/// Makes a pending event due at once if it is the head of its delivery queue.
pub(crate) async fn bring_forward(
    tx: &mut Tx,
    partner: PartnerId,
    event: EventId,
    now: DateTime<Utc>,
) -> Result<(), sqlx::Error> {
    sqlx::query!(
        "update delivery_queues set due_at = least(due_at, $3) where event_id = $2 and partner_id = $1",
        partner.uuid(),
        event.uuid(),
        now,
    )
    .execute(&mut **tx)
    .await
    .map(drop)
}

/// An event and the delivery queue to put it in.
#[derive(Debug, Serialize)]
pub(crate) struct Place {
    event: Uuid,
    queue: Uuid,
}

impl Place {
    /// Puts an event in a delivery queue of its own.
    pub(crate) fn alone(event: EventId) -> Self {
        let event = event.uuid();
        Self {
            event,
            queue: event,
        }
    }

    /// Puts an event in the delivery queue for redeliveries of its order, whose id is the bitwise complement of the
    /// order's. An event without an order gets a queue of its own.
    pub(crate) fn among(done: &Done) -> Self {
        let reverse = |order: Uuid| Uuid::from_u128(!order.as_u128());
        Self {
            event: done.event,
            queue: done.order.map_or(done.event, reverse),
        }
    }
}

/// Makes events pending again, each in the given delivery queue, outside the sequence of its order.
///
/// Returns their number. The caller has locked the feed, so no other transaction does the same at that time. An event
/// that is already pending stays in its queue.
pub(crate) async fn queue_events(
    tx: &mut Tx,
    partner: PartnerId,
    places: &[Place],
    now: DateTime<Utc>,
) -> Result<u64, sqlx::Error> {
    let queued = sqlx::query_scalar!(
        r#"
        with place as materialized (
            select * from jsonb_to_recordset($2::jsonb) as it(event uuid, queue uuid)
        ), waiting as (
            update events set delivery_status = 'pending', queue_id = place.queue
            from place
            where events.id = place.event and events.partner_id = $1 and queue_id is null
            returning events.id, events.queue_id, events.sequence
        ), queues as (
            insert into delivery_queues (id, partner_id, event_id, due_at)
            select distinct on (queue_id) queue_id, $1, id, $3 from waiting order by queue_id, sequence
            on conflict (id) do update set partner_id = excluded.partner_id
            returning id
        )
        select count(*) as "count!" from waiting
        "#,
        partner.uuid(),
        Json(places) as _,
        now,
    )
    .fetch_one(&mut **tx)
    .await?;
    Ok(queued.unsigned_abs())
}

/// Counts the pending events of a partner.
pub(crate) async fn count_waiting(
    conn: &mut Connection,
    partner: PartnerId,
) -> Result<i64, sqlx::Error> {
    sqlx::query_scalar!(
        r#"select count(*) as "count!" from events where partner_id = $1 and delivery_status = 'pending'"#,
        partner.uuid(),
    )
    .fetch_one(conn)
    .await
}
