//! The metrics of a replica, and the registry of their series.
//!
//! The values of every label come from a small fixed set: a route is its template, an unknown method is `other`, an
//! unknown path is `unmatched`. Text from a caller never becomes a label. The handles of series that requests use are
//! registered once.

use std::{fmt, sync::Arc, time::Duration};

use metrics::{Counter, Gauge, Histogram, Key, Label, Level, Metadata, Recorder, SharedString};
use metrics_exporter_prometheus::{Matcher, PrometheusBuilder, PrometheusRecorder};
use tokio::time::{MissedTickBehavior, interval};
use tokio_util::sync::CancellationToken;

use super::{
    declarations::{self, Declaration, Kind},
    load::Load,
    log,
    requests::Requests,
};

/// Interval at which the samples of histograms are put into buckets. Otherwise only a scrape does it.
const UPKEEP: Duration = Duration::from_secs(5);
/// The origin of the metrics, which this recorder ignores.
const HERE: Metadata<'static> = Metadata::new(module_path!(), Level::INFO, None);

/// The metrics of one replica, cheap to clone.
#[derive(Clone)]
pub struct Metrics(Arc<Inner>);

struct Inner {
    registry: Registry,
    requests: Requests,
    load: Load,
    key_reads: Counter,
    unknown_keys: Counter,
    throttled_keys: Counter,
    catalogue_vehicles: Gauge,
    catalogue_merges: Histogram,
    failed_by_time: Counter,
    reminded: Counter,
    log_lines_dropped: Counter,
}

impl fmt::Debug for Metrics {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Metrics").finish_non_exhaustive()
    }
}

impl Default for Metrics {
    fn default() -> Self {
        Self::new()
    }
}

impl Metrics {
    /// Creates the metrics, all at zero.
    pub fn new() -> Self {
        let registry = Registry::new();
        registry
            .gauge(
                &declarations::BUILD_INFO,
                [env!("CARGO_PKG_VERSION").into()],
            )
            .set(1.0);
        Self(Arc::new(Inner {
            requests: Requests::new(&registry),
            load: Load::new(&registry),
            key_reads: registry.counter(&declarations::KEY_READS, []),
            unknown_keys: registry.counter(&declarations::UNKNOWN_KEYS, []),
            throttled_keys: registry.counter(&declarations::THROTTLED_KEYS, []),
            catalogue_vehicles: registry.gauge(&declarations::CATALOGUE_VEHICLES, []),
            catalogue_merges: registry.histogram(&declarations::CATALOGUE_MERGE_DURATION, []),
            failed_by_time: registry.counter(&declarations::ORDERS_FAILED_BY_TIME, []),
            reminded: registry.counter(&declarations::OVERDUE_REMINDERS, []),
            log_lines_dropped: registry.counter(&declarations::LOG_LINES_DROPPED, []),
            registry,
        }))
    }

    /// Counts an API key that was read from the database, because its cached entry could not be trusted.
    pub(crate) fn count_key_read(&self) {
        self.0.key_reads.increment(1);
    }

    /// Counts an API key that was not found.
    pub(crate) fn count_unknown_key(&self) {
        self.0.unknown_keys.increment(1);
    }

    /// Counts an API key that was not looked up.
    pub(crate) fn count_throttled_key(&self) {
        self.0.throttled_keys.increment(1);
    }

    /// Sets the number of vehicles in the search index.
    pub(crate) fn set_catalogue_vehicles(&self, vehicles: usize) {
        let vehicles = u32::try_from(vehicles).unwrap_or(u32::MAX);
        self.0.catalogue_vehicles.set(vehicles);
    }

    /// Records the time to read changed vehicles into the search index.
    pub(crate) fn record_catalogue_merge(&self, took: Duration) {
        self.0.catalogue_merges.record(took);
    }

    /// Counts orders that the scheduled job has failed.
    pub(crate) fn count_failed_by_time(&self, orders: usize) {
        self.0.failed_by_time.increment(orders as u64);
    }

    /// Counts reminders of overdue deliveries.
    pub(crate) fn count_reminded(&self, orders: usize) {
        self.0.reminded.increment(orders as u64);
    }

    /// Returns the metrics of requests.
    pub(super) fn requests(&self) -> &Requests {
        &self.0.requests
    }

