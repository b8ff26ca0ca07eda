//! The metrics of the shared rate limit; there are none where no store is set.

use std::time::Duration;

use metrics::{Key, Label, Recorder};
use metrics_exporter_prometheus::PrometheusRecorder;

use super::metrics::{HERE, Metrics};

/// Whether the store counts.
const UP: &str = "lmn_rate_limit_shared_up";
/// Requests that this replica limited alone.
const ALONE: &str = "lmn_rate_limit_alone_total";
/// How long the store took.
pub(super) const DURATION: &str = "lmn_rate_limit_shared_duration_seconds";

/// Upper bounds in seconds: from a store beside this process to the time-out.
pub(super) const BUCKETS: [f64; 9] = [
    0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05,
];

/// Why a replica limits a request alone although a shared store is set.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Alone {
    /// The store was asked and failed.
    Failed,
    /// It was known to be away.
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
    /// Takes whether the shared store counts.
    pub(crate) fn set_shared_limits(&self, is_up: bool) {
        let up = Key::from_static_name(UP);
        let up = self.recorder().register_gauge(&up, &HERE);
        up.set(u32::from(is_up));
        for why in [Alone::Failed, Alone::Away] {
            self.add_limited_alone(why, 0);
        }
    }

    /// Counts a request that this replica limits alone.
    pub(crate) fn count_limited_alone(&self, why: Alone) {
        self.add_limited_alone(why, 1);
    }

    fn add_limited_alone(&self, why: Alone, requests: u64) {
        let why = vec![Label::from_static_parts("reason", why.as_str())];
        let alone = Key::from_parts(ALONE, why);
        let alone = self.recorder().register_counter(&alone, &HERE);
        alone.increment(requests);
    }

    /// Takes how long the shared store took to count a request.
    pub(crate) fn record_shared_limit(&self, took: Duration) {
        let duration = Key::from_static_name(DURATION);
        self.recorder()
            .register_histogram(&duration, &HERE)
            .record(took);
    }
}

/// Says in the exposition what each metric is.
pub(super) fn describe(recorder: &PrometheusRecorder) {
    let words = "Whether the shared store of rate limits counts. Look into it when this is 0.";
    recorder.describe_gauge(UP.into(), None, words.into());
    let words = "Requests that this replica limited alone: the shared store failed, or was known to be away.";
    recorder.describe_counter(ALONE.into(), None, words.into());
    let words = "Seconds that the shared store took to count a request.";
    recorder.describe_histogram(DURATION.into(), None, words.into());
}
