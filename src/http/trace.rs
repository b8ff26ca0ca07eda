//! `traceparent` (W3C Trace Context): a request that is a step of its caller's trace is answered as one.
//!
//! The log line names the trace, the caller's step and ours; `traceresponse` tells the caller ours. Nothing of it goes
//! further: what is sent on to others is no part of this trace. A request without a trace begins none, unless there is a
//! collector: then some do, and our log alone tells of it.

use axum::http::{HeaderMap, HeaderValue};

use crate::{
    id::{SpanId, TraceId},
    telemetry::export::Spans,
};

/// The header that comes in.
const HEADER: &str = "traceparent";
/// The header that goes out.
const ANSWER: &str = "traceresponse";
/// Length of the header in the version that is known; a later one may say more behind it.
const LENGTH: usize = 55;
/// The flags that have a meaning: the caller records the trace, and its id is random.
const KNOWN_FLAGS: u8 = 0b11;
/// The flag of a trace that is recorded.
const SAMPLED: u8 = 0b01;

/// Where a request stands in a trace.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Trace {
    pub(crate) id: String,
    /// The caller's step, unless the trace begins here.
    pub(crate) parent: Option<String>,
    pub(crate) span: SpanId,
    flags: u8,
}

impl Trace {
    /// Goes on with the trace of a request, or begins one for those who take it.
    pub(crate) fn of(headers: &HeaderMap, spans: Option<&Spans>) -> Option<Self> {
        let begun = |spans: &Spans| {
            let id = TraceId::random();
            spans.begins(id.chance()).then(|| Self {
                id: id.to_string(),
                parent: None,
                flags: SAMPLED,
                span: SpanId::random(),
            })
        };
        Self::continued(headers).or_else(|| spans.and_then(begun))
    }

    /// Says whether it is recorded.
    pub(crate) fn is_sampled(&self) -> bool {
        self.flags & SAMPLED != 0
    }

    /// Goes on with the trace of a request. What is not quite such a header is ignored, as the standard wants it.
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

    /// Tells the caller which step of its trace is ours.
    pub(crate) fn tell(&self, headers: &mut HeaderMap) {
        if self.parent.is_none() {
            return;
        }
        let text = format!("00-{}-{}-{:02x}", self.id, self.span, self.flags);
        if let Ok(value) = HeaderValue::from_str(&text) {
            headers.insert(ANSWER, value);
        }
    }
}

/// Reads the trace, the caller's step and the flags.
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
    let names = |id: &str| id.bytes().any(|digit| digit != b'0');
    let flags = u8::from_str_radix(flags, 16).ok()? & KNOWN_FLAGS;
    (fits && names(id) && names(parent)).then_some((id, parent, flags))
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
    fn a_trace_is_read_as_the_standard_wants_it() {
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
