//! Reads of the database's clock. All decisions use its time, passed on as a value.

use chrono::{DateTime, Utc};

use super::Connection;
use crate::values::id::PartnerId;

/// Returns the current time of a partner: real time, plus the offset of its clock in the sandbox.
pub(crate) async fn now(
    conn: &mut Connection,
    partner: PartnerId,
) -> Result<DateTime<Utc>, sqlx::Error> {
    sqlx::query_scalar!(
        r#"select lmn_now(clock_offset_seconds) as "now!" from partners where id = $1"#,
        partner.uuid(),
    )
    .fetch_one(conn)
    .await
}

/// Returns the current real time.
pub(crate) async fn real_now(conn: &mut Connection) -> Result<DateTime<Utc>, sqlx::Error> {
    sqlx::query_scalar!(r#"select lmn_now(0) as "now!""#)
        .fetch_one(conn)
        .await
}
