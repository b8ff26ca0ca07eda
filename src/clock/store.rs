//! What time it is.

use chrono::{DateTime, Utc};

use crate::{database::Connection, id::PartnerId};

/// Returns what time it is for a partner: real time, plus its own offset in the sandbox.
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

/// Returns what time it is for LMN itself.
pub(crate) async fn real_now(conn: &mut Connection) -> Result<DateTime<Utc>, sqlx::Error> {
    sqlx::query_scalar!(r#"select lmn_now(0) as "now!""#)
        .fetch_one(conn)
        .await
}
