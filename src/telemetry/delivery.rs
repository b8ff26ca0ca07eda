//! Metrics of webhook deliveries.

use std::time::Duration;

use metrics::{Key, Label, Recorder};
use metrics_exporter_prometheus::PrometheusRecorder;

use super::metrics::{HERE, Metrics};

/// Attempts to deliver an event, by outcome.
const DELIVERIES: &str = "lmn_webhook_attempts_total";
/// Duration of the attempts.
const DELIVERY_DURATION: &str = "lmn_webhook_attempt_duration_seconds";
/// Time from the due time of a delivery to its attempt.
const DELIVERY_LAG: &str = "lmn_webhook_lag_seconds";
/// Events whose last attempt failed.
const GIVEN_UP: &str = "lmn_webhook_events_given_up_total";
/// Endpoints that were disabled, by reason.
const DISABLED: &str = "lmn_webhook_endpoints_disabled_total";
/// Delivery queues that are waiting, by state.
const QUEUES: &str = "lmn_webhook_queues_waiting";
/// Age of the oldest due delivery that no worker has leased.
const OLDEST_DUE: &str = "lmn_webhook_oldest_due_seconds";

/// The outcome of an attempt to deliver an event.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum DeliveryOutcome {
    /// The endpoint acknowledged it.
    Delivered,
    /// The endpoint responded with another status.
    Answered,
    /// The endpoint did not respond.
    Unreachable,
    /// The address of the endpoint is not allowed.
    Refused,
    /// It was not sent, because its lease was about to expire.
    NotSent,
}

impl DeliveryOutcome {
    const ALL: [Self; 5] = [
        Self::Delivered,
        Self::Answered,
        Self::Unreachable,
        Self::Refused,
        Self::NotSent,
    ];

    fn as_str(self) -> &'static str {
        match self {
            Self::Delivered => "delivered",
            Self::Answered => "answered",
            Self::Unreachable => "unreachable",
            Self::Refused => "refused",
            Self::NotSent => "not_sent",
        }
    }
}

/// A completed attempt to deliver an event.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Delivery {
    /// The outcome.
    pub(crate) outcome: DeliveryOutcome,
    /// Time from when it was due to its start.
    pub(crate) lag: Duration,
    /// Its duration.
    pub(crate) took: Duration,
}

/// The delivery queues that are waiting. Each order has a queue, and so does each event that is delivered again.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Backlog {
    /// Queues that are due, of endpoints that do not fail.
    pub(crate) due: i64,
    /// Queues that are due, of failing endpoints. Each of these gets one delivery at a time.
    pub(crate) failing: i64,
    /// Queues whose next attempt is not due yet.
    pub(crate) later: i64,
    /// Queues of disabled endpoints.
    pub(crate) paused: i64,
    /// Age of the oldest due queue that no worker has leased, of endpoints that do not fail.
    pub(crate) oldest_due_seconds: f64,
}

impl Metrics {
    /// Registers the counters of deliveries at zero. `reasons` are the reasons for which endpoints are disabled.
    ///
    /// Workers call this at the start, so that the first increment of a counter is visible.
    pub(crate) fn begin_deliveries(&self, reasons: impl IntoIterator<Item = &'static str>) {
        let outcomes = DeliveryOutcome::ALL.map(DeliveryOutcome::as_str);
        let given_up = (GIVEN_UP, Vec::new());
        let attempts = outcomes
            .into_iter()
            .map(|it| (DELIVERIES, vec![Label::from_static_parts("outcome", it)]));
        let disabled = reasons
            .into_iter()
            .map(|it| (DISABLED, vec![Label::from_static_parts("reason", it)]));
        for (name, labels) in attempts.chain(disabled).chain([given_up]) {
            self.recorder()
                .register_counter(&Key::from_parts(name, labels), &HERE)
                .increment(0);
        }
    }

    /// Sets the gauges of the waiting deliveries.
    pub(crate) fn set_backlog(&self, backlog: &Backlog) {
        for (state, count) in [
            ("due", backlog.due),
            ("failing", backlog.failing),
            ("later", backlog.later),
            ("paused", backlog.paused),
        ] {
            let state = vec![Label::from_static_parts("state", state)];
            let queues = Key::from_parts(QUEUES, state);
            let queues = self.recorder().register_gauge(&queues, &HERE);
            queues.set(u32::try_from(count).unwrap_or(u32::MAX));
        }
        let oldest = Key::from_static_name(OLDEST_DUE);
        let oldest = self.recorder().register_gauge(&oldest, &HERE);
        oldest.set(backlog.oldest_due_seconds);
    }

    /// Counts a completed attempt to deliver an event.
    pub(crate) fn count_delivery(&self, delivery: &Delivery) {
        let outcome = Label::from_static_parts("outcome", delivery.outcome.as_str());
        let key = Key::from_parts(DELIVERIES, vec![outcome]);
        let recorder = self.recorder();
        recorder.register_counter(&key, &HERE).increment(1);
        for (name, time) in [
            (DELIVERY_DURATION, delivery.took),
            (DELIVERY_LAG, delivery.lag),
        ] {
            let histogram = recorder.register_histogram(&Key::from_static_name(name), &HERE);
            histogram.record(time);
        }
    }

    /// Counts an event whose last attempt failed.
    pub(crate) fn count_given_up(&self) {
        let given_up = Key::from_static_name(GIVEN_UP);
        let given_up = self.recorder().register_counter(&given_up, &HERE);
        given_up.increment(1);
    }

    /// Counts an endpoint that was disabled.
    pub(crate) fn count_disabled(&self, reason: &'static str) {
        let reason = vec![Label::from_static_parts("reason", reason)];
        let disabled = Key::from_parts(DISABLED, reason);
        self.recorder()
            .register_counter(&disabled, &HERE)
            .increment(1);
    }
}

/// Adds the help text of each metric.
pub(super) fn describe(recorder: &PrometheusRecorder) {
    for (name, words) in [
        (DELIVERIES, "Attempts to deliver an event, by outcome."),
        (GIVEN_UP, "Events whose last delivery attempt failed."),
        (DISABLED, "Webhook endpoints that were disabled."),
    ] {
        recorder.describe_counter(name.into(), None, words.into());
    }
    for (name, words) in [
        (
            DELIVERY_DURATION,
            "Duration of an attempt to deliver an event, in seconds.",
        ),
        (
            DELIVERY_LAG,
            "Seconds from the due time of a delivery to its attempt. Investigate when this grows.",
        ),
    ] {
        recorder.describe_histogram(name.into(), None, words.into());
    }
    for (name, words) in [
        (
            QUEUES,
            "Delivery queues that are waiting, counted up to 10000, by state: due, failing (due), later, paused.",
        ),
        (
            OLDEST_DUE,
            "Age in seconds of the oldest due delivery that no worker has leased, of endpoints that do not fail. Investigate when this grows.",
        ),
    ] {
        recorder.describe_gauge(name.into(), None, words.into());
    }
}