    /// Returns the metrics of load.
    pub(super) fn load(&self) -> &Load {
        &self.0.load
    }

    /// Returns the registry.
    pub(super) fn registry(&self) -> &Registry {
        &self.0.registry
    }

    /// Returns all metrics in the text format of Prometheus.
    pub(crate) fn render(&self) -> String {
        // The log belongs to the process and has a counter of its own.
        let dropped = log::dropped_lines();
        self.0.log_lines_dropped.absolute(dropped);
        self.registry().0.handle().render()
    }

    /// Puts samples into the buckets of the histograms.
    pub(super) fn run_upkeep(&self) {
        self.registry().0.handle().run_upkeep();
    }

    /// Puts samples into the buckets of the histograms at an interval until `stop` is cancelled.
    pub(crate) async fn upkeep(self, stop: CancellationToken) {
        let mut ticks = interval(UPKEEP);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                () = stop.cancelled() => return,
                _ = ticks.tick() => self.run_upkeep(),
            }
        }
    }
}

/// The recorder, which knows every declaration and registers the series of the metrics.
pub(super) struct Registry(PrometheusRecorder);

impl Registry {
    fn new() -> Self {
        let mut builder = PrometheusBuilder::new();
        for metric in declarations::ALL {
            if let Kind::Histogram(buckets) = metric.kind {
                let name = Matcher::Full(metric.name.to_owned());
                // This fails only for an empty list.
                builder = builder
                    .set_buckets_for_metric(name, buckets)
                    .unwrap_or_default();
            }
        }
        let recorder = builder.build_recorder();
        for metric in declarations::ALL {
            let (name, help) = (metric.name.into(), metric.help.into());
            match metric.kind {
                Kind::Counter => recorder.describe_counter(name, None, help),
                Kind::Gauge => recorder.describe_gauge(name, None, help),
                Kind::Histogram(_) => recorder.describe_histogram(name, None, help),
            }
        }
        Self(recorder)
    }

    /// Returns the counter with these values of its labels, in their order, and registers it if it is new.
    pub(super) fn counter<const N: usize>(
        &self,
        metric: &Declaration,
        values: [SharedString; N],
    ) -> Counter {
        self.0.register_counter(&key(metric, values), &HERE)
    }

    /// Returns the gauge with these values of its labels, in their order, and registers it if it is new.
    pub(super) fn gauge<const N: usize>(
        &self,
        metric: &Declaration,
        values: [SharedString; N],
    ) -> Gauge {
        self.0.register_gauge(&key(metric, values), &HERE)
    }

    /// Returns the histogram with these values of its labels, in their order, and registers it if it is new.
    pub(super) fn histogram<const N: usize>(
        &self,
        metric: &Declaration,
        values: [SharedString; N],
    ) -> Histogram {
        self.0.register_histogram(&key(metric, values), &HERE)
    }
}

/// Returns the key of a series.
fn key<const N: usize>(metric: &Declaration, values: [SharedString; N]) -> Key {
    debug_assert_eq!(metric.labels.len(), N, "labels of {}", metric.name);
    let labels = metric.labels.iter().zip(values);
    let labels: Vec<_> = labels
        .map(|(label, value)| Label::new(label.name, value))
        .collect();
    Key::from_parts(metric.name, labels)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn histogram_has_its_declared_buckets() {
        let metrics = Metrics::new();
        metrics.record_shared_limit(Duration::from_micros(300));
        let text = metrics.render();
        for line in [
            "lmn_rate_limit_shared_duration_seconds_bucket{le=\"0.00025\"} 0",
            "lmn_rate_limit_shared_duration_seconds_bucket{le=\"0.0005\"} 1",
        ] {
            assert!(
                text.lines().any(|it| it == line),
                "`{line}` is missing in {text}"
            );
        }
    }

    #[tokio::test(start_paused = true)]
    async fn upkeep_ends_when_stopped() {
        let stop = CancellationToken::new();
        let mut upkeep = std::pin::pin!(Metrics::new().upkeep(stop.clone()));
        let early = tokio::time::timeout(UPKEEP * 3, &mut upkeep).await;
        assert!(early.is_err(), "it ended before it was stopped");
        stop.cancel();
        upkeep.await;
    }
}
