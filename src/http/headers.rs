//! Headers that any request can carry, `Host`, `traceparent` and `X-User-Id`, and in [`PublicPath`] the path of
//! `public_url`, which a gateway removes from requests and which the URLs in the headers of a response must have.

use axum::{
    extract::{FromRequestParts, Request},
    http::{HeaderMap, HeaderName, HeaderValue, Method, Version, header, request::Parts},
};
use sha2::{Digest, Sha256};

use crate::{
    errors::{ApiError, Fault, Issue, IssueKind, Issues},
    telemetry::export::Spans,
    values::id::{SpanId, TraceId},
};

/// The name of `Host` in issues.
const HOST: &str = "Host";

/// The request header of a trace.
const TRACE_PARENT: &str = "traceparent";
/// The response header of a trace.
const TRACE_RESPONSE: &str = "traceresponse";
/// Length of a version 00 `traceparent`, in bytes; later versions may append fields.
const TRACE_PARENT_BYTES: usize = 55;
/// The flags with a meaning: the trace is sampled, and its id is random.
const KNOWN_FLAGS: u8 = 0b11;
/// The flag of a sampled trace.
const SAMPLED: u8 = 0b01;

/// `X-User-Id` and its alternative spelling.
const USER_HEADERS: [&str; 2] = ["x-user-id", "x_user_id"];
/// The name of `X-User-Id` in issues.
const USER: &str = "X-User-Id";
/// The longest user id, in characters.
const USER_CHARACTERS_MAX: usize = 128;

/// Checks that an HTTP/1.1 request has exactly one `Host` header (RFC 9112, section 3.2).
///
/// Its value is not used, since URLs are built from `public_url`. But a proxy and this server could interpret a request
/// with no or several hosts differently, so it is refused.
pub(crate) fn require_one_host(request: &Request) -> Result<(), ApiError> {
    let host_count = request.headers().get_all(header::HOST).iter().count();
    if request.version() != Version::HTTP_11 || host_count == 1 {
        return Ok(());
    }
    let mut issues = Issues::default();
    match host_count {
        0 => issues.missing(HOST),
        _ => issues.push(Fault::new(IssueKind::Duplicate, "send exactly one host").at(HOST, None)),
    }
    Err(issues.into())
}

/// Returns whether the connection closes after the response, because the request is a CONNECT below HTTP/2.
///
/// The data after a CONNECT is ambiguous, too: it could be the next request or the content of a tunnel. Tunnels are not
/// supported.
pub(crate) fn ends_connection(request: &Request) -> bool {
    request.method() == Method::CONNECT && request.version() < Version::HTTP_2
}

/// The trace that a request belongs to, and the position of its span (W3C Trace Context).
///
/// The log line names the trace, the caller's span and this service's span; the `traceresponse` header returns the
/// latter to the caller. The trace is not propagated to outgoing requests. A request without a trace starts one only if
/// a span exporter is configured, and then only a sample does; such a trace appears in the log but not in the response.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Trace {
    pub(crate) id: TraceId,
    /// The caller's span; `None` if the trace begins here.
    pub(crate) parent: Option<SpanId>,
    pub(crate) span: SpanId,
    flags: u8,
}

impl Trace {
    /// Continues the trace of a request, or begins one if the exporter samples it.
    pub(crate) fn of(headers: &HeaderMap, spans: Option<&Spans>) -> Option<Self> {
        let begin = |spans: &Spans| {
            let id = TraceId::random();
            spans.begins(id.chance()).then(|| Self {
                id,
                parent: None,
                flags: SAMPLED,
                span: SpanId::random(),
            })
        };
        Self::continued(headers).or_else(|| spans.and_then(begin))
    }

    /// Returns whether the trace is sampled.
    pub(crate) fn is_sampled(&self) -> bool {
        self.flags & SAMPLED != 0
    }

    /// Continues the trace of a request. A malformed header is ignored, as the standard requires.
    fn continued(headers: &HeaderMap) -> Option<Self> {
        let mut sent = headers.get_all(TRACE_PARENT).iter();
        let (one, none) = (sent.next()?, sent.next());
        let (id, parent, flags) = read_trace(one.to_str().ok().filter(|_| none.is_none())?)?;
        Some(Self {
            id,
            parent: Some(parent),
            flags,
            span: SpanId::random(),
        })
    }

