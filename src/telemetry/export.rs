//! Spans on their way to a collector: a bounded queue that no request waits for, and one task that empties it.
//!
//! One span a request needs no more than this: OTLP over HTTP, as JSON, which every collector takes at `/v1/traces`. It
//! belongs to an [`App`](crate::app::App), like the metrics. What does not fit into the queue, or is not taken by the
//! collector, is counted and forgotten.

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
    metrics::Metrics,
    span::{self, Span},
};
use crate::settings::{Collector, Telemetry};

/// Spans of one request to the collector.
const BATCH: usize = 512;
/// How much of its answer is read.
const ANSWER_BYTES_MAX: usize = 64 * 1024;

/// What became of spans.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Exported {
    /// The collector took them.
    Taken,
    /// The queue was full.
    Dropped,
    /// The collector did not take them.
    Failed,
}

/// Where requests leave their spans.
#[derive(Debug, Clone)]
pub(crate) struct Spans {
    queue: Sender<Span>,
    metrics: Metrics,
    sample_percent: u32,
}

impl Spans {
    /// Leaves a span, without waiting.
    pub(crate) fn leave(&self, span: Span) {
        if self.queue.try_send(span).is_err() {
            self.metrics.count_spans(Exported::Dropped, 1);
        }
    }

    /// Decides whether a request that belongs to no trace begins one; `chance` is random.
    pub(crate) fn begins(&self, chance: u32) -> bool {
        chance % 100 < self.sample_percent
    }
}

/// Why spans were not taken.
#[derive(Debug, thiserror::Error)]
enum ExportError {
    #[error("the collector cannot be reached: {0}")]
    Unreachable(#[from] io::Error),
    #[error("the collector does not answer in HTTP: {0}")]
    Protocol(#[from] hyper::Error),
    #[error("the request cannot be written: {0}")]
    Unwritable(#[from] hyper::http::Error),
    #[error("the collector answered {0}")]
    Refused(u16),
    #[error("the collector did not answer in time")]
    TooLate,
}

/// What empties the queue.
pub(crate) struct Exporter {
    queue: Receiver<Span>,
    metrics: Metrics,
    collector: Collector,
    every: Duration,
    time: Duration,
    environment: &'static str,
    /// Whether the last export failed, which is said once.
    failing: bool,
}

/// Makes both ends of the queue, if there is a collector.
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
    /// Exports every so often until the replica stops, and then what is left, as far as that is quick.
    pub(crate) async fn run(mut self, stop: CancellationToken) {
        let mut ticks = interval(self.every);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                () = stop.cancelled() => break,
                _ = ticks.tick() => {
                    // A collector that hangs does not hold up the stop.
                    tokio::select! {
                        () = stop.cancelled() => break,
                        () = self.empty() => {}
                    }
                }
            }
        }
        let time = self.time;
        if timeout(time, self.empty()).await.is_err() {
            tracing::warn!("the last spans were not exported in time");
        }
    }

    /// Exports what is in the queue.
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
            let sent = timeout(self.time, self.send(&batch)).await;
            let sent = sent.unwrap_or(Err(ExportError::TooLate));
            self.tell(&sent, batch.len());
            batch.clear();
            if sent.is_err() {
                // The next ones come along with the next tick.
                return;
            }
        }
    }

    /// Tells what came of it: all in the metrics, changes in the log.
    fn tell(&mut self, sent: &Result<(), ExportError>, spans: usize) {
        let became = match sent {
            Ok(()) => Exported::Taken,
            Err(_) => Exported::Failed,
        };
        self.metrics.count_spans(became, spans);
        match sent {
            Err(error) if !self.failing => {
                tracing::warn!(%error, "spans are not exported; it is tried again and not said again");
            }
            Ok(()) if self.failing => tracing::info!("spans are exported again"),
            _ => {}
        }
        self.failing = sent.is_err();
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
            let answer = sender.send_request(request).await?;
            let status = answer.status();
            let _ = Limited::new(answer.into_body(), ANSWER_BYTES_MAX)
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
            // The connection may be over before its answer was taken.
            _ = connection => exchange.await,
        }
    }
}
