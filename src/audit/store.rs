//! Audit rows in the database, written in the transaction of the change they tell of.

use chrono::{DateTime, Utc};
use serde_json::Value;

use super::model::{Author, Entry};
use crate::{
    database::{Connection, Tx},
    id::PartnerId,
};

/// One change.
#[derive(Debug)]
pub(crate) struct Change<'a> {
    /// Who, and under which request.
    pub author: &'a Author,
    /// Whose things were changed, if it is about one partner.
    pub partner: Option<PartnerId>,
    /// What was done, as `noun.verb`.
    pub action: &'a str,
    /// To what.
    pub subject: &'a str,
    /// What else there is to know.
    pub details: Value,
}

/// Records a change.
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
        change.author.actor,
        change.partner.map(PartnerId::uuid),
        change.action,
        change.subject,
        change.author.request_id.to_string(),
        change.details,
    )
    .execute(&mut **tx)
    .await
    .map(drop)
}

/// Lists the last `limit` changes of one partner's things or of all, and since when; the last one first.
pub(crate) async fn list_latest(
    conn: &mut Connection,
    partner: Option<PartnerId>,
    since: Option<DateTime<Utc>>,
    limit: i64,
) -> Result<Vec<Entry>, sqlx::Error> {
    sqlx::query_as!(
        Entry,
        r#"
        select recorded_at as "recorded_at!", actor as "actor!", action as "action!", subject as "subject!",
               partners.name as "partner?", request_id, details as "details!"
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
