//! Metrics of the shared rate limit. There are none if no shared store is set.

use std::time::Duration;

use metrics::{Key, Label, Recorder};
use metrics_exporter_prometheus::PrometheusRecorder;

use super::metrics::{HERE, Metrics};

/// Whether the shared store is available.
const UP: &str = "lmn_rate_limit_shared_up";
/// Requests that were limited by this replica alone.
const ALONE: &str = "lmn_rate_limit_local_total";
/// Time to count a request in the store.
pub(super) const DURATION: &str = "lmn_rate_limit_shared_duration_seconds";

/// Upper bounds in seconds: from a store on the same host to the timeout.
pub(super) const BUCKETS: [f64; 9] = [
    0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05,
];

/// Reasons why a replica limits a request alone although a shared store is set.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Alone {
    /// The store failed on this request.
    Failed,
    /// The store was unavailable before this request.
    Away,
}

impl Alone {
    fn as_str(self) -> &'static str {
        match self {
            Self::Failed => "failed",
            Self::Away => "away",
        }
    }
}

impl Metrics {
    /// Sets whether the shared store is available.
    pub(crate) fn set_shared_limits(&self, is_up: bool) {
        let up = Key::from_static_name(UP);
        let up = self.recorder().register_gauge(&up, &HERE);
        up.set(u32::from(is_up));
        for why in [Alone::Failed, Alone::Away] {
            self.add_limited_alone(why, 0);
        }
    }

    /// Counts a request that this replica limited alone.
    pub(crate) fn count_limited_alone(&self, why: Alone) {
        self.add_limited_alone(why, 1);
    }

    fn add_limited_alone(&self, why: Alone, requests: u64) {
        let why = vec![Label::from_static_parts("reason", why.as_str())];
        let alone = Key::from_parts(ALONE, why);
        let alone = self.recorder().register_counter(&alone, &HERE);
        alone.increment(requests);
    }

    /// Records the time that the shared store took to count a request.
    pub(crate) fn record_shared_limit(&self, took: Duration) {
        let duration = Key::from_static_name(DURATION);
        self.recorder()
            .register_histogram(&duration, &HERE)
            .record(took);
    }
}

/// Adds the help text of each metric.
pub(super) fn describe(recorder: &PrometheusRecorder) {
    let words = "Whether the shared rate-limit store is available (1) or not (0). Investigate when this is 0.";
    recorder.describe_gauge(UP.into(), None, words.into());
    let words = "Requests that this replica limited alone: the shared store failed, or was unavailable before.";
    recorder.describe_counter(ALONE.into(), None, words.into());
    let words = "Time in seconds to count a request in the shared store.";
    recorder.describe_histogram(DURATION.into(), None, words.into());
}
