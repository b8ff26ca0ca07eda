//! JSON bodies: reads a bounded number of bytes as one object without duplicate keys, extracts typed values from it, and
//! responds with JSON.

use std::{sync::Arc, time::Duration};

use axum::{
    body::{Body, Bytes},
    extract::FromRequestParts,
    http::{HeaderMap, HeaderValue, header, request::Parts},
    response::{IntoResponse, Response},
};
use http_body_util::{BodyExt, LengthLimitError, Limited};
use hyper::body::Body as _;
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

/// The path of an issue that concerns the whole body.
const WHOLE_BODY: &str = "body";

/// Returns whether a request has neither a body nor a content type, as an operation without a body expects.
pub(crate) fn is_absent(headers: &HeaderMap, body: &Body) -> bool {
    !headers.contains_key(header::CONTENT_TYPE) && body.is_end_stream()
}

/// Checks that the body is declared as JSON in UTF-8 without a content encoding.
pub(crate) fn require_json(headers: &HeaderMap) -> Result<(), ApiError> {
    let text = |name| headers.get(name).map(|value| value.to_str().unwrap_or("?"));
    let plain = text(header::CONTENT_ENCODING).is_none_or(|it| it.eq_ignore_ascii_case("identity"));
    let json = text(header::CONTENT_TYPE).is_some_and(is_json);
    if plain && json {
        Ok(())
    } else {
        Err(ApiError::UnsupportedMediaType)
    }
}

/// Returns whether a media type is `application/json` or `application/…+json`, in UTF-8 if it names a character set.
fn is_json(content_type: &str) -> bool {
    let mut parts = content_type.split(';').map(str::trim);
    let essence = parts.next().unwrap_or_default().to_ascii_lowercase();
    let subtype = essence.strip_prefix("application/");
    let utf8 = |parameter: &str| match parameter.split_once('=') {
        Some((name, value)) if name.eq_ignore_ascii_case("charset") => {
            value.trim_matches('"').eq_ignore_ascii_case("utf-8")
        }
        _ => true,
    };
    subtype.is_some_and(|it| it == "json" || it.ends_with("+json")) && parts.all(utf8)
}

/// Reads the whole body, of at most `bytes_max` bytes, within `time`.
pub(crate) async fn read(body: Body, bytes_max: usize, time: Duration) -> Result<Bytes, ApiError> {
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

/// Parses the bytes of one JSON object.
pub(crate) fn parse(bytes: &[u8]) -> Result<Map<String, Value>, ApiError> {
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

fn malformed(message: String) -> Issue {
    Fault::new(IssueKind::InvalidFormat, message)
        .expected("one JSON object")
        .at(WHOLE_BODY, None)
}

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
    fn json_media_types_are_recognized() {
        for it in [
            "application/json",
            "Application/JSON; charset=UTF-8",
            "application/vnd.x+json;charset=\"utf-8\"",
        ] {
            assert!(is_json(it), "{it}");
        }
        for it in [
            "",
            "text/json",
            "application/jsonx",
            "application/json; charset=latin1",
            "json",
        ] {
            assert!(!is_json(it), "{it}");
        }
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