    /// Adds the `traceresponse` header to the response to a request that sent a trace.
    pub(crate) fn add_header(&self, headers: &mut HeaderMap) {
        if self.parent.is_none() {
            return;
        }
        let text = format!("00-{}-{}-{:02x}", self.id, self.span, self.flags);
        if let Ok(value) = HeaderValue::from_str(&text) {
            headers.insert(TRACE_RESPONSE, value);
        }
    }
}

/// Parses the trace id, the caller's span id and the flags.
fn read_trace(text: &str) -> Option<(TraceId, SpanId, u8)> {
    let (known, more) = (
        text.get(..TRACE_PARENT_BYTES)?,
        text.get(TRACE_PARENT_BYTES..)?,
    );
    let mut parts = known.split('-');
    let version = parts.next().filter(|part| is_hex_byte(part))?;
    let (id, parent) = (
        TraceId::parse(parts.next()?)?,
        SpanId::parse(parts.next()?)?,
    );
    let flags = parts.next().filter(|part| is_hex_byte(part))?;
    let fits = match version {
        "ff" => false,
        "00" => more.is_empty(),
        _ => more.is_empty() || more.starts_with('-'),
    };
    let flags = u8::from_str_radix(flags, 16).ok()? & KNOWN_FLAGS;
    fits.then_some((id, parent, flags))
}

fn is_hex_byte(text: &str) -> bool {
    let is_digit = |byte: u8| matches!(byte, b'0'..=b'9' | b'a'..=b'f');
    text.len() == 2 && text.bytes().all(is_digit)
}

/// Parses `X-User-Id`; an empty header counts as absent.
pub(crate) fn read_user(headers: &HeaderMap) -> Result<Option<&str>, Issue> {
    let mut sent = sent_users(headers);
    let Some(first) = sent.next() else {
        return Ok(None);
    };
    let fault = |kind, message: String| Fault::new(kind, message).at(USER, None);
    if sent.any(|other| other != first) {
        let message = "the header was sent twice, with different values";
        return Err(fault(IssueKind::Duplicate, message.to_owned()));
    }
    let text = std::str::from_utf8(first)
        .map_err(|_| fault(IssueKind::InvalidFormat, "the id is not UTF-8".to_owned()))?;
    if text.chars().count() > USER_CHARACTERS_MAX {
        let message = format!("an id has at most {USER_CHARACTERS_MAX} characters");
        return Err(fault(IssueKind::OutOfRange, message));
    }
    Ok(Some(text))
}

/// Returns the SHA-256 of the user id in hexadecimal, for the log.
pub(crate) fn user_fingerprint(headers: &HeaderMap) -> Option<String> {
    let digest = Sha256::digest(sent_users(headers).next()?);
    Some(digest.iter().map(|byte| format!("{byte:02x}")).collect())
}

fn sent_users(headers: &HeaderMap) -> impl Iterator<Item = &[u8]> {
    let values = USER_HEADERS
        .into_iter()
        .flat_map(|name| headers.get_all(name));
    values
        .map(|value| value.as_bytes())
        .filter(|id| !id.is_empty())
}

/// Extractor of `X-User-Id`: the user in the partner's organization on whose behalf a request is made.
///
/// The id is opaque. It is stored with the order for the operator and never returned; the log holds only its SHA-256.
#[derive(Debug)]
pub(crate) struct UserId(pub Option<String>);

impl<S: Sync> FromRequestParts<S> for UserId {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, ApiError> {
        Ok(Self(read_user(&parts.headers)?.map(str::to_owned)))
    }
}

/// The path of a base URL, without a trailing slash; empty if there is none, as on the operator's listener.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct PublicPath(String);

impl PublicPath {
    /// Returns the path of a base URL.
    pub(crate) fn of(public_url: &str) -> Self {
        let after_scheme = public_url.split_once("://").map_or("", |(_, rest)| rest);
        let path = after_scheme.find('/').and_then(|at| after_scheme.get(at..));
        Self(path.unwrap_or_default().trim_end_matches('/').to_owned())
    }

    /// Puts the path before a path of this service.
    pub(crate) fn join(&self, path: &str) -> String {
        format!("{}{path}", self.0)
    }

