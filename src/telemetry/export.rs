//! Export of spans to a collector: a bounded queue that never blocks a request, and a task that empties it.
//!
//! Spans are sent as OTLP over HTTP in its JSON form, which every collector accepts at `/v1/traces`. The exporter
//! belongs to a replica, like the metrics. A span that does not fit into the queue, or that the collector does not
//! accept, is counted and dropped.

use std::{io, time::Duration};

use bytes::Bytes;
use http_body_util::{BodyExt, Full, Limited};
use hyper::{
    Request,
    client::conn::http1,
    header::{CONNECTION, CONTENT_TYPE, HOST},
};
use hyper_util::rt::TokioIo;
use tokio::{
    net::TcpStream,
    sync::mpsc::{Receiver, Sender, channel},
    time::{MissedTickBehavior, interval, timeout},
};
use tokio_util::sync::CancellationToken;

use super::{
    declarations::label_values,
    metrics::Metrics,
    span::{self, Span},
};
use crate::config::{Collector, Telemetry};

/// Maximum number of spans in a request to the collector.
const BATCH: usize = 512;
/// Maximum number of bytes that are read of its response.
const ANSWER_BYTES_MAX: usize = 64 * 1024;

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

/// Reasons why an export failed.
#[derive(Debug, thiserror::Error)]
enum ExportError {
    #[error("the collector cannot be reached: {0}")]
    Unreachable(#[from] io::Error),
    #[error("the collector did not respond in HTTP: {0}")]
    Protocol(#[from] hyper::Error),
    #[error("the request could not be built: {0}")]
    Unwritable(#[from] hyper::http::Error),
    #[error("the collector responded with status {0}")]
    Refused(u16),
    #[error("the collector did not respond in time")]
    TooLate,
}

/// The receiving side of the queue, and the task that empties it.
pub(crate) struct Exporter {
    queue: Receiver<Span>,
    metrics: Metrics,
    collector: Collector,
    every: Duration,
    time: Duration,
    environment: &'static str,
    /// Whether the last export failed. Only changes are logged.
    failing: bool,
}

/// Creates both sides of the queue, or returns `None` if no collector is set.
pub(crate) fn exporter(
    settings: &Telemetry,
    environment: &'static str,
    metrics: &Metrics,
) -> Option<(Spans, Exporter)> {
    let collector = settings.collector.clone()?;
    let (sender, receiver) = channel(settings.queue_max);
    let spans = Spans {
        queue: sender,
        metrics: metrics.clone(),
        sample_percent: settings.sample_percent,
    };
    let exporter = Exporter {
        queue: receiver,
        metrics: metrics.clone(),
        collector,
        every: settings.every,
        time: settings.time,
        environment,
        failing: false,
    };
    Some((spans, exporter))
}

impl Exporter {
    /// Exports at an interval until `stop` is cancelled, and then exports the remaining spans within the time of one
    /// export.
    pub(crate) async fn run(mut self, stop: CancellationToken) {
        let mut ticks = interval(self.every);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                () = stop.cancelled() => break,
                _ = ticks.tick() => {
                    // A collector that hangs does not delay the stop.
                    tokio::select! {
                        () = stop.cancelled() => break,
                        () = self.empty() => {}
                    }
                }
            }
        }
        let time = self.time;
        if timeout(time, self.empty()).await.is_err() {
            tracing::warn!("timed out while exporting the last spans");
        }
    }

    /// Exports all spans in the queue.
    async fn empty(&mut self) {
        let mut batch = Vec::new();
        loop {
            while batch.len() < BATCH
                && let Ok(span) = self.queue.try_recv()
            {
                batch.push(span);
            }
            if batch.is_empty() {
                return;
            }
            let result = timeout(self.time, self.send(&batch)).await;
            let result = result.unwrap_or(Err(ExportError::TooLate));
            self.report(&result, batch.len());
            batch.clear();
            if result.is_err() {
                // The next tick continues.
                return;
            }
        }
    }

    /// Counts the spans by the outcome, and logs if exports started to fail or to succeed.
    fn report(&mut self, result: &Result<(), ExportError>, spans: usize) {
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

    async fn send(&self, spans: &[Span]) -> Result<(), ExportError> {
        let Collector { authority, path } = &self.collector;
        let stream = TcpStream::connect(authority).await?;
        let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await?;
        let body = Bytes::from(span::export(spans, self.environment));
        let request = Request::post(path)
            .header(HOST, authority)
            .header(CONTENT_TYPE, "application/json")
            .header(CONNECTION, "close")
            .body(Full::new(body))?;
        let exchange = async {
            let response = sender.send_request(request).await?;
            let status = response.status();
            let _ = Limited::new(response.into_body(), ANSWER_BYTES_MAX)
                .collect()
                .await;
            match status.is_success() {
                true => Ok(()),
                false => Err(ExportError::Refused(status.as_u16())),
            }
        };
        let (exchange, connection) = (std::pin::pin!(exchange), std::pin::pin!(connection));
        let mut exchange = exchange;
        tokio::select! {
            done = &mut exchange => done,
            // The connection may end before the response is read.
            _ = connection => exchange.await,
        }
    }
}
