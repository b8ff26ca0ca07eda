//! Delivery queues: results of attempts, redeliveries, and the numbers of pending deliveries. A queue is a row of
//! `delivery_queues`.

use chrono::{DateTime, Utc};
use serde::Serialize;
use sqlx::types::Json;
use uuid::Uuid;

use super::Due;
use crate::{
    database::{Connection, Tx},
    events::model::{ATTEMPTS_KEPT, DeliveryAttempt, DeliveryStatus},
    telemetry::jobs::Backlog,
    values::{
        id::{EventId, PartnerId},
        string_enum::StringEnum,
    },
};

/// Notifies the workers, after the commit, that a delivery is due.
pub(crate) async fn wake(tx: &mut Tx) -> Result<(), sqlx::Error> {
    tx.announce_deliveries();
    Ok(())
}

/// A locked delivery queue.
#[derive(Debug, Clone, Copy)]
pub(crate) struct LockedQueue {
    /// The number of attempts to send its head, since that became pending or its attempts were reset.
    pub tries: i32,
    /// Whether its attempts were reset during the attempt.
    pub is_restarted: bool,
    /// Whether a redelivery of its head was requested during the attempt.
    pub is_redelivery_requested: bool,
    /// The partner's time, read after the lock was acquired.
    pub now: DateTime<Utc>,
}

/// Locks a delivery queue if its lease is still the same. Otherwise returns `None`, and the attempt does not count.
pub(crate) async fn lock_queue(tx: &mut Tx, due: &Due) -> Result<Option<LockedQueue>, sqlx::Error> {
    sqlx::query_as!(
        LockedQueue,
        r#"
        with queue as materialized (
            select tries, is_restarted, is_redelivery_requested, partner_id
            from delivery_queues where id = $1 and lease = $2 for update
        )
        select tries, is_restarted, is_redelivery_requested, lmn_now_of(partner_id) as "now!" from queue
        "#,
        due.queue,
        due.lease,
    )
    .fetch_optional(&mut **tx)
    .await
}

/// Records an attempt to send the head of a locked delivery queue. The oldest attempts of the event are deleted.
pub(crate) async fn record_attempt(
    tx: &mut Tx,
    event: EventId,
    status: DeliveryStatus,
    attempt: &DeliveryAttempt,
) -> Result<(), sqlx::Error> {
    sqlx::query!(
        r#"
        with counted as (
            update events
            set delivery_status = $2, queue_id = case when $2 = 'pending' then queue_id end,
                attempts = attempts + 1, last_attempt_at = $3, last_response_code = $4
            where id = $1
            returning id, attempts
        ), gone as (
            delete from delivery_attempts using counted
            where event_id = counted.id and number <= counted.attempts - $7
        )
        insert into delivery_attempts (event_id, number, attempted_at, response_code, error, duration_ms)
        select id, attempts, $3, $4, $5::text, $6::integer from counted
        "#,
        event.uuid(),
        status.as_str(),
        attempt.at,
        attempt.response_code,
        attempt.error.map(StringEnum::as_str),
        attempt.duration_ms,
        ATTEMPTS_KEPT,
    )
    .execute(&mut **tx)
    .await
    .map(drop)
}

/// Releases a locked delivery queue whose head is sent again later.
pub(crate) async fn postpone(
    tx: &mut Tx,
    queue: Uuid,
    due_at: DateTime<Utc>,
    tries: i32,
) -> Result<(), sqlx::Error> {
    sqlx::query!(
        r#"
        update delivery_queues
        set due_at = $2, tries = $3, lease = null, leased_until = null, is_restarted = false,
            is_redelivery_requested = false
        where id = $1
        "#,
        queue,
        due_at,
        tries,
    )
    .execute(&mut **tx)
    .await
    .map(drop)
}

/// Releases a locked delivery queue whose head is done. The next event becomes its head; an empty queue is deleted.
///
/// A transaction that appends to the queue waits for its lock, so no event is added between the check and the commit.
pub(crate) async fn go_on(tx: &mut Tx, queue: Uuid, now: DateTime<Utc>) -> Result<(), sqlx::Error> {
    sqlx::query!(
        r#"
        with next as materialized (
            select id from events where queue_id = $1 order by sequence limit 1
        ), gone as (
            delete from delivery_queues where id = $1 and not exists (select from next)
        )
        update delivery_queues
        set event_id = next.id, due_at = $2, tries = 0, lease = null, leased_until = null, is_restarted = false,
            is_redelivery_requested = false
        from next where delivery_queues.id = $1
        "#,
        queue,
        now,
    )
    .execute(&mut **tx)
    .await
    .map(drop)
}

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

/// Makes a pending event due at once if it is the head of its delivery queue. If it is being sent, it is due again after
/// that. Returns whether it is the head.
pub(crate) async fn bring_forward(
    tx: &mut Tx,
    partner: PartnerId,
    event: EventId,
    now: DateTime<Utc>,
) -> Result<bool, sqlx::Error> {
    let brought = sqlx::query!(
        r#"
        update delivery_queues set due_at = least(due_at, $3), is_redelivery_requested = lease is not null
        where event_id = $2 and partner_id = $1
        "#,
        partner.uuid(),
        event.uuid(),
        now,
    )
    .execute(&mut **tx)
    .await?;
    Ok(brought.rows_affected() > 0)
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

/// Counts the delivery queues, up to `limit` per state, and returns the age of the oldest due one without a lease.
///
/// However many queues there are, the query reads at most `limit` per state from the index, and one queue per endpoint.
pub(crate) async fn count_backlog(
    conn: &mut Connection,
    limit: i64,
) -> Result<Backlog, sqlx::Error> {
    sqlx::query_as!(
        Backlog,
        r#"
        with endpoints as materialized (
            select partner_id, lmn_now(clock_offset_seconds) as now, lmn_now(0) as real_now,
                   case when not enabled then 'paused' when failing_since is not null then 'failing' else 'well' end as health
            from webhook_endpoints join partners on partners.id = partner_id
        ), due as materialized (
            select from endpoints cross join lateral (
                select from delivery_queues
                where delivery_queues.partner_id = endpoints.partner_id and due_at <= endpoints.now limit $1
            ) queue
            where health = 'well' limit $1
        ), failing as materialized (
            select from endpoints cross join lateral (
                select from delivery_queues
                where delivery_queues.partner_id = endpoints.partner_id and due_at <= endpoints.now limit $1
            ) queue
            where health = 'failing' limit $1
        ), later as materialized (
            select from endpoints cross join lateral (
                select from delivery_queues
                where delivery_queues.partner_id = endpoints.partner_id and due_at > endpoints.now limit $1
            ) queue
            where health <> 'paused' limit $1
        ), paused as materialized (
            select from endpoints cross join lateral (
                select from delivery_queues where delivery_queues.partner_id = endpoints.partner_id limit $1
            ) queue
            where health = 'paused' limit $1
        )
        select (select count(*) from due) as "due!", (select count(*) from failing) as "failing!",
               (select count(*) from later) as "later!", (select count(*) from paused) as "paused!",
               coalesce((
                   select max(extract(epoch from endpoints.now - queue.due_at))
                   from endpoints cross join lateral (
                       select due_at from delivery_queues
                       where delivery_queues.partner_id = endpoints.partner_id and due_at <= endpoints.now
                         and (leased_until is null or leased_until <= endpoints.real_now)
                       order by due_at
                       limit 1
                   ) queue
                   where health = 'well'
               ), 0)::float8 as "oldest_due_seconds!"
        "#,
        limit,
    )
    .fetch_one(conn)
    .await
}