    /// Puts the path before the relative URLs in the headers of a response.
    ///
    /// Responses pass here before they are sent, so that no handler needs to know the path, and the reply that is stored
    /// under an idempotency key has the path that is set when it is sent again.
    pub(crate) fn add_to(&self, headers: &mut HeaderMap) {
        if self.0.is_empty() {
            return;
        }
        rewrite(headers, header::LOCATION, |location| {
            is_path(location).then(|| self.join(location))
        });
        rewrite(headers, header::LINK, |link| {
            let target = link.strip_prefix('<').filter(|it| is_path(it))?;
            Some(format!("<{}", self.join(target)))
        });
    }
}

/// Replaces the value of a header if `replacement` returns one.
fn rewrite(
    headers: &mut HeaderMap,
    name: HeaderName,
    replacement: impl Fn(&str) -> Option<String>,
) {
    let Some(value) = headers.get_mut(name) else {
        return;
    };
    let replaced = value.to_str().ok().and_then(replacement);
    if let Some(Ok(replaced)) = replaced.map(HeaderValue::try_from) {
        *value = replaced;
    }
}

/// Returns whether a URL is a path on this host.
fn is_path(url: &str) -> bool {
    url.starts_with('/') && !url.starts_with("//")
}

#[cfg(test)]
mod tests {
    use super::*;

    const ID: &str = "4bf92f3577b34da6a3ce929d0e0e4736";
    const PARENT: &str = "00f067aa0ba902b7";

    #[test]
    fn traceparent_is_parsed_as_the_standard_requires() {
        for (text, flags) in [
            (format!("00-{ID}-{PARENT}-01"), 1),
            (format!("00-{ID}-{PARENT}-00"), 0),
            (format!("00-{ID}-{PARENT}-ff"), 3),
            (format!("cc-{ID}-{PARENT}-01"), 1),
            (format!("cc-{ID}-{PARENT}-01-and-more"), 1),
        ] {
            let read = read_trace(&text).map(|(id, parent, flags)| {
                let ids = (id.to_string(), parent.to_string());
                (ids, flags)
            });
            let ids = (ID.to_owned(), PARENT.to_owned());
            assert_eq!(read, Some((ids, flags)), "{text}");
        }
        for text in [
            String::new(),
            format!("00-{ID}-{PARENT}"),
            format!("00-{ID}-{PARENT}-1"),
            format!("00-{ID}-{PARENT}-01-"),
            format!("00-{ID}-{PARENT}-01-more"),
            format!("cc-{ID}-{PARENT}-01.more"),
            format!("ff-{ID}-{PARENT}-01"),
            format!("0x-{ID}-{PARENT}-01"),
            format!("00-{}-{PARENT}-01", ID.to_uppercase()),
            format!("00-{ID}-{}-01", PARENT.to_uppercase()),
            format!("00-{ID}-{PARENT}-0A"),
            format!("00-{}-{PARENT}-01", "0".repeat(32)),
            format!("00-{ID}-{}-01", "0".repeat(16)),
            format!("00_{ID}_{PARENT}_01"),
            format!("00-{ID}0-{PARENT}-01"),
            format!("00-{ID}-{PARENT}\u{e9}01"),
            "\u{e9}".repeat(40),
        ] {
            assert_eq!(read_trace(&text), None, "{text}");
        }
    }

    fn sent(public_url: &str, location: &'static str, link: &'static str) -> [String; 2] {
        let mut headers = HeaderMap::from_iter([
            (header::LOCATION, HeaderValue::from_static(location)),
            (header::LINK, HeaderValue::from_static(link)),
        ]);
        PublicPath::of(public_url).add_to(&mut headers);
        [header::LOCATION, header::LINK].map(|name| headers[name].to_str().unwrap().to_owned())
    }

    #[test]
    fn relative_urls_begin_with_the_path_of_the_public_url() {
        let (location, link) = ("/v1/orders/1", "</v1/orders?cursor=a%2Fb>; rel=\"next\"");
        for public_url in ["https://api.example.com", "https://api.example.com/"] {
            assert_eq!(sent(public_url, location, link), [location, link]);
        }
        for public_url in ["https://a.example:8443/lmn/v2", "http://[::1]/lmn/v2/"] {
            let expected = [
                "/lmn/v2/v1/orders/1",
                "</lmn/v2/v1/orders?cursor=a%2Fb>; rel=\"next\"",
            ];
            assert_eq!(sent(public_url, location, link), expected);
        }
        let absolute = ["https://b.example/a", "<//b.example/a>; rel=\"next\""];
        let [location, link] = absolute;
        assert_eq!(sent("https://a.example/lmn", location, link), absolute);
    }
}
