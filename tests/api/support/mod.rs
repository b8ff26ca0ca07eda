//! Fixtures of the tests: a [`Service`] on a database of its own, and [`Partner`]s that call it.

pub mod certificate;
mod document;
mod jobs;
mod obstacles;
mod operator;
mod operator_api;
mod partner;
mod records;
mod reply;
mod service;
pub mod settings;
mod sink;
mod vehicle;

pub use document::{Document, Operation, REQUESTS};
pub use jobs::{count_backlog, delete_old_requests, fail_passed, remind_overdue, worker};
pub use obstacles::{
    blocked_sessions, end_blocked_sessions, end_heartbeats, end_sessions, lock_table,
    lock_vehicles, pool_sessions, wait_for_blocked_session, wait_for_no_blocked_session,
};
pub use operator::{Operator, secure, won};
pub use operator_api::OperatorApi;
pub use partner::{Ask, ENDPOINT, Partner, burst_alone, key, limit};
pub use records::{count_keys, count_orders};
pub use reply::Reply;
pub use service::{Service, start_app};
pub use sink::{Answer, Received, Sink};
pub use vehicle::Vehicle;

use std::time::{Duration, Instant};

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
