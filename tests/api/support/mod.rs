//! Actors for the tests: a [`Service`] on a database of its own, and [`Partner`]s that call it.

mod partner;
mod reply;
mod service;
mod vehicle;

pub use partner::{Partner, key};
pub use reply::Reply;
pub use service::Service;
pub use vehicle::Car;

use std::time::{Duration, Instant};

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
