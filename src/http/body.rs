//! JSON bodies: reads a bounded number of bytes as one object without duplicate keys, extracts typed values from it, and
//! responds with JSON. Some routes also accept CSV.

use std::{
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
    time::Duration,
};

use axum::{
    body::{Body, Bytes},
    extract::FromRequestParts,
    http::{HeaderMap, HeaderValue, header, request::Parts},
    response::{IntoResponse, Response},
};
use http_body_util::{BodyExt, LengthLimitError, Limited};
use hyper::body::{Body as HttpBody, Frame, SizeHint};
use serde::Serialize;
use serde_json::{Map, Value};

use super::{
    extract::{FromQuery, Params},
    fields::{Fields, FromBody},
};
use crate::{
    errors::{ApiError, Fault, Issue, IssueKind, Issues},
    values::json,
};

/// The byte order mark of UTF-8.
const BYTE_ORDER_MARK: &[u8] = b"\xef\xbb\xbf";
/// The member of a parsed body that holds the text of a CSV body.
pub(crate) const CSV_TEXT: &str = "text/csv";
/// The path of an issue that concerns the whole body.
const WHOLE_BODY: &str = "body";

/// Reads the members of a body of at most `bytes_max` bytes, within `time`.
///
/// An empty body has no members, whatever its type and framing: generated clients declare a type also where they send
/// nothing. Any other body must be declared as JSON, or, if `accepts_csv`, as CSV, which becomes the member [`CSV_TEXT`].
pub(crate) async fn read(
    headers: &HeaderMap,
    body: Body,
    bytes_max: usize,
    time: Duration,
    accepts_csv: bool,
) -> Result<Map<String, Value>, ApiError> {
    if body.is_end_stream() {
        return Ok(Map::new());
    }
    if accepts_csv && require(headers, is_csv).is_ok() {
        let bytes = read_bytes(body, bytes_max, time).await?;
        return csv_members(&bytes);
    }
    if let Err(refused) = require(headers, is_json) {
        return match is_empty(body, time).await? {
            true => Ok(Map::new()),
            false => Err(refused),
        };
    }
    let bytes = read_bytes(body, bytes_max, time).await?;
    match bytes.is_empty() {
        true => Ok(Map::new()),
        false => parse(&bytes),
    }
}

/// Returns whether a body ends without data. It is read up to its first byte, and not at all if its length is known.
async fn is_empty(mut body: Body, time: Duration) -> Result<bool, ApiError> {
    if body.size_hint().lower() > 0 {
        return Ok(false);
    }
    let ends = async {
        loop {
            match body.frame().await {
                None => return true,
                Some(Ok(frame)) if frame.data_ref().is_none_or(Bytes::is_empty) => {}
                // Data, or broken framing.
                Some(_) => return false,
            }
        }
    };
    let ends = tokio::time::timeout(time, ends).await;
    ends.map_err(|_| ApiError::RequestTimeout)
}

/// Checks that the body is declared to have an accepted type, without a content encoding.
fn require(headers: &HeaderMap, is_accepted: fn(&str) -> bool) -> Result<(), ApiError> {
    let text = |name| headers.get(name).map(|value| value.to_str().unwrap_or("?"));
    let plain = text(header::CONTENT_ENCODING).is_none_or(|it| it.eq_ignore_ascii_case("identity"));
    let accepted = text(header::CONTENT_TYPE).is_some_and(is_accepted);
    if plain && accepted {
        Ok(())
    } else {
        Err(ApiError::UnsupportedMediaType)
    }
}

/// Returns whether a media type is `application/json` or `application/…+json`, in UTF-8 if it names a character set.
fn is_json(content_type: &str) -> bool {
    is_type(content_type, |essence| {
        let subtype = essence.strip_prefix("application/");
        subtype.is_some_and(|it| it == "json" || it.ends_with("+json"))
    })
}

/// Returns whether a media type is `text/csv`, in UTF-8 if it names a character set.
fn is_csv(content_type: &str) -> bool {
    is_type(content_type, |essence| essence == "text/csv")
}

/// Returns whether a media type without its parameters is accepted, and its character set, if it names one, is UTF-8.
fn is_type(content_type: &str, is_accepted: impl Fn(&str) -> bool) -> bool {
    let mut parts = content_type.split(';').map(str::trim);
    let essence = parts.next().unwrap_or_default().to_ascii_lowercase();
    let utf8 = |parameter: &str| match parameter.split_once('=') {
        Some((name, value)) if name.trim().eq_ignore_ascii_case("charset") => is_utf8(value),
        _ => true,
    };
    is_accepted(&essence) && parts.all(utf8)
}

/// Returns whether the name of a character set is a spelling of UTF-8, such as `utf8` or `"UTF-8"`.
fn is_utf8(charset: &str) -> bool {
    let letters = charset.bytes().filter(u8::is_ascii_alphanumeric);
    letters.map(|it| it.to_ascii_lowercase()).eq(*b"utf8")
}

