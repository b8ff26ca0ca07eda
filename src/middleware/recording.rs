//! [`Recording`]: the spans of a sampled request, its own and those of its database operations.

use std::time::SystemTime;

use chrono::{DateTime, Utc};

use crate::{
    http::headers::Trace,
    telemetry::{
        export::Spans,
        operations::Operations,
        requests::Answered,
        span::{Request, Span, Subject},
    },
    values::id::{RequestId, SpanId},
};

/// The recording of a request whose trace is sampled and exported.
#[derive(Debug)]
pub(super) struct Recording {
    trace: Trace,
    spans: Spans,
    operations: Operations,
}

/// Runs a step of a request. If the request is recorded, its database operations are.
pub(super) fn within<T>(recording: Option<&Recording>, step: impl FnOnce() -> T) -> T {
    match recording {
        Some(recording) => recording.operations.within(step),
        None => step(),
    }
}

impl Recording {
    /// Begins to record if the trace is sampled and spans are exported.
    pub(super) fn begin(trace: Option<Trace>, spans: Option<&Spans>) -> Option<Self> {
        let (trace, spans) = trace.filter(Trace::is_sampled).zip(spans)?;
        Some(Self {
            trace,
            spans: spans.clone(),
            operations: Operations::new(),
        })
    }

    /// Exports the spans of the request, which ended at `ended_at`.
    pub(super) fn end(self, ended_at: DateTime<Utc>, id: RequestId, answered: &Answered<'_>) {
        let ended_at = SystemTime::from(ended_at);
        let began_at = ended_at.checked_sub(answered.took).unwrap_or(ended_at);
        self.spans.leave(Span {
            trace: self.trace.id,
            id: self.trace.span,
            parent: self.trace.parent,
            began_at,
            took: answered.took,
            subject: Subject::Request(Request {
                route: answered.route.map(str::to_owned),
                method: answered.method.clone(),
                status: answered.status,
                code: answered.code,
                id,
                partner: answered.partner,
            }),
        });
        for operation in self.operations.take() {
            self.spans.leave(Span {
                trace: self.trace.id,
                id: SpanId::random(),
                parent: Some(self.trace.span),
                began_at: began_at + operation.began,
                took: operation.took,
                subject: Subject::Operation(operation),
            });
        }
    }
}
