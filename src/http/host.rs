//! `Host`: a request of HTTP/1.1 names exactly one (RFC 9112, section 3.2).
//!
//! Nothing is made of it: addresses come from `public_url`. But a request with none or two could be read in two ways, by
//! a proxy in front and by us, and is refused. The same goes for what follows a CONNECT, which could be the next request
//! or the content of a tunnel: there are no tunnels, and the connection ends with the refusal.

use axum::{
    extract::Request,
    http::{Method, Version, header},
};

use crate::error::{ApiError, Fault, IssueKind, Issues};

/// The header's name, as an issue tells it.
const NAME: &str = "Host";

/// Refuses a request that does not name one host.
pub(crate) fn require_one(request: &Request) -> Result<(), ApiError> {
    let named = request.headers().get_all(header::HOST).iter().count();
    if request.version() != Version::HTTP_11 || named == 1 {
        return Ok(());
    }
    let mut issues = Issues::default();
    match named {
        0 => issues.missing(NAME),
        _ => issues.push(Fault::new(IssueKind::Duplicate, "send one host").at(NAME, None)),
    }
    Err(issues.into())
}

/// Says whether the connection ends with the response to a request, because a tunnel was asked for.
pub(crate) fn ends_connection(request: &Request) -> bool {
    request.method() == Method::CONNECT && request.version() < Version::HTTP_2
}
