//! SQL of the audit log. A row is written in the transaction of its change.

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use uuid::Uuid;

use super::{Actor, Entry};
use crate::{
    database::{Connection, Tx},
    values::id::{OrderId, PartnerId},
};

/// A change to record.
#[derive(Debug)]
pub(crate) struct Change<'a> {
    /// The actor, with the request.
    pub actor: &'a Actor,
    /// The partner that the change concerns, if it is one.
    pub partner: Option<PartnerId>,
    /// The action, as `noun.verb`.
    pub action: &'a str,
    /// The id or name of what was changed.
    pub subject: &'a str,
    /// Further details.
    pub details: Value,
}

/// Writes the audit row of a change.
pub(crate) async fn record(
    tx: &mut Tx,
    change: &Change<'_>,
    now: DateTime<Utc>,
) -> Result<(), sqlx::Error> {
    sqlx::query!(
        r#"
        insert into audit_entries (recorded_at, actor, partner_id, action, subject, request_id, details)
        values ($1, $2, $3, $4, $5, $6, $7)
        "#,
        now,
        change.actor.actor,
        change.partner.map(PartnerId::uuid),
        change.action,
        change.subject,
        change.actor.request_id.to_string(),
        change.details,
    )
    .execute(&mut **tx)
    .await
    .map(drop)
}

/// Returns the details of the latest change that an action made to a partner's subject.
pub(crate) async fn find_details(
    conn: &mut Connection,
    partner: PartnerId,
    action: &str,
    subject: &str,
) -> Result<Option<Value>, sqlx::Error> {
    sqlx::query_scalar!(
        r#"
        select details
        from audit_entries
        where partner_id = $1 and action = $2 and subject = $3
        order by recorded_at desc, id desc
        limit 1
        "#,
        partner.uuid(),
        action,
        subject,
    )
    .fetch_optional(conn)
    .await
}

/// A position in the list of changes: the time in microseconds, the number, the order and the action.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Position(i64, i64, Option<OrderId>, String);

impl Position {
    /// Returns the position of a change.
    pub(crate) fn of(entry: &Entry) -> Self {
        let time = entry.recorded_at.timestamp_micros();
        Self(
            time,
            entry.id,
            entry.order_id.map(OrderId::from),
            entry.action.clone(),
        )
    }
}

/// Lists up to `limit` changes after a position, newest first: those that concern one partner, or all, and since a time
/// if given.
///
/// Each kind of change is read in the order of its own index, so the list reads as many rows as it returns.
pub(crate) async fn list_after(
    conn: &mut Connection,
    partner: Option<PartnerId>,
    since: Option<DateTime<Utc>>,
    after: Option<&Position>,
    limit: i64,
) -> Result<Vec<Entry>, sqlx::Error> {
    let time = after.and_then(|it| DateTime::from_timestamp_micros(it.0));
    sqlx::query_as!(
        Entry,
        r#"
        with entries as (
            select id, recorded_at, actor, partner_id, action, subject, request_id, details, null::uuid as order_id
            from audit_entries
            where ($1::uuid is null or partner_id = $1) and ($2::timestamptz is null or recorded_at >= $2)
              and ($3::timestamptz is null or recorded_at <= $3)
              and ($3::timestamptz is null or (recorded_at, id, $8::uuid, action)
                   < ($3, $4::bigint, coalesce($5::uuid, $8), $6::text))
            order by recorded_at desc, id desc
            limit $7
        ), placed as (
            select accepted_no, placed_at, placed_by, partner_id, 'order.placed', ulid(id), request_id, '{}'::jsonb, id
            from orders
            where ($1::uuid is null or partner_id = $1) and ($2::timestamptz is null or placed_at >= $2)
              and ($3::timestamptz is null or placed_at <= $3)
              and ($3::timestamptz is null or (placed_at, accepted_no, id, 'order.placed')
                   < ($3, $4::bigint, coalesce($5::uuid, $8), $6::text))
            order by placed_at desc, accepted_no desc
            limit $7
        ), steps as materialized (
            select step.*
            from (select n, made_at, made_by, order_id, status, fulfillment_detail, request_id,
                         case when by <> 'partner' then 'order.advanced'
                              when status = 'cancelled' then 'order.cancelled'
                              else 'order.reported' end as action
                  from order_steps) as step
            where ($1::uuid is null or (select partner_id from orders where orders.id = order_id) = $1)
              and ($2::timestamptz is null or made_at >= $2) and ($3::timestamptz is null or made_at <= $3)
              and ($3::timestamptz is null or (made_at, n::bigint, order_id, step.action)
                   < ($3, $4::bigint, coalesce($5::uuid, $8), $6::text))
            order by made_at desc, n desc, order_id desc
            limit $7
        ), found as (
            select * from entries
            union all
            select * from placed
            union all
            select steps.n, made_at, made_by, partner_id, action, ulid(order_id), steps.request_id,
                   jsonb_build_object(
                       'from', coalesce((select former.status from order_steps as former
                                         where former.order_id = steps.order_id and former.n = steps.n - 1), 'proceed'),
                       'to', steps.status, 'fulfillment_detail', steps.fulfillment_detail),
                   order_id
            from steps join orders on orders.id = order_id
        )
        select found.id as "id!", recorded_at as "recorded_at!", actor as "actor!", action as "action!",
               subject as "subject!", partners.name as "partner?", request_id, details as "details!",
               order_id as "order_id?"
        from found
        left join partners on partners.id = found.partner_id
        order by recorded_at desc, found.id desc, coalesce(order_id, $8) desc, action desc
        limit $7
        "#,
        partner.map(PartnerId::uuid),
        since,
        time,
        after.map(|it| it.1),
        after.and_then(|it| it.2).map(OrderId::uuid),
        after.map(|it| it.3.as_str()),
        limit,
        Uuid::nil(),
    )
    .fetch_all(conn)
    .await
}

/// Lists up to `limit` changes of an order, the oldest first.
pub(crate) async fn list_of_order(
    conn: &mut Connection,
    order: OrderId,
    limit: i64,
) -> Result<Vec<Entry>, sqlx::Error> {
    sqlx::query_as!(
        Entry,
        r#"
        with found as (
            select id, recorded_at, actor, partner_id, action, subject, request_id, details, order_id
            from audit_log where order_id = $1
            union all
            select id, recorded_at, actor, partner_id, action, subject, request_id, details, order_id
            from audit_entries where subject = $2
        )
        select found.id as "id!", recorded_at as "recorded_at!", actor as "actor!", action as "action!",
               subject as "subject!", partners.name as "partner?", request_id, details as "details!",
               order_id as "order_id?"
        from found
        left join partners on partners.id = found.partner_id
        order by recorded_at, found.id
        limit $3
        "#,
        order.uuid(),
        order.to_string(),
        limit,
    )
    .fetch_all(conn)
    .await
}
