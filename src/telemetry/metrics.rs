//! The metrics of an [`App`](crate::app::App): their names, labels and help texts.
//!
//! The values of every label come from a small fixed set: a route is its template, an unknown method is `other`, an
//! unknown path is `unmatched`. Text from a caller never becomes a label. `docs/metrics.md` lists all metrics in a
//! table, and a test compares it with a running server.

use std::{fmt, sync::Arc, time::Duration};

use hyper::{Method, StatusCode};
use metrics::{Counter, Gauge, Key, Label, Level, Metadata, Recorder};
use metrics_exporter_prometheus::{Matcher, PrometheusBuilder, PrometheusRecorder};
use tokio::time::{MissedTickBehavior, interval};
use tokio_util::sync::CancellationToken;

use super::{limits, load::Load, log_writer, requests::Requests, sweep::Remembered};
use crate::values::id::PartnerId;

/// Requests in progress.
const IN_FLIGHT: &str = "lmn_http_requests_in_flight";
/// Requests whose caller disconnected before the response.
const ABANDONED: &str = "lmn_http_requests_abandoned_total";
/// Responses caused by a bug. Page someone when this grows.
const INTERNAL_ERRORS: &str = "lmn_internal_errors_total";
/// API keys that were looked up and not found.
const UNKNOWN_KEYS: &str = "lmn_unknown_keys_total";
/// API keys that were not looked up because their address had tried too many unknown ones.
const THROTTLED_KEYS: &str = "lmn_throttled_keys_total";
/// Orders that failed because their auction passed.
const FAILED_BY_TIME: &str = "lmn_orders_failed_by_time_total";
/// Reminders of overdue deliveries.
const REMINDED: &str = "lmn_overdue_reminders_total";
/// Log lines that were dropped because too many were waiting to be written.
const LOG_LINES_DROPPED: &str = "lmn_log_lines_dropped_total";
/// Connections of each pool, by state.
const CONNECTIONS: &str = "lmn_database_connections";
/// Maximum number of connections of each pool.
const CONNECTIONS_MAX: &str = "lmn_database_connections_max";
/// Time since the database's last response.
const SILENCE: &str = "lmn_database_silence_seconds";
/// The version of this process.
const BUILD: &str = "lmn_build_info";

/// Upper bounds in seconds: from a cached read to the deadline of a request.
const BUCKETS: [f64; 13] = [
    0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0,
];
/// Interval at which the samples of histograms are put into buckets. Otherwise only a scrape does it.
const UPKEEP: Duration = Duration::from_secs(5);
/// The origin of the metrics, which this recorder ignores.
pub(super) const HERE: Metadata<'static> = Metadata::new(module_path!(), Level::INFO, None);

/// The metrics of one [`App`](crate::app::App).
#[derive(Clone)]
pub(crate) struct Metrics(Arc<Inner>);

struct Inner {
    recorder: PrometheusRecorder,
    requests: Requests,
    in_flight: Gauge,
    abandoned: Counter,
    internal_errors: Counter,
    unknown_keys: Counter,
    throttled_keys: Counter,
    failed_by_time: Counter,
    reminded: Counter,
    log_lines_dropped: Counter,
    load: Load,
    remembered: Remembered,
}

impl fmt::Debug for Metrics {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Metrics").finish_non_exhaustive()
    }
}

/// A response, as the metrics count it.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Answered<'a> {
    /// The template of the route, if a route matched.
    pub(crate) route: Option<&'a str>,
    /// The method of the request.
    pub(crate) method: &'a Method,
    /// The status of the response.
    pub(crate) status: StatusCode,
    /// The error code of the response, if it is an error.
    pub(crate) code: Option<&'static str>,
    /// Whether the response is caused by a bug.
    pub(crate) by_our_fault: bool,
    /// The partner, if the request had a valid key.
    pub(crate) partner: Option<PartnerId>,
    /// Time to the response.
    pub(crate) took: Duration,
}

/// The state of a connection pool.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Pool {
    /// Its name.
    pub(crate) name: &'static str,
    /// Connections in use.
    pub(crate) used: u32,
    /// Idle connections.
    pub(crate) idle: u32,
    /// Maximum number of connections.
    pub(crate) max: u32,
}

