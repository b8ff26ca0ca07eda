//! Metrics of scheduled jobs, of exported spans, and of caches.

use std::{fmt, time::Duration};

use chrono::{DateTime, Utc};
use metrics::{Counter, Gauge, Histogram, Key, Label, Recorder};
use metrics_exporter_prometheus::PrometheusRecorder;

use super::{
    export::Exported,
    metrics::{HERE, Metrics},
};

/// Runs of scheduled jobs, by job and result.
const SWEEPS: &str = "lmn_sweeps_total";
/// Durations of the runs.
const SWEEP_DURATION: &str = "lmn_sweep_duration_seconds";
/// When a job last succeeded.
const SWEPT_AT: &str = "lmn_sweep_last_done_timestamp_seconds";
/// Spans, by the outcome of their export.
const SPANS: &str = "lmn_trace_spans_total";
/// Vehicles in responses, by whether they were cached.
const CACHED: &str = "lmn_catalogue_cache_total";
/// Vehicles in the search index.
const VEHICLES: &str = "lmn_catalogue_vehicles";
/// Time to read changed vehicles into the search index.
const MERGE_DURATION: &str = "lmn_catalogue_merge_duration_seconds";
/// API keys that were read from the database.
const KEY_READS: &str = "lmn_key_reads_total";

/// A scheduled job.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Sweep {
    /// Fails orders whose auction passed.
    Auctions,
    /// Sends reminders of overdue deliveries.
    Reminders,
    /// Renders vehicles that are not rendered yet.
    Rendering,
    /// Stores when API keys were last used.
    KeyUses,
    /// Counts the deliveries that are waiting.
    Backlog,
}

impl Sweep {
    fn as_str(self) -> &'static str {
        match self {
            Self::Auctions => "auctions",
            Self::Reminders => "reminders",
            Self::Rendering => "rendering",
            Self::KeyUses => "key_uses",
            Self::Backlog => "backlog",
        }
    }
}

/// A cached form of vehicles.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Kind {
    /// The form in lists.
    Summaries,
    /// The form of a single vehicle.
    Details,
}

/// Whether a vehicle was cached.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Cached {
    /// It was cached.
    Hit,
    /// It was read from the database.
    Miss,
}

/// Handles of the metrics of caches.
pub(super) struct Remembered {
    summaries: [Counter; 2],
    details: [Counter; 2],
    vehicles: Gauge,
    merges: Histogram,
    key_reads: Counter,
}

impl fmt::Debug for Remembered {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Remembered").finish_non_exhaustive()
    }
}

impl Remembered {
    /// Registers the metrics.
    pub(super) fn new(recorder: &PrometheusRecorder) -> Self {
        let cached = |kind, result| {
            let labels = vec![
                Label::from_static_parts("kind", kind),
                Label::from_static_parts("result", result),
            ];
            recorder.register_counter(&Key::from_parts(CACHED, labels), &HERE)
        };
        Self {
            summaries: ["hit", "miss"].map(|it| cached("summary", it)),
            details: ["hit", "miss"].map(|it| cached("detail", it)),
            vehicles: recorder.register_gauge(&Key::from_static_name(VEHICLES), &HERE),
            merges: recorder.register_histogram(&Key::from_static_name(MERGE_DURATION), &HERE),
            key_reads: recorder.register_counter(&Key::from_static_name(KEY_READS), &HERE),
        }
    }
}

impl Metrics {
    /// Counts a run of a job with its duration. `done_at` is the time at which it succeeded, if it did.
    pub(crate) fn count_sweep(&self, sweep: Sweep, took: Duration, done_at: Option<DateTime<Utc>>) {
        let label = Label::from_static_parts("sweep", sweep.as_str());
        let result = match done_at {
            Some(_) => "done",
            None => "failed",
        };
        let labels = vec![label.clone(), Label::from_static_parts("result", result)];
        let sweeps: Counter = self
            .recorder()
            .register_counter(&Key::from_parts(SWEEPS, labels), &HERE);
        sweeps.increment(1);
        let key = Key::from_parts(SWEEP_DURATION, vec![label.clone()]);
        let duration: Histogram = self.recorder().register_histogram(&key, &HERE);
        duration.record(took);
        if let Some(at) = done_at {
            let key = Key::from_parts(SWEPT_AT, vec![label]);
            let last: Gauge = self.recorder().register_gauge(&key, &HERE);
            last.set(Duration::from_millis(
                u64::try_from(at.timestamp_millis()).unwrap_or_default(),
            ));
        }
    }

    /// Counts spans by the outcome of their export.
    pub(crate) fn count_spans(&self, outcome: Exported, spans: usize) {
        let result = match outcome {
            Exported::Taken => "exported",
            Exported::Dropped => "dropped",
            Exported::Failed => "failed",
        };
        let labels = vec![Label::from_static_parts("result", result)];
        self.recorder()
            .register_counter(&Key::from_parts(SPANS, labels), &HERE)
            .increment(spans as u64);
    }

    /// Counts vehicles in a response by whether they were cached.
    pub(crate) fn count_cached(&self, kind: Kind, cached: Cached, vehicles: usize) {
        let [hit, miss] = match kind {
            Kind::Summaries => &self.remembered().summaries,
            Kind::Details => &self.remembered().details,
        };
        let counter = match cached {
            Cached::Hit => hit,
            Cached::Miss => miss,
        };
        counter.increment(vehicles as u64);
    }

    /// Sets the number of vehicles in the search index.
    pub(crate) fn set_catalogue_vehicles(&self, vehicles: usize) {
        let vehicles = u32::try_from(vehicles).unwrap_or(u32::MAX);
        self.remembered().vehicles.set(vehicles);
    }

    /// Records the time to read changed vehicles into the search index.
    pub(crate) fn record_catalogue_merge(&self, took: Duration) {
        self.remembered().merges.record(took);
    }

    /// Counts an API key that was read from the database, because its cached entry could not be trusted.
    pub(crate) fn count_key_read(&self) {
        self.remembered().key_reads.increment(1);
    }
}

/// Adds the help text of each metric.
pub(super) fn describe(recorder: &PrometheusRecorder) {
    for (name, words) in [
        (SWEEPS, "Runs of scheduled jobs, done or failed."),
        (
            SPANS,
            "Spans that were exported, dropped because the queue was full, or not accepted by the collector.",
        ),
        (
            CACHED,
            "Vehicles in responses, in lists (summary) and alone (detail), from the cache (hit) or the database (miss).",
        ),
        (
            KEY_READS,
            "API keys that were read from the database because their cached entries could not be trusted.",
        ),
    ] {
        recorder.describe_counter(name.into(), None, words.into());
    }
    let words = "Duration of a run of a scheduled job, in seconds.";
    recorder.describe_histogram(SWEEP_DURATION.into(), None, words.into());
    let words = "Vehicles in the search index.";
    recorder.describe_gauge(VEHICLES.into(), None, words.into());
    let words =
        "Time in seconds to read changed vehicles into the search index, or to load all vehicles.";
    recorder.describe_histogram(MERGE_DURATION.into(), None, words.into());
    let words = "When this process last completed a run of a scheduled job, in unix seconds by the database's clock.";
    recorder.describe_gauge(SWEPT_AT.into(), None, words.into());
}
