//! Audit rows in the database, written in the transaction of the change they tell of.

use chrono::{DateTime, Utc};
use serde_json::Value;

use crate::{db::Tx, id::PartnerId};

/// One change.
#[derive(Debug)]
pub(crate) struct Change<'a> {
    /// Who: `key:<prefix>`, `operator:<account>` or `automatic`.
    pub actor: &'a str,
    /// Whose things were changed.
    pub partner: PartnerId,
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
        insert into audit_log (recorded_at, actor, partner_id, action, subject, details)
        values ($1, $2, $3, $4, $5, $6)
        "#,
        now,
        change.actor,
        change.partner.uuid(),
        change.action,
        change.subject,
        change.details,
    )
    .execute(&mut **tx)
    .await
    .map(drop)
}
