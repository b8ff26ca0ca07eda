//! Metrics of background work: jobs, webhook deliveries and the export of spans.

use std::time::Duration;

use chrono::{DateTime, Utc};

use super::{
    declarations::{self, label_values},
    export::Exported,
    metrics::Metrics,
};

label_values! {
    /// A scheduled job.
    Job {
        /// Fails orders whose auction passed.
        Auctions = "auctions",
        /// Sends reminders of overdue deliveries.
        Reminders = "reminders",
        /// Renders vehicles that are not rendered yet.
        Rendering = "rendering",
        /// Stores when API keys were last used.
        KeyUses = "key_uses",
        /// Counts the deliveries that are waiting.
        Backlog = "backlog",
        /// Inserts requests into the request log.
        RequestLog = "request_log",
        /// Deletes old requests from the log.
        OldRequests = "old_requests",
    }
}

label_values! {
    /// The result of a run of a job.
    JobResult {
        /// It succeeded.
        Done = "done",
        /// It failed.
        Failed = "failed",
    }
}

label_values! {
    /// The outcome of an attempt to deliver an event.
    DeliveryOutcome {
        /// The endpoint acknowledged it.
        Delivered = "delivered",
        /// The endpoint responded with another status.
        Answered = "answered",
        /// The endpoint did not respond.
        Unreachable = "unreachable",
        /// The address of the endpoint is not allowed.
        Refused = "refused",
        /// It was abandoned before a response, because its lease had ended.
        Abandoned = "abandoned",
    }
}

label_values! {
    /// The state of a delivery queue that is waiting.
    QueueState {
        /// It is due.
        Due = "due",
        /// It is due, and its endpoint fails.
        Failing = "failing",
        /// Its next attempt is not due yet.
        Later = "later",
        /// Its endpoint is disabled.
        Paused = "paused",
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
    /// Counts a run of a job with its duration. `done_at` is the time at which it succeeded, if it did.
    pub(crate) fn count_job(&self, job: Job, took: Duration, done_at: Option<DateTime<Utc>>) {
        let (registry, job) = (self.registry(), job.as_str());
        let result = match done_at {
            Some(_) => JobResult::Done,
            None => JobResult::Failed,
        };
        registry
            .counter(&declarations::JOBS, [job.into(), result.as_str().into()])
            .increment(1);
        registry
            .histogram(&declarations::JOB_DURATION, [job.into()])
            .record(took);
        if let Some(at) = done_at {
            let milliseconds = u64::try_from(at.timestamp_millis()).unwrap_or_default();
            registry
                .gauge(&declarations::JOB_LAST_SUCCESS, [job.into()])
                .set(Duration::from_millis(milliseconds));
        }
    }

    /// Registers the counters of deliveries at zero. `reasons` are the reasons for which endpoints are disabled.
    ///
    /// Workers call this at the start, so that the first increment of a counter is visible.
    pub(crate) fn begin_deliveries(&self, reasons: impl IntoIterator<Item = &'static str>) {
        let registry = self.registry();
        for outcome in DeliveryOutcome::WORDS.iter().copied() {
            registry
                .counter(&declarations::WEBHOOK_ATTEMPTS, [outcome.into()])
                .increment(0);
        }
        for reason in reasons {
            registry
                .counter(&declarations::WEBHOOK_ENDPOINTS_DISABLED, [reason.into()])
                .increment(0);
        }
        registry
            .counter(&declarations::WEBHOOK_EVENTS_GIVEN_UP, [])
            .increment(0);
    }

    /// Sets the gauges of the waiting deliveries.
    pub(crate) fn set_backlog(&self, backlog: &Backlog) {
        let registry = self.registry();
        for (state, count) in [
            (QueueState::Due, backlog.due),
            (QueueState::Failing, backlog.failing),
            (QueueState::Later, backlog.later),
            (QueueState::Paused, backlog.paused),
        ] {
            let values = [state.as_str().into()];
            registry
                .gauge(&declarations::WEBHOOK_QUEUES_WAITING, values)
                .set(u32::try_from(count).unwrap_or(u32::MAX));
        }
        registry
            .gauge(&declarations::WEBHOOK_OLDEST_DUE, [])
            .set(backlog.oldest_due_seconds);
    }

    /// Counts a completed attempt to deliver an event.
    pub(crate) fn count_delivery(&self, delivery: &Delivery) {
        let registry = self.registry();
        let outcome = delivery.outcome.as_str();
        registry
            .counter(&declarations::WEBHOOK_ATTEMPTS, [outcome.into()])
            .increment(1);
        registry
            .histogram(&declarations::WEBHOOK_ATTEMPT_DURATION, [])
            .record(delivery.took);
        registry
            .histogram(&declarations::WEBHOOK_LAG, [])
            .record(delivery.lag);
    }

    /// Counts an event whose last attempt failed.
    pub(crate) fn count_given_up(&self) {
        self.registry()
            .counter(&declarations::WEBHOOK_EVENTS_GIVEN_UP, [])
            .increment(1);
    }

    /// Counts an endpoint that was disabled.
    pub(crate) fn count_disabled(&self, reason: &'static str) {
        self.registry()
            .counter(&declarations::WEBHOOK_ENDPOINTS_DISABLED, [reason.into()])
            .increment(1);
    }

    /// Counts spans by the outcome of their export.
    pub(crate) fn count_spans(&self, outcome: Exported, spans: usize) {
        self.registry()
            .counter(&declarations::TRACE_SPANS, [outcome.as_str().into()])
            .increment(spans as u64);
    }
}
