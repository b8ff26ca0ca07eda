//! Metrics of load: requests by partner, waiting times, and rejections.
//!
//! Partners are labels, by their public id. The first partners of a process have a label of their own and all others
//! share `other`, so the number of series is bounded.

use std::{
    collections::HashMap,
    fmt,
    sync::{Mutex, PoisonError},
    time::Duration,
};

use hyper::StatusCode;
use metrics::{Counter, Gauge, Histogram, Key, Label, Recorder};
use metrics_exporter_prometheus::PrometheusRecorder;

use super::metrics::{HERE, Metrics};
use crate::values::id::PartnerId;

/// Responses, by partner and outcome.
const PARTNER_REQUESTS: &str = "lmn_partner_requests_total";
/// The maximum number of requests in progress.
const REQUESTS_MAX: &str = "lmn_http_requests_max";
/// Requests that were rejected because too many were in progress.
const SHED: &str = "lmn_http_requests_shed_total";
/// Requests that exceeded a rate limit, by policy.
const LIMITED: &str = "lmn_rate_limited_total";
/// Writes that wait because their partner has too many in progress.
const WRITES_WAITING: &str = "lmn_partner_writes_waiting";
/// Time that these writes waited.
const WRITE_WAIT: &str = "lmn_partner_write_wait_seconds";
/// Writes that timed out while waiting.
const WRITE_WAIT_TIMEOUTS: &str = "lmn_partner_write_wait_timeouts_total";
/// Time to acquire a database connection.
const CONNECTION_WAIT: &str = "lmn_database_wait_seconds";

/// The number of partners with a label of their own.
const PARTNERS_MAX: usize = 500;
/// The label of all other partners.
const OTHER: &str = "other";

/// The limit on requests in progress that was exceeded.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Shed {
    /// The limit of the replica.
    Replica,
    /// The limit of the partner.
    Partner,
}

/// The purpose of a database connection.
#[derive(Debug, Clone, Copy)]
pub(crate) enum WaitFor {
    /// To read.
    Read,
    /// To write; the wait includes the beginning of the transaction.
    Write,
}

/// Handles of these metrics.
pub(super) struct Load {
    shed: [Counter; 2],
    limited: [Counter; 2],
    writes_waiting: Gauge,
    write_wait: Histogram,
    write_wait_timeouts: Counter,
    connection_wait: [Histogram; 2],
    partners: Mutex<HashMap<PartnerId, Outcomes>>,
    others: Outcomes,
}

/// The counters of a partner: responses below 400, 429, other 4xx, and 5xx.
#[derive(Clone)]
struct Outcomes {
    served: Counter,
    limited: Counter,
    refused: Counter,
    failed: Counter,
}

impl Outcomes {
    fn new(recorder: &PrometheusRecorder, partner: &str) -> Self {
        let of = |outcome| {
            let labels = vec![
                Label::new("partner", partner.to_owned()),
                Label::from_static_parts("outcome", outcome),
            ];
            recorder.register_counter(&Key::from_parts(PARTNER_REQUESTS, labels), &HERE)
        };
        Self {
            served: of("served"),
            limited: of("limited"),
            refused: of("refused"),
            failed: of("failed"),
        }
    }

    fn of(&self, status: StatusCode) -> &Counter {
        match status.as_u16() {
            429 => &self.limited,
            500.. => &self.failed,
            400.. => &self.refused,
            _ => &self.served,
        }
    }
}

impl fmt::Debug for Load {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Load").finish_non_exhaustive()
    }
}

impl Load {
    /// Registers the metrics that do not depend on a partner.
    pub(super) fn new(recorder: &PrometheusRecorder) -> Self {
        let counter = |name, label, value| {
            let labels = vec![Label::from_static_parts(label, value)];
            recorder.register_counter(&Key::from_parts(name, labels), &HERE)
        };
        let wait = |purpose| {
            let labels = vec![Label::from_static_parts("purpose", purpose)];
            recorder.register_histogram(&Key::from_parts(CONNECTION_WAIT, labels), &HERE)
        };
        Self {
            shed: ["replica", "partner"].map(|by| counter(SHED, "by", by)),
            limited: ["read", "write"].map(|it| counter(LIMITED, "policy", it)),
            writes_waiting: recorder.register_gauge(&Key::from_static_name(WRITES_WAITING), &HERE),
            write_wait: recorder.register_histogram(&Key::from_static_name(WRITE_WAIT), &HERE),
            write_wait_timeouts: recorder
                .register_counter(&Key::from_static_name(WRITE_WAIT_TIMEOUTS), &HERE),
            connection_wait: ["read", "write"].map(wait),
            partners: Mutex::default(),
            others: Outcomes::new(recorder, OTHER),
        }
    }
}

impl Metrics {
    /// Counts a response to a partner.
    pub(crate) fn count_partner(&self, partner: PartnerId, status: StatusCode) {
        let load = self.load();
        let mut partners = load.partners.lock().unwrap_or_else(PoisonError::into_inner);
        let is_full = partners.len() >= PARTNERS_MAX;
        match partners.get(&partner) {
            Some(outcomes) => outcomes.of(status).increment(1),
            None if is_full => load.others.of(status).increment(1),
            None => {
                let outcomes = Outcomes::new(self.recorder(), &partner.to_string());
                outcomes.of(status).increment(1);
                partners.insert(partner, outcomes);
            }
        }
    }

