//! Telemetry: log, metrics and traces.
//!
//! The [`log`] has a line for every request, the [`metrics`] count them, and [spans](span) of requests that belong to
//! a trace are [exported](export). The log belongs to the process and is started once. Metrics and spans belong to a
//! replica, so that several replicas in one process, as in tests, count separately, without a global recorder.
//!
//! A new metric is one row in [`declarations`], and one method of [`Metrics`](metrics::Metrics) in the file of its
//! subject.

use std::time::{Duration, Instant};

use hyper::{Method, StatusCode};
use uuid::Uuid;

use crate::values::id::PartnerId;

pub mod declarations;
pub(crate) mod export;
pub(crate) mod jobs;
pub(crate) mod load;
mod log;
pub mod metrics;
pub(crate) mod operations;
pub(crate) mod requests;
pub(crate) mod span;

pub use log::start;
pub(crate) use log::take_panic;

/// Records `requests` reads of an order in new metrics, as the outermost layer does for each request, and returns the
/// time that it took. For a benchmark: metrics cannot be switched off.
#[doc(hidden)]
#[must_use]
pub fn time_recording(requests: u32) -> Duration {
    let metrics = metrics::Metrics::new();
    let partner = PartnerId::from(Uuid::nil());
    let began = Instant::now();
    for _ in 0..requests {
        let in_flight = metrics.begin();
        metrics.record_connection_wait(load::WaitFor::Read, Duration::from_micros(5));
        in_flight.answer(&requests::Answered {
            route: Some("/v1/orders/{id}"),
            method: &Method::GET,
            status: StatusCode::OK,
            code: None,
            by_our_fault: false,
            partner: Some(partner),
            deprecated: None,
            took: Duration::from_micros(200),
        });
    }
    // The upkeep puts samples into buckets, which is part of the cost.
    metrics.run_upkeep();
    began.elapsed()
}
