//! Sending again: one event, or those of a while.

use chrono::{DateTime, Utc};
use serde::Serialize;
use sqlx::types::Json;
use uuid::Uuid;

use crate::{
    database::{Connection, Tx},
    id::{EventId, PartnerId},
};

/// A while.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Range {
    /// From here on.
    pub since: DateTime<Utc>,
    /// Before this.
    pub until: DateTime<Utc>,
}

/// Lists up to `limit` events of a while that are not on their way, the first one first, from behind a place in the feed.
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

/// An event that does not wait, and can be sent again.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Done {
    /// The event.
    pub event: Uuid,
    /// Its place in the feed.
    pub position: i64,
    /// Its order.
    pub order: Option<Uuid>,
}

/// Brings the delivery of a waiting event forward, unless others of its order go before it.
pub(crate) async fn bring_forward(
    tx: &mut Tx,
    partner: PartnerId,
    event: EventId,
    now: DateTime<Utc>,
) -> Result<(), sqlx::Error> {
    sqlx::query!(
        "update webhook_lanes set due_at = least(due_at, $3) where event_id = $2 and partner_id = $1",
        partner.uuid(),
        event.uuid(),
        now,
    )
    .execute(&mut **tx)
    .await
    .map(drop)
}

/// An event and the lane that it waits in.
#[derive(Debug, Serialize)]
pub(crate) struct Place {
    event: Uuid,
    lane: Uuid,
}

impl Place {
    /// Gives an event a lane of its own.
    pub(crate) fn alone(event: EventId) -> Self {
        let event = event.uuid();
        Self { event, lane: event }
    }

    /// Puts an event behind those of its order that are sent again, too: their lane is the order's in reverse.
    pub(crate) fn among(done: &Done) -> Self {
        let reverse = |order: Uuid| Uuid::from_u128(!order.as_u128());
        Self {
            event: done.event,
            lane: done.order.map_or(done.event, reverse),
        }
    }
}

/// Makes events wait again, each in its lane, outside the sequence of their orders. Counts those that do.
///
/// The feed is locked, so nobody else does it at the same time; an event that waits already stays where it is.
pub(crate) async fn queue(
    tx: &mut Tx,
    partner: PartnerId,
    places: &[Place],
    now: DateTime<Utc>,
) -> Result<u64, sqlx::Error> {
    let queued = sqlx::query_scalar!(
        r#"
        with place as materialized (
            select * from jsonb_to_recordset($2::jsonb) as it(event uuid, lane uuid)
        ), waiting as (
            update events set delivery_status = 'pending', lane_id = place.lane
            from place
            where events.id = place.event and events.partner_id = $1 and lane_id is null
            returning events.id, events.lane_id, events.sequence
        ), lanes as (
            insert into webhook_lanes (id, partner_id, event_id, due_at)
            select distinct on (lane_id) lane_id, $1, id, $3 from waiting order by lane_id, sequence
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

/// Counts the events that wait for a partner's endpoint.
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
