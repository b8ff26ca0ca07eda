//! The declarations of all metrics: name, kind, labels and help text of each.
//!
//! The recorder takes help texts and buckets from them, and a series of a metric is registered through its
//! declaration. A test compares them with `docs/metrics.md`, the dashboard, the alerts, and a running server.

use Kind::{Counter, Gauge, Histogram};

use super::{
    export::Exported,
    jobs::{DeliveryOutcome, Job, JobResult, QueueState},
    load::{Alone, ConnectionState, Listener, NotLogged, Policy, Shed, WaitFor},
    requests::{Cached, Kind as Form, Outcome},
};

/// The declaration of a metric.
#[derive(Debug, Clone, Copy)]
pub struct Declaration {
    /// Its name.
    pub name: &'static str,
    /// Its kind.
    pub kind: Kind,
    /// Its labels.
    pub labels: &'static [Label],
    /// Its help text.
    pub help: &'static str,
}

/// The kind of a metric.
#[derive(Debug, Clone, Copy)]
pub enum Kind {
    /// A number that only grows.
    Counter,
    /// A number that grows and falls.
    Gauge,
    /// Samples, counted by the upper bounds of their buckets.
    Histogram(&'static [f64]),
}

/// A label of a metric.
#[derive(Debug, Clone, Copy)]
pub struct Label {
    /// Its name.
    pub name: &'static str,
    /// Its values; empty if they are not declared.
    pub values: &'static [&'static str],
}

/// Declares a label whose values are not declared.
const fn open(name: &'static str) -> Label {
    Label { name, values: &[] }
}

