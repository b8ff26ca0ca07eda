//! The metrics of what goes on by itself: sweeps, exports, and what is remembered instead of being read.

use std::{fmt, time::Duration};

use chrono::{DateTime, Utc};
use metrics::{Counter, Gauge, Histogram, Key, Label, Recorder};
use metrics_exporter_prometheus::PrometheusRecorder;

use super::{
    export::Exported,
    metrics::{HERE, Metrics},
};

/// Sweeps, by what is swept and how it ended.
const SWEEPS: &str = "lmn_sweeps_total";
/// How long they took.
const SWEEP_DURATION: &str = "lmn_sweep_duration_seconds";
/// When the last one was done.
const SWEPT_AT: &str = "lmn_sweep_last_done_timestamp_seconds";
/// Spans, by what became of them.
const SPANS: &str = "lmn_trace_spans_total";
/// Vehicles that were shown, by whether they were cached.
const CACHED: &str = "lmn_catalogue_cache_total";
/// Vehicles that can be searched.
const VEHICLES: &str = "lmn_catalogue_vehicles";
/// Time until changed vehicles could be searched.
const MERGE_DURATION: &str = "lmn_catalogue_merge_duration_seconds";
/// Keys that were read from the database.
const KEY_READS: &str = "lmn_key_reads_total";

/// What is swept.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Sweep {
    /// Orders whose auction passed.
    Auctions,
    /// Deliveries that are overdue.
    Reminders,
    /// Cars that are not rendered.
    Rendering,
    /// When keys were last used.
    KeyUses,
    /// What waits to be delivered.
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

/// A form of vehicles that is cached.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Kind {
    /// As lists show them.
    Summaries,
    /// As they are shown alone.
    Details,
}

/// Whether a vehicle was cached.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Cached {
    /// It was.
    Hit,
    /// It was read.
    Miss,
}

/// The handles of what is counted often.
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
    /// Registers what is always there.
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
    /// Counts a sweep, how long it took, and when it was done if it was.
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

    /// Counts spans by what became of them.
    pub(crate) fn count_spans(&self, became: Exported, spans: usize) {
        let result = match became {
            Exported::Taken => "exported",
            Exported::Dropped => "dropped",
            Exported::Failed => "failed",
        };
        let labels = vec![Label::from_static_parts("result", result)];
        self.recorder()
            .register_counter(&Key::from_parts(SPANS, labels), &HERE)
            .increment(spans as u64);
    }

    /// Counts vehicles that were shown, by whether they were cached.
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

    /// Sets the number of vehicles that can be searched.
    pub(crate) fn set_catalogue_vehicles(&self, vehicles: usize) {
        let vehicles = u32::try_from(vehicles).unwrap_or(u32::MAX);
        self.remembered().vehicles.set(vehicles);
    }

    /// Records how long it took to read changed vehicles and to make them searchable.
    pub(crate) fn record_catalogue_merge(&self, took: Duration) {
        self.remembered().merges.record(took);
    }

    /// Counts a key that was read, because nothing that was remembered could be trusted.
    pub(crate) fn count_key_read(&self) {
        self.remembered().key_reads.increment(1);
    }
}

/// Says in the exposition what each metric is.
pub(super) fn describe(recorder: &PrometheusRecorder) {
    for (name, words) in [
        (SWEEPS, "Sweeps that were done or failed."),
        (
            SPANS,
            "Spans of requests that were exported, dropped because the queue was full, or not taken by the collector.",
        ),
        (
            CACHED,
            "Vehicles that were shown, in lists (summary) and alone (detail), from the cache (hit) or the database (miss).",
        ),
        (
            KEY_READS,
            "API keys that were read from the database, because what was remembered of them could not be trusted.",
        ),
    ] {
        recorder.describe_counter(name.into(), None, words.into());
    }
    let words = "Seconds that a sweep took.";
    recorder.describe_histogram(SWEEP_DURATION.into(), None, words.into());
    let words = "Vehicles that can be searched.";
    recorder.describe_gauge(VEHICLES.into(), None, words.into());
    let words = "Seconds in which changed vehicles were read and became searchable, or all of them were loaded.";
    recorder.describe_histogram(MERGE_DURATION.into(), None, words.into());
    let words = "When a sweep was last done by this process, in seconds since 1970 by the database's clock.";
    recorder.describe_gauge(SWEPT_AT.into(), None, words.into());
}
