//! The metrics of deliveries.

use std::time::Duration;

use metrics::{Key, Label, Recorder};
use metrics_exporter_prometheus::PrometheusRecorder;

use super::metrics::{HERE, Metrics};

/// Attempts to deliver an event, by outcome.
const DELIVERIES: &str = "lmn_webhook_attempts_total";
/// How long they took.
const DELIVERY_DURATION: &str = "lmn_webhook_attempt_duration_seconds";
/// How late they began.
const DELIVERY_LAG: &str = "lmn_webhook_lag_seconds";
/// Events that were given up.
const GIVEN_UP: &str = "lmn_webhook_events_given_up_total";
/// Endpoints that were disabled, by reason.
const DISABLED: &str = "lmn_webhook_endpoints_disabled_total";
/// Lanes that wait, by why.
const LANES: &str = "lmn_webhook_lanes_waiting";
/// How long the oldest one that nobody sends is due.
const OLDEST_DUE: &str = "lmn_webhook_oldest_due_seconds";

/// How an attempt to deliver an event ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum DeliveryOutcome {
    /// It was acknowledged.
    Delivered,
    /// It was answered otherwise.
    Answered,
    /// It was not answered.
    Unreachable,
    /// Where it was to go is not allowed.
    Refused,
    /// It was not sent, because its lease was nearly over.
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

/// An attempt to deliver an event.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Delivery {
    /// How it ended.
    pub(crate) outcome: DeliveryOutcome,
    /// How long after it was due it began.
    pub(crate) lag: Duration,
    /// How long it took.
    pub(crate) took: Duration,
}

/// What waits to be delivered. A lane is an order's queue, or that of an event which is sent again.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Backlog {
    /// Lanes that are due, of endpoints that take what they are sent.
    pub(crate) due: i64,
    /// Lanes that are due, of endpoints that fail: one at a time is sent to each.
    pub(crate) failing: i64,
    /// Lanes whose next attempt is not due yet.
    pub(crate) later: i64,
    /// Lanes of endpoints that are disabled.
    pub(crate) paused: i64,
    /// For how long the oldest lane is due that nobody sends, of endpoints that take what they are sent.
    pub(crate) oldest_due_seconds: f64,
}

impl Metrics {
    /// Begins to count deliveries, all at zero; `reasons` are those for which endpoints are disabled.
    ///
    /// Whoever works counts from the start, so that the first one is seen as one more.
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

    /// Takes what waits to be delivered.
    pub(crate) fn set_backlog(&self, backlog: &Backlog) {
        for (state, count) in [
            ("due", backlog.due),
            ("failing", backlog.failing),
            ("later", backlog.later),
            ("paused", backlog.paused),
        ] {
            let state = vec![Label::from_static_parts("state", state)];
            let lanes = Key::from_parts(LANES, state);
            let lanes = self.recorder().register_gauge(&lanes, &HERE);
            lanes.set(u32::try_from(count).unwrap_or(u32::MAX));
        }
        let oldest = Key::from_static_name(OLDEST_DUE);
        let oldest = self.recorder().register_gauge(&oldest, &HERE);
        oldest.set(backlog.oldest_due_seconds);
    }

    /// Counts an attempt to deliver an event.
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

    /// Counts an event that was given up.
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

/// Says in the exposition what each metric is.
pub(super) fn describe(recorder: &PrometheusRecorder) {
    for (name, words) in [
        (DELIVERIES, "Attempts to deliver an event."),
        (
            GIVEN_UP,
            "Events whose last attempt to be delivered failed.",
        ),
        (DISABLED, "Webhook endpoints that were disabled."),
    ] {
        recorder.describe_counter(name.into(), None, words.into());
    }
    for (name, words) in [
        (
            DELIVERY_DURATION,
            "Seconds from the beginning of an attempt to deliver an event to its end.",
        ),
        (
            DELIVERY_LAG,
            "Seconds from when a delivery was due to its attempt. Look into it when this grows.",
        ),
    ] {
        recorder.describe_histogram(name.into(), None, words.into());
    }
    for (name, words) in [
        (
            LANES,
            "Queues of events that wait for an endpoint, counted up to 10000: due, due at one that fails, later, paused.",
        ),
        (
            OLDEST_DUE,
            "Seconds since the oldest delivery was due that nobody makes, of endpoints that do not fail. Look into it when this grows.",
        ),
    ] {
        recorder.describe_gauge(name.into(), None, words.into());
    }
}