/// Reads the whole body, of at most `bytes_max` bytes, within `time`.
///
/// A body that is declared to be larger is refused without being read, so a client that waits for `100 Continue` never
/// sends it.
async fn read_bytes(body: Body, bytes_max: usize, time: Duration) -> Result<Bytes, ApiError> {
    if body.size_hint().lower() > bytes_max as u64 {
        return Err(ApiError::PayloadTooLarge {
            limit_bytes: bytes_max,
        });
    }
    let limited = Limited::new(body, bytes_max).collect();
    match tokio::time::timeout(time, limited).await {
        Ok(Ok(collected)) => Ok(collected.to_bytes()),
        Ok(Err(error)) if error.is::<LengthLimitError>() => Err(ApiError::PayloadTooLarge {
            limit_bytes: bytes_max,
        }),
        // The client has disconnected or broken the framing, so it does not read the response.
        Ok(Err(error)) => Err(malformed(format!("the body cannot be read: {error}")).into()),
        Err(_) => Err(ApiError::RequestTimeout),
    }
}

/// Parses the bytes of one JSON object. A byte order mark before it, which some clients send, is ignored.
fn parse(bytes: &[u8]) -> Result<Map<String, Value>, ApiError> {
    let bytes = bytes.strip_prefix(BYTE_ORDER_MARK).unwrap_or(bytes);
    let (value, duplicates) =
        json::read(bytes).map_err(|error| malformed(format!("the body is not JSON: {error}")))?;
    if !duplicates.is_empty() {
        let mut issues = Issues::default();
        for path in duplicates {
            let message = format!("`{path}` occurs twice in its object");
            issues.push(Fault::new(IssueKind::Duplicate, message).at(path, None));
        }
        return Err(issues.into());
    }
    let Value::Object(members) = value else {
        let fault = Fault::new(IssueKind::InvalidType, "the body must be one JSON object");
        return Err(fault.expected("object").at_json(WHOLE_BODY, &value).into());
    };
    Ok(members)
}

/// Returns the text of a CSV body as its only member.
fn csv_members(bytes: &[u8]) -> Result<Map<String, Value>, ApiError> {
    let text = str::from_utf8(bytes).map_err(|error| {
        let message = format!("the body is not UTF-8: {error}");
        Fault::new(IssueKind::InvalidFormat, message)
            .expected("CSV in UTF-8")
            .at(WHOLE_BODY, None)
    })?;
    Ok(Map::from_iter([(CSV_TEXT.to_owned(), text.into())]))
}

fn malformed(message: String) -> Issue {
    Fault::new(IssueKind::InvalidFormat, message)
        .expected("one JSON object")
        .at(WHOLE_BODY, None)
}

/// Marks, in the extensions of a request, that its body may be CSV.
#[derive(Debug, Clone, Copy)]
pub(crate) struct AcceptsCsv;

/// The request's body, parsed by the idempotency layer before it looks for a stored reply.
#[derive(Debug, Clone)]
pub(crate) struct ParsedBody(pub Arc<Map<String, Value>>);

/// Extractor of a query and a JSON body; the issues of both are reported in one response.
#[derive(Debug)]
pub(crate) struct Input<Q, B>(pub Q, pub B);

impl<S: Sync, Q: FromQuery, B: FromBody> FromRequestParts<S> for Input<Q, B> {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, ApiError> {
        let Some(ParsedBody(members)) = parts.extensions.get() else {
            return Err(ApiError::internal(
                "the handler needs a body, but no layer has parsed one",
            ));
        };
        let mut params = Params::new(parts.uri.query().unwrap_or_default());
        let query = Q::from_query(&mut params);
        let mut issues = params.finish(&parts.headers);
        let body = B::from_body(&mut Fields::new(members, &mut issues));
        let (query, body) = issues.or(query.zip(body))?;
        Ok(Self(query, body))
    }
}

/// Returns a body that keeps `held` until it is dropped, which is when the client has taken it. An empty body keeps
/// nothing.
pub(crate) fn hold(body: Body, held: impl Send + Unpin + 'static) -> Body {
    match body.is_end_stream() {
        true => body,
        false => Body::new(Holding { body, _held: held }),
    }
}

/// A body with a value that is dropped together with it.
struct Holding<T> {
    body: Body,
    _held: T,
}

