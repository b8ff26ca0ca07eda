//! Export of spans to a collector: a bounded queue that never blocks a request, and a task that empties it.
//!
//! OpenTelemetry's exporter encodes the spans and sends them as OTLP over HTTP, in its JSON form. Queue and task are
//! not those of its SDK, whose batch processor has a thread of its own, and counts neither the spans that it drops nor
//! those that the collector does not accept. The exporter belongs to a replica, like the metrics.

use std::time::Duration;

use opentelemetry::{InstrumentationScope, KeyValue};
use opentelemetry_otlp::{
    ExporterBuildError, Protocol, RetryPolicy, SpanExporter, WithExportConfig as _,
    WithHttpConfig as _,
};
use opentelemetry_sdk::{Resource, error::OTelSdkResult, trace::SpanExporter as _};
use tokio::{
    sync::mpsc::{Receiver, Sender, channel},
    time::{MissedTickBehavior, interval, sleep},
};
use tokio_util::sync::CancellationToken;

use super::{declarations::label_values, metrics::Metrics, span::Span};
use crate::config::Telemetry;

/// The name of this service in traces.
const SERVICE: &str = "lmn-partner-api";
/// Maximum number of spans in a request to the collector.
const BATCH: usize = 512;

label_values! {
    /// The outcome of an export.
    Exported {
        /// The collector accepted the spans.
        Taken = "exported",
        /// The queue was full.
        Dropped = "dropped",
        /// The collector did not accept the spans.
        Failed = "failed",
    }
}

/// The sending side of the queue, for requests.
#[derive(Debug, Clone)]
pub(crate) struct Spans {
    queue: Sender<Span>,
    metrics: Metrics,
    sample_percent: u32,
}

impl Spans {
    /// Adds a span to the queue without waiting.
    pub(crate) fn leave(&self, span: Span) {
        if self.queue.try_send(span).is_err() {
            self.metrics.count_spans(Exported::Dropped, 1);
        }
    }

    /// Returns whether a request without a trace starts one; `chance` is a random number.
    pub(crate) fn begins(&self, chance: u32) -> bool {
        chance % 100 < self.sample_percent
    }
}

/// The receiving side of the queue, and the task that empties it.
pub(crate) struct Exporter {
    queue: Receiver<Span>,
    metrics: Metrics,
    otlp: SpanExporter,
    scope: InstrumentationScope,
    every: Duration,
    time: Duration,
    /// Whether the last export failed. Only changes are logged.
    failing: bool,
}

/// Creates both sides of the queue, or returns `None` if no collector is set.
pub(crate) fn exporter(
    settings: &Telemetry,
    environment: &'static str,
    metrics: &Metrics,
) -> Option<(Spans, Exporter)> {
    let collector = settings.collector.as_deref()?;
    let otlp = match otlp_exporter(collector, settings.time, environment) {
        Ok(otlp) => otlp,
        Err(error) => {
            tracing::error!(%error, "spans are not exported: the exporter could not be built");
            return None;
        }
    };
    let (sender, receiver) = channel(settings.queue_max);
    let spans = Spans {
        queue: sender,
        metrics: metrics.clone(),
        sample_percent: settings.sample_percent,
    };
    let exporter = Exporter {
        queue: receiver,
        metrics: metrics.clone(),
        otlp,
        scope: InstrumentationScope::builder(SERVICE).build(),
        every: settings.every,
        time: settings.time,
        failing: false,
    };
    Some((spans, exporter))
}

/// Builds OpenTelemetry's exporter, which sends each batch once, within `time`.
fn otlp_exporter(
    collector: &str,
    time: Duration,
    environment: &'static str,
) -> Result<SpanExporter, ExporterBuildError> {
    let mut exporter = SpanExporter::builder()
        .with_http()
        .with_endpoint(collector)
        .with_protocol(Protocol::HttpJson)
        .with_timeout(time)
        .with_retry_policy(RetryPolicy::disabled())
        .build()?;
    let resource = Resource::builder_empty().with_attributes([
        KeyValue::new("service.name", SERVICE),
        KeyValue::new("service.version", env!("CARGO_PKG_VERSION")),
        KeyValue::new("deployment.environment.name", environment),
    ]);
    exporter.set_resource(&resource.build());
    Ok(exporter)
}

impl Exporter {
    /// Exports at an interval until `stop` is cancelled. Then it ends the export in progress and exports the remaining
    /// spans, all within the time of one export.
    pub(crate) async fn run(mut self, stop: CancellationToken) {
        let time = self.time;
        let too_late = async {
            stop.cancelled().await;
            sleep(time).await;
        };
        tokio::select! {
            () = self.export_until(&stop) => {}
            () = too_late => tracing::warn!("timed out while exporting the last spans"),
        }
    }

    async fn export_until(&mut self, stop: &CancellationToken) {
        let mut ticks = interval(self.every);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            let is_last = tokio::select! {
                () = stop.cancelled() => true,
                _ = ticks.tick() => false,
            };
            self.empty().await;
            if is_last {
                return;
            }
        }
    }

    /// Exports all spans in the queue. After a failure, the next call continues.
    async fn empty(&mut self) {
        loop {
            let mut batch = Vec::new();
            while batch.len() < BATCH
                && let Ok(span) = self.queue.try_recv()
            {
                batch.push(span.into_data(&self.scope));
            }
            if batch.is_empty() {
                return;
            }
            let spans = batch.len();
            let result = self.otlp.export(batch).await;
            self.report(&result, spans);
            if result.is_err() {
                return;
            }
        }
    }

    /// Counts the spans by the outcome, and logs if exports started to fail or to succeed.
    fn report(&mut self, result: &OTelSdkResult, spans: usize) {
        let outcome = match result {
            Ok(()) => Exported::Taken,
            Err(_) => Exported::Failed,
        };
        self.metrics.count_spans(outcome, spans);
        match result {
            Err(error) if !self.failing => {
                tracing::warn!(%error, "spans are not exported; retrying, without further warnings");
            }
            Ok(()) if self.failing => tracing::info!("spans are exported again"),
            _ => {}
        }
        self.failing = result.is_err();
    }
}
