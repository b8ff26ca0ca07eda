//! W3C Trace Context: continues the trace of a request's `traceparent` header.
//!
//! The log line names the trace, the caller's span and this service's span; the `traceresponse` header returns the
//! latter to the caller. The trace is not propagated to outgoing requests. A request without a trace starts one only if
//! a span exporter is configured, and then only a sample does; such a trace appears in the log but not in the response.

use axum::http::{HeaderMap, HeaderValue};

use crate::{
    telemetry::export::Spans,
    values::id::{SpanId, TraceId},
};

/// The request header.
const HEADER: &str = "traceparent";
/// The response header.
const RESPONSE_HEADER: &str = "traceresponse";
/// Length of a version 00 header, in bytes; later versions may append fields.
const LENGTH: usize = 55;
/// The flags with a meaning: the trace is sampled, and its id is random.
const KNOWN_FLAGS: u8 = 0b11;
/// The flag of a sampled trace.
const SAMPLED: u8 = 0b01;

/// The trace that a request belongs to, and the position of its span.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Trace {
    pub(crate) id: String,
    /// The caller's span; `None` if the trace begins here.
    pub(crate) parent: Option<String>,
    pub(crate) span: SpanId,
    flags: u8,
}

impl Trace {
    /// Continues the trace of a request, or begins one if the exporter samples it.
    pub(crate) fn of(headers: &HeaderMap, spans: Option<&Spans>) -> Option<Self> {
        let begin = |spans: &Spans| {
            let id = TraceId::random();
            spans.begins(id.chance()).then(|| Self {
                id: id.to_string(),
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
        let mut sent = headers.get_all(HEADER).iter();
        let (one, none) = (sent.next()?, sent.next());
        let (id, parent, flags) = read(one.to_str().ok().filter(|_| none.is_none())?)?;
        Some(Self {
            id: id.to_owned(),
            parent: Some(parent.to_owned()),
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
            headers.insert(RESPONSE_HEADER, value);
        }
    }
}

/// Parses the trace id, the caller's span id and the flags.
fn read(text: &str) -> Option<(&str, &str, u8)> {
    let (known, more) = (text.get(..LENGTH)?, text.get(LENGTH..)?);
    let mut parts = known.split('-');
    let mut part = |length| parts.next().filter(|part| is_hex(part, length));
    let (version, id, parent, flags) = (part(2)?, part(32)?, part(16)?, part(2)?);
    let fits = match version {
        "ff" => false,
        "00" => more.is_empty(),
        _ => more.is_empty() || more.starts_with('-'),
    };
    let is_nonzero = |id: &str| id.bytes().any(|digit| digit != b'0');
    let flags = u8::from_str_radix(flags, 16).ok()? & KNOWN_FLAGS;
    (fits && is_nonzero(id) && is_nonzero(parent)).then_some((id, parent, flags))
}

fn is_hex(text: &str, length: usize) -> bool {
    let hex = |byte: u8| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte);
    text.len() == length && text.bytes().all(hex)
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
            assert_eq!(read(&text), Some((ID, PARENT, flags)), "{text}");
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
            assert_eq!(read(&text), None, "{text}");
        }
    }
}
