//! The `Host` header: an HTTP/1.1 request must have exactly one (RFC 9112, section 3.2).
//!
//! Its value is not used, since URLs are built from `public_url`. But a proxy and this server could interpret a request
//! with no or several hosts differently, so it is refused. Data after a CONNECT is ambiguous in the same way: it could
//! be the next request or the content of a tunnel. Tunnels are not supported; the connection closes after the refusal.

use axum::{
    extract::Request,
    http::{Method, Version, header},
};

use crate::errors::{ApiError, Fault, IssueKind, Issues};

/// The header's name in issues.
const NAME: &str = "Host";

/// Checks that an HTTP/1.1 request has exactly one `Host` header.
pub(crate) fn require_one(request: &Request) -> Result<(), ApiError> {
    let host_count = request.headers().get_all(header::HOST).iter().count();
    if request.version() != Version::HTTP_11 || host_count == 1 {
        return Ok(());
    }
    let mut issues = Issues::default();
    match host_count {
        0 => issues.missing(NAME),
        _ => issues.push(Fault::new(IssueKind::Duplicate, "send exactly one host").at(NAME, None)),
    }
    Err(issues.into())
}

/// Returns whether the connection closes after the response, because the request is a CONNECT below HTTP/2.
pub(crate) fn ends_connection(request: &Request) -> bool {
    request.method() == Method::CONNECT && request.version() < Version::HTTP_2
}
