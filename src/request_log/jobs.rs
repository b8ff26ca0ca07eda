//! The job that deletes old requests from the log.

use chrono::TimeDelta;

use super::store;
use crate::{
    config,
    database::{Database, clock},
};

/// Deletes the requests that are older than the log covers. Each transaction deletes a bounded number. Returns their
/// number.
pub async fn delete_old(
    database: &Database,
    settings: &config::RequestLog,
) -> Result<u64, sqlx::Error> {
    let mut all = 0;
    loop {
        let mut tx = database.begin().await?;
        let age = TimeDelta::days(settings.days.into());
        let before = clock::real_now(&mut tx).await? - age;
        let deleted = store::delete_before(&mut tx, before, settings.batch.into()).await?;
        tx.commit().await?;
        all += deleted;
        if deleted < u64::from(settings.batch) {
            return Ok(all);
        }
    }
}
