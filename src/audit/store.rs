//! SQL of the audit log. A row is written in the transaction of its change.

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use serde_json::Value;

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

/// Lists the last `limit` changes, newest first: those that concern one partner, or all, and since a time if given.
pub(crate) async fn list_latest(
    conn: &mut Connection,
    partner: Option<PartnerId>,
    since: Option<DateTime<Utc>>,
    limit: i64,
) -> Result<Vec<Entry>, sqlx::Error> {
    sqlx::query_as!(
        Entry,
        r#"
        select audit_log.id as "id!", recorded_at as "recorded_at!", actor as "actor!", action as "action!",
               subject as "subject!", partners.name as "partner?", request_id, details as "details!"
        from audit_log
        left join partners on partners.id = audit_log.partner_id
        where ($1::uuid is null or partner_id = $1) and ($2::timestamptz is null or recorded_at >= $2)
        order by recorded_at desc, audit_log.id desc
        limit $3
        "#,
        partner.map(PartnerId::uuid),
        since,
        limit,
    )
    .fetch_all(conn)
    .await
}

/// A position in the list of changes: the time in microseconds, the number and the subject.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Position(i64, i64, String);

impl Position {
    /// Returns the position of a change.
    pub(crate) fn of(entry: &Entry) -> Self {
        let time = entry.recorded_at.timestamp_micros();
        Self(time, entry.id, entry.subject.clone())
    }
}

/// Lists up to `limit` changes after a position, newest first: those that concern one partner, or all, and since a time
/// if given.
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
        select audit_log.id as "id!", recorded_at as "recorded_at!", actor as "actor!", action as "action!",
               subject as "subject!", partners.name as "partner?", request_id, details as "details!"
        from audit_log
        left join partners on partners.id = audit_log.partner_id
        where ($1::uuid is null or partner_id = $1)
          and ($2::timestamptz is null or recorded_at >= $2)
          and ($3::timestamptz is null
               or (recorded_at <= $3 and (recorded_at, audit_log.id, subject) < ($3, $4::bigint, $5::text)))
        order by recorded_at desc, audit_log.id desc, subject desc
        limit $6
        "#,
        partner.map(PartnerId::uuid),
        since,
        time,
        after.map(|it| it.1),
        after.map(|it| it.2.as_str()),
        limit,
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
            select id, recorded_at, actor, partner_id, action, subject, request_id, details
            from audit_log where order_id = $1
            union all
            select id, recorded_at, actor, partner_id, action, subject, request_id, details
            from audit_entries where subject = $2
        )
        select found.id as "id!", recorded_at as "recorded_at!", actor as "actor!", action as "action!",
               subject as "subject!", partners.name as "partner?", request_id, details as "details!"
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
