//! `Host`: a request of HTTP/1.1 names exactly one (RFC 9112, section 3.2).
//!
//! Nothing is made of it: addresses come from `public_url`. But who sends none or two may be read in two ways, by a proxy
//! in front and by us, and is refused. So may be what follows a CONNECT: as the next request, or as what goes through a
//! tunnel, which there is none. The connection ends with its refusal.

use axum::{
    extract::Request,
    http::{HeaderValue, Method, Version, header},
    middleware::Next,
    response::Response,
};

use crate::error::{ApiError, Fault, IssueKind, Issues};

/// The header's name, as an issue tells it.
const NAME: &str = "Host";

/// Refuses a request that does not name one host, and what would be a tunnel.
pub(crate) async fn require_one(request: Request, next: Next) -> Result<Response, ApiError> {
    let named = request.headers().get_all(header::HOST).iter().count();
    if request.version() == Version::HTTP_11 && named != 1 {
        let mut issues = Issues::default();
        match named {
            0 => issues.missing(NAME),
            _ => issues.push(Fault::new(IssueKind::Duplicate, "send one host").at(NAME, None)),
        }
        return Err(issues.into());
    }
    let ends = request.method() == Method::CONNECT && request.version() < Version::HTTP_2;
    let mut response = next.run(request).await;
    if ends {
        let close = HeaderValue::from_static("close");
        response.headers_mut().insert(header::CONNECTION, close);
    }
    Ok(response)
}
