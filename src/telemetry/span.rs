//! Spans of requests and of their database operations, in the form that OpenTelemetry's exporter takes.

use std::{
    borrow::Cow,
    time::{Duration, SystemTime},
};

use hyper::{Method, StatusCode};
use opentelemetry::{
    InstrumentationScope, KeyValue,
    trace::{self, SpanContext, SpanKind, Status, TraceFlags, TraceState},
};
use opentelemetry_sdk::trace::{SpanData, SpanEvents, SpanLinks};

use super::operations::{Operation, Work};
use crate::values::id::{PartnerId, RequestId, SpanId, TraceId};

/// The database in spans of statements.
const DATABASE: &str = "postgresql";

/// A span that has ended. Of the caller's text it contains only the ids of the trace and of the parent.
#[derive(Debug)]
pub(crate) struct Span {
    /// The id of the trace.
    pub(crate) trace: TraceId,
    /// The id of this span.
    pub(crate) id: SpanId,
    /// The id of the span that it is a part of; `None` if the trace begins with it.
    pub(crate) parent: Option<SpanId>,
    /// When it began.
    pub(crate) began_at: SystemTime,
    /// Its duration.
    pub(crate) took: Duration,
    /// Its name and attributes.
    pub(crate) subject: Subject,
}

/// The subject of a span.
#[derive(Debug)]
pub(crate) enum Subject {
    /// A request. Its parent is the caller's span.
    Request(Request),
    /// A database operation. Its parent is the span of the request.
    Operation(Operation),
}

/// A request and its response.
#[derive(Debug)]
pub(crate) struct Request {
    /// The template of the route, if a route matched.
    pub(crate) route: Option<String>,
    /// The method of the request. An unknown one is exported as `other`.
    pub(crate) method: Method,
    /// The status of the response.
    pub(crate) status: StatusCode,
    /// The error code of the response, if it is an error.
    pub(crate) code: Option<&'static str>,
    /// The id of the request.
    pub(crate) id: RequestId,
    /// The partner, if the request had a valid key.
    pub(crate) partner: Option<PartnerId>,
}

/// The parts of a span that depend on its subject.
struct Description {
    name: Cow<'static, str>,
    kind: SpanKind,
    attributes: Vec<KeyValue>,
    is_error: bool,
}

impl Request {
    fn describe(self) -> Description {
        let method = super::requests::method_name(&self.method);
        let name = match &self.route {
            Some(route) => Cow::Owned(format!("{method} {route}")),
            None => Cow::Borrowed(method),
        };
        let status = i64::from(self.status.as_u16());
        let mut attributes = vec![
            KeyValue::new("http.request.method", method),
            KeyValue::new("http.response.status_code", status),
            KeyValue::new("lmn.request_id", self.id.to_string()),
        ];
        attributes.extend(self.route.map(|it| KeyValue::new("http.route", it)));
        attributes.extend(self.code.map(|it| KeyValue::new("error.type", it)));
        let partner = self.partner.map(|it| it.to_string());
        attributes.extend(partner.map(|it| KeyValue::new("lmn.partner", it)));
        Description {
            name,
            kind: SpanKind::Server,
            attributes,
            is_error: self.status.is_server_error(),
        }
    }
}

impl Operation {
    fn describe(self) -> Description {
        let is_error = self.error.is_some();
        let (name, kind, mut attributes) = match self.work {
            Work::Acquire => (
                Cow::Borrowed("acquire connection"),
                SpanKind::Internal,
                Vec::new(),
            ),
            Work::Statement(summary) => {
                let attributes = vec![
                    KeyValue::new("db.system.name", DATABASE),
                    KeyValue::new("db.query.summary", summary.clone()),
                ];
                (Cow::Owned(summary), SpanKind::Client, attributes)
            }
        };
        attributes.extend(self.error.map(|it| KeyValue::new("error.type", it)));
        Description {
            name,
            kind,
            attributes,
            is_error,
        }
    }
}

impl Span {
    /// Converts the span for the exporter.
    pub(super) fn into_data(self, scope: &InstrumentationScope) -> SpanData {
        let is_request = matches!(self.subject, Subject::Request(_));
        let description = match self.subject {
            Subject::Request(request) => request.describe(),
            Subject::Operation(operation) => operation.describe(),
        };
        let span_id = |id: SpanId| trace::SpanId::from_bytes(id.to_bytes());
        SpanData {
            span_context: SpanContext::new(
                trace::TraceId::from_bytes(self.trace.to_bytes()),
                span_id(self.id),
                TraceFlags::SAMPLED,
                false,
                TraceState::NONE,
            ),
            parent_span_id: self.parent.map_or(trace::SpanId::INVALID, span_id),
            parent_span_is_remote: is_request && self.parent.is_some(),
            span_kind: description.kind,
            name: description.name,
            start_time: self.began_at,
            end_time: self.began_at + self.took,
            attributes: description.attributes,
            dropped_attributes_count: 0,
            events: SpanEvents::default(),
            links: SpanLinks::default(),
            status: match description.is_error {
                true => Status::error(""),
                false => Status::Unset,
            },
            instrumentation_scope: scope.clone(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn span(subject: Subject) -> SpanData {
        let span = Span {
            trace: TraceId::random(),
            id: SpanId::random(),
            parent: None,
            began_at: SystemTime::UNIX_EPOCH + Duration::new(1_700_000_000, 5),
            took: Duration::from_nanos(7),
            subject,
        };
        span.into_data(&InstrumentationScope::builder("test").build())
    }

    #[test]
    fn span_of_a_request_is_exported_without_text_of_the_caller() {
        let span = span(Subject::Request(Request {
            route: None,
            method: Method::from_bytes(b"SECRET").unwrap(),
            status: StatusCode::SERVICE_UNAVAILABLE,
            code: Some("service_unavailable"),
            id: RequestId::random(),
            partner: None,
        }));
        assert_eq!(span.name, "other");
        assert_eq!(span.span_kind, SpanKind::Server);
        assert_eq!(span.parent_span_id, trace::SpanId::INVALID);
        assert!(!span.parent_span_is_remote);
        let took = span.end_time.duration_since(span.start_time);
        assert_eq!(took.unwrap(), Duration::from_nanos(7));
        assert_eq!(span.status, Status::error(""));
        assert_eq!(span.attributes.len(), 4);
        assert!(!format!("{span:?}").contains("SECRET"));
    }

    #[test]
    fn span_of_a_statement_has_its_summary_and_its_error() {
        let operation = |error: Option<&'static str>| {
            span(Subject::Operation(Operation {
                work: Work::Statement("insert orders".to_owned()),
                began: Duration::ZERO,
                took: Duration::ZERO,
                error: error.map(Cow::Borrowed),
            }))
        };
        let failed = operation(Some("23505"));
        assert_eq!(failed.name, "insert orders");
        assert_eq!(failed.span_kind, SpanKind::Client);
        assert_eq!(failed.status, Status::error(""));
        let error = KeyValue::new("error.type", "23505");
        assert!(failed.attributes.contains(&error), "{failed:?}");
        let done = operation(None);
        assert_eq!(done.status, Status::Unset);
        assert_eq!(done.attributes.len(), 2);
    }
}