/// Declares a label with all its values.
const fn closed(name: &'static str, values: &'static [&'static str]) -> Label {
    Label { name, values }
}

/// Declares an enumeration of the values of a label.
macro_rules! label_values {
    ($(#[doc = $doc:literal])* $name:ident { $($(#[doc = $meaning:literal])* $variant:ident = $word:literal,)+ }) => {
        $(#[doc = $doc])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq)]
        pub(crate) enum $name {
            $($(#[doc = $meaning])* $variant,)+
        }

        impl $name {
            /// All values of the label.
            pub(super) const WORDS: &'static [&'static str] = &[$($word),+];

            /// Returns the value of the label.
            pub(crate) fn as_str(self) -> &'static str {
                match self { $(Self::$variant => $word,)+ }
            }
        }
    };
}
pub(super) use label_values;

/// Upper bounds in seconds: from a cached read to the deadline of a request.
const DURATIONS: &[f64] = &[
    0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0,
];
/// Upper bounds in seconds: from a shared rate-limit store on the same host to its timeout.
const SHARED_STORE_DURATIONS: &[f64] = &[
    0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05,
];

/// Generates a constant for each row of the table below, and `ALL`.
macro_rules! declare {
    ($($metric:ident: $name:literal, $kind:expr, [$($label:expr),*], $help:literal;)+) => {
        $(
            #[doc = $help]
            pub const $metric: Declaration = Declaration {
                name: $name,
                kind: $kind,
                labels: &[$($label),*],
                help: $help,
            };
        )+

        /// All metrics, in the order of `docs/metrics.md`.
        pub const ALL: &[Declaration] = &[$($metric),+];
    };
}

declare! {
    BUILD_INFO: "lmn_build_info", Gauge, [open("version")],
        "The version of this process; always 1.";

    HTTP_REQUESTS: "lmn_http_requests_total", Counter,
        [open("route"), open("method"), open("status"), open("code")],
        "Requests that got a response.";
    HTTP_REQUEST_DURATION: "lmn_http_request_duration_seconds", Histogram(DURATIONS),
        [open("route"), open("method")],
        "Seconds from the head of a request to its response.";
    HTTP_REQUESTS_IN_FLIGHT: "lmn_http_requests_in_flight", Gauge, [],
        "Requests in progress.";
    HTTP_REQUESTS_MAX: "lmn_http_requests_max", Gauge, [],
        "Maximum number of requests in progress.";
    HTTP_REQUESTS_SHED: "lmn_http_requests_shed_total", Counter, [closed("by", Shed::WORDS)],
        "Requests rejected with 503 because too many were in progress: of the replica, or of one partner.";
    HTTP_REQUESTS_ABANDONED: "lmn_http_requests_abandoned_total", Counter, [],
        "Requests whose caller disconnected before the response.";
    CONNECTIONS_REFUSED: "lmn_connections_refused_total", Counter, [],
        "Connections that were closed at once because their client address had too many.";
    PARTNER_REQUESTS: "lmn_partner_requests_total", Counter,
        [open("partner"), closed("outcome", Outcome::WORDS)],
        "Responses to requests with a valid key, by partner: served, refused (4xx), limited (429), failed (5xx).";
    DEPRECATED_REQUESTS: "lmn_deprecated_requests_total", Counter,
        [open("operation"), open("partner")],
        "Responses of deprecated operations, by partner; none is a request without a valid key.";
    INTERNAL_ERRORS: "lmn_internal_errors_total", Counter, [],
        "Responses caused by a bug (500). Page someone when this grows.";
    REQUEST_LOG_DROPPED: "lmn_request_log_dropped_total", Counter,
        [closed("reason", NotLogged::WORDS)],
        "Requests that are missing in the request log: its queue was full, their caller was refused too often, or they could not be inserted.";

    KEY_READS: "lmn_key_reads_total", Counter, [],
        "API keys that were read from the database because their cached entries could not be trusted.";
    UNKNOWN_KEYS: "lmn_unknown_keys_total", Counter, [],
        "API keys that were looked up and not found.";
    THROTTLED_KEYS: "lmn_throttled_keys_total", Counter, [],
        "API keys that were not looked up, because their address had tried too many unknown ones.";

    RATE_LIMITED: "lmn_rate_limited_total", Counter, [closed("policy", Policy::WORDS)],
        "Requests that exceeded a rate limit (429), by policy.";
    RATE_LIMIT_SHARED_UP: "lmn_rate_limit_shared_up", Gauge, [],
        "Whether the shared rate-limit store is available (1) or not (0). Investigate when this is 0.";
    RATE_LIMIT_SHARED_DURATION: "lmn_rate_limit_shared_duration_seconds",
        Histogram(SHARED_STORE_DURATIONS), [],
        "Time in seconds to count a request in the shared store.";
    RATE_LIMIT_LOCAL: "lmn_rate_limit_local_total", Counter, [closed("reason", Alone::WORDS)],
        "Requests that this replica limited alone: the shared store failed, or was unavailable before.";

    PARTNER_WRITES_WAITING: "lmn_partner_writes_waiting", Gauge, [],
        "Writes that are waiting for the partner's write limit.";
    PARTNER_WRITE_WAIT: "lmn_partner_write_wait_seconds", Histogram(DURATIONS), [],
        "Time in seconds that writes waited for the partner's write limit, of those that waited.";
    PARTNER_WRITE_WAIT_TIMEOUTS: "lmn_partner_write_wait_timeouts_total", Counter, [],
        "Writes rejected with 503 because they waited too long for the partner's write limit.";

    DATABASE_CONNECTIONS: "lmn_database_connections", Gauge,
        [closed("pool", &["requests"]), closed("state", ConnectionState::WORDS)],
        "Connections of a pool, used and idle.";
    DATABASE_CONNECTIONS_MAX: "lmn_database_connections_max", Gauge,
        [closed("pool", &["requests"])],
        "Maximum number of connections of a pool.";
    DATABASE_WAIT: "lmn_database_wait_seconds", Histogram(DURATIONS),
        [closed("purpose", WaitFor::WORDS)],
        "Time in seconds to acquire a connection of the pool; for a write, also to begin its transaction.";
    DATABASE_SILENCE: "lmn_database_silence_seconds", Gauge, [],
        "Seconds since the database's last response on the listening connection, or since no write could begin.";

    CATALOGUE_VEHICLES: "lmn_catalogue_vehicles", Gauge, [],
        "Vehicles in the search index.";
    CATALOGUE_MERGE_DURATION: "lmn_catalogue_merge_duration_seconds", Histogram(DURATIONS), [],
        "Time in seconds to read changed vehicles into the search index, or to load all vehicles.";
    CATALOGUE_CACHE: "lmn_catalogue_cache_total", Counter,
        [closed("kind", Form::WORDS), closed("result", Cached::WORDS)],
        "Vehicles in responses, in lists (summary) and alone (detail), from the cache (hit) or the database (miss).";

    JOBS: "lmn_jobs_total", Counter,
        [closed("name", Job::WORDS), closed("result", JobResult::WORDS)],
        "Runs of scheduled jobs, done or failed.";
    JOB_DURATION: "lmn_job_duration_seconds", Histogram(DURATIONS), [closed("name", Job::WORDS)],
        "Duration of a run of a scheduled job, in seconds.";
    JOB_LAST_SUCCESS: "lmn_job_last_success_timestamp_seconds", Gauge, [closed("name", Job::WORDS)],
        "When this process last completed a run of a scheduled job, in unix seconds by the database's clock.";
    ORDERS_FAILED_BY_TIME: "lmn_orders_failed_by_time_total", Counter, [],
        "Orders that failed because their auction passed.";
    OVERDUE_REMINDERS: "lmn_overdue_reminders_total", Counter, [],
        "Reminders of overdue deliveries.";

    WEBHOOK_ATTEMPTS: "lmn_webhook_attempts_total", Counter,
        [closed("outcome", DeliveryOutcome::WORDS)],
        "Attempts to deliver an event, by outcome.";
    WEBHOOK_ATTEMPT_DURATION: "lmn_webhook_attempt_duration_seconds", Histogram(DURATIONS), [],
        "Duration of an attempt to deliver an event, in seconds.";
    WEBHOOK_LAG: "lmn_webhook_lag_seconds", Histogram(DURATIONS), [],
        "Seconds from the due time of a delivery to its attempt. Investigate when this grows.";
    WEBHOOK_EVENTS_GIVEN_UP: "lmn_webhook_events_given_up_total", Counter, [],
        "Events whose last delivery attempt failed.";
    WEBHOOK_ENDPOINTS_DISABLED: "lmn_webhook_endpoints_disabled_total", Counter,
        [closed("reason", &["endpoint_gone", "failing_for_five_days"])],
        "Webhook endpoints that were disabled.";
    WEBHOOK_QUEUES_WAITING: "lmn_webhook_queues_waiting", Gauge,
        [closed("state", QueueState::WORDS)],
        "Delivery queues that are waiting, counted up to 10000, by state: due, failing (due), later, paused.";
    WEBHOOK_OLDEST_DUE: "lmn_webhook_oldest_due_seconds", Gauge, [],
        "Age in seconds of the oldest due delivery that no worker has leased, of endpoints that do not fail. Investigate when this grows.";

    TRACE_SPANS: "lmn_trace_spans_total", Counter, [closed("result", Exported::WORDS)],
        "Spans that were exported, dropped because the queue was full, or not accepted by the collector.";
    LOG_LINES_DROPPED: "lmn_log_lines_dropped_total", Counter, [],
        "Log lines that were dropped because standard error was too slow.";

    TLS_CERTIFICATE_EXPIRY: "lmn_tls_certificate_expiry_timestamp_seconds", Gauge,
        [closed("listener", Listener::WORDS)],
        "Unix time at which the certificate of new connections expires.";
    TLS_BAD_CERTIFICATES: "lmn_tls_bad_certificates_total", Counter,
        [closed("listener", Listener::WORDS)],
        "Changes of the certificate files that were not a valid pair; the last valid one stays in use. Investigate when this grows.";
    TLS_HANDSHAKES_FAILED: "lmn_tls_handshakes_failed_total", Counter,
        [closed("listener", Listener::WORDS)],
        "TLS handshakes that failed or timed out.";
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn declarations_are_well_formed() {
        let names: BTreeSet<_> = ALL.iter().map(|it| it.name).collect();
        assert_eq!(names.len(), ALL.len(), "a name is declared twice");
        for Declaration {
            name, kind, help, ..
        } in ALL
        {
            assert!(name.starts_with("lmn_"), "{name}");
            assert!(help.ends_with('.') && !help.contains('|'), "{name}");
            let is_counter = matches!(kind, Counter);
            assert_eq!(is_counter, name.ends_with("_total"), "{name}");
            if let Histogram(buckets) = kind {
                assert!(name.ends_with("_seconds"), "{name}");
                assert!(buckets.is_sorted() && !buckets.is_empty(), "{name}");
            }
        }
    }
}