impl Metrics {
    /// Creates the metrics, all at zero.
    pub(crate) fn new() -> Self {
        // Setting buckets fails only for an empty list.
        let shared_limit = Matcher::Full(limits::DURATION.to_owned());
        let recorder = PrometheusBuilder::new()
            .set_buckets(&BUCKETS)
            .and_then(|it| it.set_buckets_for_metric(shared_limit, &limits::BUCKETS))
            .unwrap_or_default()
            .build_recorder();
        describe(&recorder);
        let version = Label::from_static_parts("version", env!("CARGO_PKG_VERSION"));
        recorder
            .register_gauge(&Key::from_parts(BUILD, vec![version]), &HERE)
            .set(1.0);
        Self(Arc::new(Inner {
            in_flight: recorder.register_gauge(&Key::from_static_name(IN_FLIGHT), &HERE),
            abandoned: recorder.register_counter(&Key::from_static_name(ABANDONED), &HERE),
            internal_errors: recorder
                .register_counter(&Key::from_static_name(INTERNAL_ERRORS), &HERE),
            unknown_keys: recorder.register_counter(&Key::from_static_name(UNKNOWN_KEYS), &HERE),
            throttled_keys: recorder
                .register_counter(&Key::from_static_name(THROTTLED_KEYS), &HERE),
            failed_by_time: recorder
                .register_counter(&Key::from_static_name(FAILED_BY_TIME), &HERE),
            reminded: recorder.register_counter(&Key::from_static_name(REMINDED), &HERE),
            log_lines_dropped: recorder
                .register_counter(&Key::from_static_name(LOG_LINES_DROPPED), &HERE),
            requests: Requests::default(),
            load: Load::new(&recorder),
            remembered: Remembered::new(&recorder),
            recorder,
        }))
    }

    /// Counts a request as in progress until the returned guard is dropped.
    pub(crate) fn begin(&self) -> InFlight {
        self.0.in_flight.increment(1.0);
        InFlight {
            metrics: self.clone(),
            answered: false,
        }
    }

    /// Counts an API key that was not found.
    pub(crate) fn count_unknown_key(&self) {
        self.0.unknown_keys.increment(1);
    }

    /// Counts an API key that was not looked up.
    pub(crate) fn count_throttled_key(&self) {
        self.0.throttled_keys.increment(1);
    }

    /// Counts orders that the scheduled job has failed.
    pub(crate) fn count_failed_by_time(&self, orders: usize) {
        self.0.failed_by_time.increment(orders as u64);
    }

    /// Counts reminders of overdue deliveries.
    pub(crate) fn count_reminded(&self, orders: usize) {
        self.0.reminded.increment(orders as u64);
    }

    /// Sets the gauges of a pool.
    pub(crate) fn set_pool(&self, pool: &Pool) {
        let name = Label::from_static_parts("pool", pool.name);
        for (state, count) in [("used", pool.used), ("idle", pool.idle)] {
            let labels = vec![name.clone(), Label::from_static_parts("state", state)];
            self.gauge(&Key::from_parts(CONNECTIONS, labels)).set(count);
        }
        self.gauge(&Key::from_parts(CONNECTIONS_MAX, vec![name]))
            .set(pool.max);
    }

    /// Sets the time since the database's last response.
    pub(crate) fn set_silence(&self, silence: Duration) {
        self.gauge(&Key::from_static_name(SILENCE)).set(silence);
    }

    /// Returns the metrics of load.
    pub(super) fn load(&self) -> &Load {
        &self.0.load
    }

    /// Returns the metrics of caches.
    pub(super) fn remembered(&self) -> &Remembered {
        &self.0.remembered
    }

    /// Returns the recorder.
    pub(super) fn recorder(&self) -> &PrometheusRecorder {
        &self.0.recorder
    }

    /// Returns all metrics in the text format of Prometheus.
    pub(crate) fn render(&self) -> String {
        // The log belongs to the process and has a counter of its own.
        let dropped = log_writer::dropped_lines();
        self.0.log_lines_dropped.absolute(dropped);
        self.0.recorder.handle().render()
    }

    /// Puts samples into the buckets of the histograms at an interval until `stop` is cancelled.
    pub(crate) async fn upkeep(self, stop: CancellationToken) {
        let handle = self.0.recorder.handle();
        let mut ticks = interval(UPKEEP);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                () = stop.cancelled() => return,
                _ = ticks.tick() => handle.run_upkeep(),
            }
        }
    }

    fn gauge(&self, key: &Key) -> Gauge {
        self.0.recorder.register_gauge(key, &HERE)
    }

    fn count(&self, answered: &Answered<'_>) {
        self.0.requests.count(&self.0.recorder, answered);
        if let Some(partner) = answered.partner {
            self.count_partner(partner, answered.status);
        }
        if answered.by_our_fault {
            self.0.internal_errors.increment(1);
        }
    }
}

/// A request in progress, until it is answered or dropped.
pub(crate) struct InFlight {
    metrics: Metrics,
    answered: bool,
}

impl InFlight {
    /// Counts the response.
    pub(crate) fn end(mut self, answered: &Answered<'_>) {
        self.answered = true;
        self.metrics.count(answered);
    }
}