    /// Sets the maximum number of requests in progress.
    pub(crate) fn set_requests_max(&self, max: usize) {
        let gauge = self
            .recorder()
            .register_gauge(&Key::from_static_name(REQUESTS_MAX), &HERE);
        gauge.set(u32::try_from(max).unwrap_or(u32::MAX));
    }

    /// Counts a request that was rejected because too many were in progress.
    pub(crate) fn count_shed(&self, by: Shed) {
        let [replica, partner] = &self.load().shed;
        match by {
            Shed::Replica => replica.increment(1),
            Shed::Partner => partner.increment(1),
        }
    }

    /// Counts a request that exceeded a rate limit. `is_read` selects the policy.
    pub(crate) fn count_rate_limited(&self, is_read: bool) {
        let [read, write] = &self.load().limited;
        if is_read { read } else { write }.increment(1);
    }

    /// Counts a write as waiting until the returned guard is dropped.
    pub(crate) fn begin_write_wait(&self) -> WriteWait {
        self.load().writes_waiting.increment(1.0);
        WriteWait {
            metrics: self.clone(),
            began: std::time::Instant::now(),
        }
    }

    /// Counts a write that timed out while waiting.
    pub(crate) fn count_write_wait_timeout(&self) {
        self.load().write_wait_timeouts.increment(1);
    }

    /// Records the time to acquire a connection.
    pub(crate) fn record_connection_wait(&self, purpose: WaitFor, took: Duration) {
        let [read, write] = &self.load().connection_wait;
        let histogram = match purpose {
            WaitFor::Read => read,
            WaitFor::Write => write,
        };
        histogram.record(took);
    }
}

/// A guard for a waiting write, which also ends the wait if the caller gives up.
pub(crate) struct WriteWait {
    metrics: Metrics,
    began: std::time::Instant,
}

impl Drop for WriteWait {
    fn drop(&mut self) {
        let load = self.metrics.load();
        load.writes_waiting.decrement(1.0);
        load.write_wait.record(self.began.elapsed());
    }
}

/// Adds the help text of each metric.
pub(super) fn describe(recorder: &PrometheusRecorder) {
    for (name, words) in [
        (
            PARTNER_REQUESTS,
            "Responses to requests with a valid key, by partner: served, refused (4xx), limited (429), failed (5xx).",
        ),
        (
            SHED,
            "Requests rejected with 503 because too many were in progress: of the replica, or of one partner.",
        ),
        (
            LIMITED,
            "Requests that exceeded a rate limit (429), by policy.",
        ),
        (
            WRITE_WAIT_TIMEOUTS,
            "Writes rejected with 503 because they waited too long for the partner's write limit.",
        ),
    ] {
        recorder.describe_counter(name.into(), None, words.into());
    }
    for (name, words) in [
        (REQUESTS_MAX, "Maximum number of requests in progress."),
        (
            WRITES_WAITING,
            "Writes that are waiting for the partner's write limit.",
        ),
    ] {
        recorder.describe_gauge(name.into(), None, words.into());
    }
    for (name, words) in [
        (
            WRITE_WAIT,
            "Time in seconds that writes waited for the partner's write limit, of those that waited.",
        ),
        (
            CONNECTION_WAIT,
            "Time in seconds to acquire a connection of the pool; for a write, also to begin its transaction.",
        ),
    ] {
        recorder.describe_histogram(name.into(), None, words.into());
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use uuid::Uuid;

    #[test]
    fn partners_beyond_the_first_share_a_label() {
        let metrics = Metrics::new();
        for _ in 0..PARTNERS_MAX + 7 {
            let partner = PartnerId::from(Uuid::new_v4());
            metrics.count_partner(partner, StatusCode::OK);
            metrics.count_partner(partner, StatusCode::TOO_MANY_REQUESTS);
        }
        let text = metrics.render();
        let served = |it: &&str| {
            it.starts_with("lmn_partner_requests_total{") && it.contains("outcome=\"served\"")
        };
        assert_eq!(text.lines().filter(served).count(), PARTNERS_MAX + 1);
        for outcome in ["served", "limited"] {
            let line =
                format!("lmn_partner_requests_total{{partner=\"other\",outcome=\"{outcome}\"}} 7");
            assert!(text.lines().any(|it| it == line), "{line}");
        }
    }

    #[test]
    fn write_that_gives_up_is_no_longer_counted_as_waiting() {
        let metrics = Metrics::new();
        let waiting = metrics.begin_write_wait();
        assert!(metrics.render().contains("lmn_partner_writes_waiting 1\n"));
        drop(waiting);
        assert!(metrics.render().contains("lmn_partner_writes_waiting 0\n"));
        assert!(
            metrics
                .render()
                .contains("lmn_partner_write_wait_seconds_count 1\n")
        );
    }
}
