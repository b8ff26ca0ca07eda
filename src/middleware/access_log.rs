//! The records of a request: its log line, at info if it was served or refused, at warn or error if the service failed; and
//! the spans of a sampled request, its own and those of its database operations.

use std::{
    error::Error,
    fmt::Write,
    time::{Duration, SystemTime},
};

use chrono::{DateTime, Utc};
use hyper::{Method, StatusCode};

use crate::{
    errors::ApiError,
    http::headers::Trace,
    request::RequestContext,
    telemetry::{
        export::Spans,
        operations::Operations,
        requests::Answered,
        span::{Request, Span, Subject},
    },
    values::id::{RequestId, SpanId},
};

/// A request and its response, as logged.
pub(crate) struct Access<'a> {
    pub(crate) request_id: &'a str,
    pub(crate) method: &'a Method,
    pub(crate) context: &'a RequestContext,
    pub(crate) trace: Option<&'a Trace>,
    pub(crate) status: StatusCode,
    pub(crate) error: Option<&'a ApiError>,
    pub(crate) took: Duration,
}

/// Logs an event with the fields of the request and the given ones.
macro_rules! log {
    ($level:ident, $access:expr, $($field:tt)*) => {{
        let Access { context, trace, .. } = $access;
        let (grant, route) = (context.grant(), context.matched_route());
        tracing::$level!(
            request.request_id = $access.request_id,
            request.method = $access.method.as_str(),
            request.route = route,
            request.client_ip = %context.client(),
            request.partner = grant.map(|it| tracing::field::display(it.partner)),
            request.key = grant.map(|it| &*it.prefix),
            request.operator = context.operator().map(|it| &*it.name),
            request.user = context.user(),
            request.trace_id = trace.map(|it| tracing::field::display(it.id)),
            request.parent_id = trace.and_then(|it| it.parent).map(tracing::field::display),
            request.span_id = trace.map(|it| tracing::field::display(it.span)),
            status = $access.status.as_u16(),
            duration_ms = $access.took.as_secs_f64() * 1000.0,
            $($field)*
        )
    }};
}

/// Writes the log line of a request.
pub(crate) fn write(access: &Access<'_>) {
    let Some(error) = access.error else {
        return log!(info, access, "request served");
    };
    let code = error.code().as_str();
    if let ApiError::Internal { source, at } = error {
        let cause = error_chain(source.as_ref());
        log!(error, access, code, cause, at = %at, "request failed by our fault");
    } else if let ApiError::Unavailable { source } = error {
        let cause = error_chain(source.as_ref());
        log!(warn, access, code, cause, "request could not be served");
    } else {
        log!(info, access, code, "request refused");
    }
}

/// Joins the messages of an error and of all its sources.
fn error_chain(error: &dyn Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        // Writing to a string cannot fail.
        let _ = write!(text, ": {error}");
        cause = error.source();
    }
    text
}

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
