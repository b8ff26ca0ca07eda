//! The log line of a request: at info if it was served or refused, at warn or error if the service failed.

use std::{error::Error, fmt::Write, time::Duration};

use hyper::{Method, StatusCode};

use crate::{errors::ApiError, http::headers::Trace, request::RequestContext};

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