impl<T: Unpin> HttpBody for Holding<T> {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        Pin::new(&mut self.body).poll_frame(context)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

/// A 200 response with a JSON body.
#[derive(Debug)]
pub(crate) struct Answer<T>(pub T);

impl<T: Serialize> IntoResponse for Answer<T> {
    fn into_response(self) -> Response {
        let json = HeaderValue::from_static("application/json");
        match serde_json::to_vec(&self.0) {
            Ok(body) => ([(header::CONTENT_TYPE, json)], body).into_response(),
            Err(error) => ApiError::internal(error).into_response(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn object_is_parsed() {
        let members = parse(br#" {"a": [1, {"b": null}], "c": "d"} "#).unwrap();
        assert_eq!(
            Value::from(members),
            serde_json::json!({"a": [1, {"b": null}], "c": "d"})
        );
    }

    #[test]
    fn byte_order_mark_before_an_object_is_ignored() {
        let members = parse(b"\xef\xbb\xbf{\"a\":\"\xef\xbb\xbf\"}").unwrap();
        assert_eq!(members["a"], "\u{feff}");
        assert!(parse(b"\xef\xbb\xbf\xef\xbb\xbf{}").is_err());
        assert!(parse(b"\xef\xbb{}").is_err());
    }

    #[test]
    fn duplicate_keys_are_reported_with_their_paths() {
        let error = parse(br#"{"a":1,"a":2,"b":[{"c":1,"c":2}]}"#).unwrap_err();
        let ApiError::Validation(issues) = error else {
            panic!("{error:?}")
        };
        let paths: Vec<_> = issues.all().iter().map(|it| it.path.as_str()).collect();
        assert_eq!(paths, ["a", "b[0].c"]);
        assert!(
            issues
                .all()
                .iter()
                .all(|it| it.issue == IssueKind::Duplicate)
        );
    }

    #[test]
    fn response_to_many_duplicate_keys_is_bounded() {
        let repeated = "\"\":0,".repeat(6_000);
        let body = format!("{{\"{}\":{{{}\"x\":0}}}}", "k".repeat(30_000), repeated);
        let ApiError::Validation(issues) = parse(body.as_bytes()).unwrap_err() else {
            panic!("not a validation error")
        };
        assert_eq!(issues.all().len(), json::DUPLICATES_MAX);
        assert!(
            issues
                .all()
                .iter()
                .all(|it| it.path.chars().count() <= json::PATH_CHARACTERS_MAX)
        );
    }

    #[test]
    fn body_other_than_one_object_is_refused() {
        let deep = "[".repeat(100_000);
        for text in [
            "",
            " ",
            "null",
            "[]",
            "1",
            r#""a""#,
            "{",
            "{}x",
            "{} {}",
            "{\"a\":1e999}",
            &deep,
        ] {
            assert!(parse(text.as_bytes()).is_err(), "{text:.20}");
        }
        assert!(parse(b"{\"a\":\"\xff\"}").is_err());
    }

    #[test]
    fn media_types_of_json_and_csv_are_recognized() {
        for it in [
            "application/json",
            "Application/JSON; charset=UTF-8",
            "application/vnd.x+json;charset=\"utf-8\"",
            "application/json; charset=utf8",
            "application/json;charset = UTF_8",
            "application/json; charset='Utf8'; version=1",
        ] {
            assert!(is_json(it), "{it}");
        }
        for it in [
            "",
            "text/json",
            "application/jsonx",
            "application/json; charset=latin1",
            "application/json; charset=utf-16",
            "application/json; charset=",
            "json",
            "text/csv",
        ] {
            assert!(!is_json(it), "{it}");
        }
        assert!(is_csv("text/csv") && is_csv("Text/CSV; charset=utf-8; header=present"));
        assert!(!is_csv("text/csv; charset=euc-kr") && !is_csv("application/json"));
    }

    /// Generates JSON of a few levels with few distinct keys, so that some keys are duplicates.
    fn json() -> impl proptest::strategy::Strategy<Value = String> {
        use proptest::prelude::*;
        let leaf = prop_oneof![
            "null|true|false|-?[1-9][0-9]{0,20}|[0-9]\\.[0-9]{1,5}e-?[0-9]",
            "\"[a-c \\u{ac00}]{0,3}\""
        ];
        leaf.prop_recursive(4, 32, 4, |inner| {
            prop_oneof![
                prop::collection::vec(inner.clone(), 0..4)
                    .prop_map(|items| format!("[{}]", items.join(","))),
                prop::collection::vec(("[a-d]", inner), 0..4).prop_map(|members| {
                    let members: Vec<_> = members
                        .iter()
                        .map(|(key, value)| format!("\"{key}\":{value}"))
                        .collect();
                    format!("{{{}}}", members.join(","))
                }),
            ]
        })
    }

    proptest::proptest! {
        #[test]
        fn accepted_object_equals_what_serde_json_parses(text in json()) {
            let members = parse(text.as_bytes());
            if let Ok(members) = members {
                proptest::prop_assert_eq!(Value::from(members), serde_json::from_str::<Value>(&text).unwrap());
            }
        }

        #[test]
        fn parsing_never_panics(bytes in proptest::collection::vec(proptest::num::u8::ANY, 0..64)) {
            let _ = parse(&bytes);
        }
    }
}
