//! Actors for the tests: a [`Service`] on a database of its own, and [`Partner`]s that call it.

mod document;
mod operator;
mod partner;
mod reply;
mod service;
mod sink;
mod vehicle;

pub use document::{Document, Operation};
pub use operator::{Operator, secure, won};
pub use partner::{Ask, Partner, key};
pub use reply::Reply;
pub use service::Service;
pub use sink::{Answer, Received, Sink};
pub use vehicle::Car;

use std::time::{Duration, Instant};

use sqlx::PgPool;

/// How long [`eventually`] waits for what must happen.
const PATIENCE: Duration = Duration::from_secs(30);

/// Tries again until `attempt` succeeds; fails loudly when it never does.
pub async fn eventually<T>(what: &str, mut attempt: impl AsyncFnMut() -> Option<T>) -> T {
    let started = Instant::now();
    loop {
        if let Some(result) = attempt().await {
            return result;
        }
        assert!(started.elapsed() < PATIENCE, "it never happened: {what}");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

/// Waits until a statement waits for a lock: whoever asked is in the middle of its write.
pub async fn somebody_waits(db: &PgPool) {
    eventually("somebody waits for a lock", async || {
        (waiting(db).await > 0).then_some(())
    })
    .await;
}

/// Waits until no statement waits for a lock any more.
pub async fn nobody_waits(db: &PgPool) {
    eventually("nobody waits for a lock", async || {
        (waiting(db).await == 0).then_some(())
    })
    .await;
}

async fn waiting(db: &PgPool) -> i64 {
    let statement = "select count(*) from pg_stat_activity
                     where datname = current_database() and wait_event_type = 'Lock'";
    sqlx::query_scalar(statement)
        .fetch_one(db)
        .await
        .expect(statement)
}
