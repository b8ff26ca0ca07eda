//! Delivery queues: the result of an attempt and the next event to send. A queue is a row of `delivery_queues`.

use chrono::{DateTime, Utc};
use uuid::Uuid;

use super::Due;
use crate::{
    database::Tx,
    events::model::DeliveryStatus,
    values::{id::EventId, string_enum::StringEnum},
};

/// Notifies the workers, at the commit, that a delivery is due.
pub(crate) async fn wake(tx: &mut Tx) -> Result<(), sqlx::Error> {
    sqlx::query!("select pg_notify('lmn_webhooks', '')")
        .execute(&mut **tx)
        .await
        .map(drop)
}

/// A locked delivery queue.
#[derive(Debug, Clone, Copy)]
pub(crate) struct LockedQueue {
    /// The number of attempts to send its head, since that became pending or its attempts were reset.
    pub tries: i32,
    /// The partner's time, read after the lock was acquired.
    pub now: DateTime<Utc>,
}

/// Locks a delivery queue if its lease is still the same. Otherwise returns `None`, and the attempt does not count.
pub(crate) async fn hold(tx: &mut Tx, due: &Due) -> Result<Option<LockedQueue>, sqlx::Error> {
    sqlx::query_as!(
        LockedQueue,
        r#"
        with queue as materialized (
            select tries, partner_id from delivery_queues where id = $1 and lease = $2 for update
        )
        select tries, lmn_now_of(partner_id) as "now!" from queue
        "#,
        due.queue,
        due.lease,
    )
    .fetch_optional(&mut **tx)
    .await
}

/// Records an attempt to send the head of a locked delivery queue.
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
        set delivery_status = $2, queue_id = case when $2 = 'pending' then queue_id end,
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

/// Releases a locked delivery queue whose head is sent again later.
pub(crate) async fn postpone(
    tx: &mut Tx,
    queue: Uuid,
    due_at: DateTime<Utc>,
    tries: i32,
) -> Result<(), sqlx::Error> {
    sqlx::query!(
        "update delivery_queues set due_at = $2, tries = $3, lease = null, leased_until = null where id = $1",
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
        set event_id = next.id, due_at = $2, tries = 0, lease = null, leased_until = null
        from next where delivery_queues.id = $1
        "#,
        queue,
        now,
    )
    .execute(&mut **tx)
    .await
    .map(drop)
}