impl Drop for InFlight {
    fn drop(&mut self) {
        let Inner {
            in_flight,
            abandoned,
            ..
        } = &*self.metrics.0;
        in_flight.decrement(1.0);
        if !self.answered {
            abandoned.increment(1);
        }
    }
}

/// Returns the label of a method. Callers may send unknown methods.
pub(super) fn method(method: &Method) -> &'static str {
    const KNOWN: [&str; 7] = ["GET", "POST", "DELETE", "PUT", "PATCH", "HEAD", "OPTIONS"];
    let known = KNOWN.into_iter().find(|known| *known == method.as_str());
    known.unwrap_or("other")
}

/// Adds the help text of each metric.
fn describe(recorder: &PrometheusRecorder) {
    for (name, words) in [
        (
            ABANDONED,
            "Requests whose caller disconnected before the response.",
        ),
        (
            INTERNAL_ERRORS,
            "Responses caused by a bug (500). Page someone when this grows.",
        ),
        (UNKNOWN_KEYS, "API keys that were looked up and not found."),
        (
            THROTTLED_KEYS,
            "API keys that were not looked up, because their address had tried too many unknown ones.",
        ),
        (
            FAILED_BY_TIME,
            "Orders that failed because their auction passed.",
        ),
        (REMINDED, "Reminders of overdue deliveries."),
        (
            LOG_LINES_DROPPED,
            "Log lines that were dropped because standard error was too slow.",
        ),
    ] {
        recorder.describe_counter(name.into(), None, words.into());
    }
    for (name, words) in [
        (IN_FLIGHT, "Requests in progress."),
        (CONNECTIONS, "Connections of a pool, used and idle."),
        (CONNECTIONS_MAX, "Maximum number of connections of a pool."),
        (
            SILENCE,
            "Seconds since the database's last response on the listening connection.",
        ),
        (BUILD, "The version of this process; always 1."),
    ] {
        recorder.describe_gauge(name.into(), None, words.into());
    }
    super::requests::describe(recorder);
    super::delivery::describe(recorder);
    limits::describe(recorder);
    super::tls::describe(recorder);
    super::load::describe(recorder);
    super::sweep::describe(recorder);
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answered<'a>(route: Option<&'a str>, method: &'a Method) -> Answered<'a> {
        Answered {
            route,
            method,
            status: StatusCode::OK,
            code: None,
            by_our_fault: false,
            partner: None,
            took: Duration::from_millis(3),
        }
    }

    fn assert_line(metrics: &Metrics, line: &str) {
        let text = metrics.render();
        assert!(
            text.lines().any(|it| it == line),
            "`{line}` is missing in {text}"
        );
    }

    #[test]
    fn response_is_counted_by_route_method_status_and_code() {
        let metrics = Metrics::new();
        assert_line(&metrics, "lmn_internal_errors_total 0");
        let route = Some("/v1/orders/{id}");
        metrics.begin().end(&answered(route, &Method::GET));
        let bug = Answered {
            status: StatusCode::INTERNAL_SERVER_ERROR,
            code: Some("internal_error"),
            by_our_fault: true,
            ..answered(route, &Method::GET)
        };
        metrics.begin().end(&bug);
        for line in [
            "lmn_http_requests_total{route=\"/v1/orders/{id}\",method=\"GET\",status=\"200\",code=\"none\"} 1",
            "lmn_http_requests_total{route=\"/v1/orders/{id}\",method=\"GET\",status=\"500\",code=\"internal_error\"} 1",
            "lmn_http_request_duration_seconds_bucket{route=\"/v1/orders/{id}\",method=\"GET\",le=\"0.0025\"} 0",
            "lmn_http_request_duration_seconds_bucket{route=\"/v1/orders/{id}\",method=\"GET\",le=\"0.005\"} 2",
            "lmn_internal_errors_total 1",
            "lmn_http_requests_in_flight 0",
            "lmn_http_requests_abandoned_total 0",
        ] {
            assert_line(&metrics, line);
        }
    }

    #[test]
    fn unknown_methods_and_paths_share_one_label() {
        let metrics = Metrics::new();
        for name in ["PROPFIND", "get", "X-1"] {
            let method = Method::from_bytes(name.as_bytes()).unwrap();
            metrics.begin().end(&answered(None, &method));
        }
        assert_line(
            &metrics,
            "lmn_http_requests_total{route=\"unmatched\",method=\"other\",status=\"200\",code=\"none\"} 3",
        );
    }

    #[test]
    fn dropped_request_is_no_longer_in_flight() {
        let metrics = Metrics::new();
        let request = metrics.begin();
        assert_line(&metrics, "lmn_http_requests_in_flight 1");
        drop(request);
        assert_line(&metrics, "lmn_http_requests_in_flight 0");
        assert_line(&metrics, "lmn_http_requests_abandoned_total 1");
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
