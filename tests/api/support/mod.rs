//! Fixtures of the tests: a [`Service`] on a database of its own, and [`Partner`]s that call it.

mod document;
mod jobs;
mod operator;
mod partner;
mod reply;
mod service;
mod sink;
mod vehicle;

pub use document::{Document, Operation};
pub use jobs::{count_backlog, fail_passed, remind_overdue, worker};
pub use operator::{Operator, secure, won};
pub use partner::{Ask, Partner, key};
pub use reply::Reply;
pub use service::Service;
pub use sink::{Answer, Received, Sink};
pub use vehicle::Vehicle;

use std::time::{Duration, Instant};

use sqlx::PgPool;

/// Time that [`eventually`] waits at most.
const TIMEOUT: Duration = Duration::from_secs(30);

/// Repeats `attempt` until it returns a value. Panics after 30 seconds.
pub async fn eventually<T>(what: &str, mut attempt: impl AsyncFnMut() -> Option<T>) -> T {
    let started = Instant::now();
    loop {
        if let Some(result) = attempt().await {
            return result;
        }
        assert!(started.elapsed() < TIMEOUT, "it never happened: {what}");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

/// Waits until a statement waits for a lock, so that a write is in progress.
pub async fn wait_for_blocked_session(db: &PgPool) {
    eventually("a statement waits for a lock", async || {
        (lock_waits(db).await > 0).then_some(())
    })
    .await;
}

/// Waits until no statement waits for a lock any more.
pub async fn wait_for_no_blocked_session(db: &PgPool) {
    eventually("no statement waits for a lock", async || {
        (lock_waits(db).await == 0).then_some(())
    })
    .await;
}

async fn lock_waits(db: &PgPool) -> i64 {
    let statement = "select count(*) from pg_stat_activity
                     where datname = current_database() and wait_event_type = 'Lock'";
    sqlx::query_scalar(statement)
        .fetch_one(db)
        .await
        .expect(statement)
}
