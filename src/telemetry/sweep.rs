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
/// Questions about the catalogue, by whether their answer was kept.
const KEPT: &str = "lmn_catalogue_shelf_total";
/// Keys that were read from the database.
const KEY_READS: &str = "lmn_key_reads_total";

/// What is swept.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Sweep {
    /// Orders whose auction passed.
    Auctions,
    /// Deliveries that are overdue.
    Reminders,
    /// The values that a search form offers.
    Facets,
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
            Self::Facets => "facets",
            Self::Rendering => "rendering",
            Self::KeyUses => "key_uses",
            Self::Backlog => "backlog",
        }
    }
}

/// What is kept of the catalogue.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Kind {
    /// Pages of lists.
    Pages,
    /// Single cars.
    Vehicles,
}

/// The handles of what is counted often.
pub(super) struct Remembered {
    pages: [Counter; 2],
    vehicles: [Counter; 2],
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
        let kept = |kind, result| {
            let labels = vec![
                Label::from_static_parts("kind", kind),
                Label::from_static_parts("result", result),
            ];
            recorder.register_counter(&Key::from_parts(KEPT, labels), &HERE)
        };
        Self {
            pages: ["hit", "miss"].map(|it| kept("page", it)),
            vehicles: ["hit", "miss"].map(|it| kept("vehicle", it)),
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

    /// Counts a question about the catalogue, by whether its answer was kept.
    pub(crate) fn count_kept(&self, kind: Kind, is_hit: bool) {
        let [hit, miss] = match kind {
            Kind::Pages => &self.remembered().pages,
            Kind::Vehicles => &self.remembered().vehicles,
        };
        if is_hit { hit } else { miss }.increment(1);
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
            KEPT,
            "Questions about the catalogue whose answer was kept (hit) or was read (miss).",
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
    let words = "When a sweep was last done by this process, in seconds since 1970 by the database's clock.";
    recorder.describe_gauge(SWEPT_AT.into(), None, words.into());
}
