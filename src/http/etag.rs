//! Conditional reads: a strong `ETag` on every single resource, and 304 for a client that already has it.

use std::convert::Infallible;

use axum::{
    body::Bytes,
    extract::FromRequestParts,
    http::{HeaderMap, HeaderValue, StatusCode, header, request::Parts},
    response::{IntoResponse, Response},
};
use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use serde::Serialize;
use sha2::{Digest, Sha256};
use utoipa::{
    IntoParams,
    openapi::path::{Parameter, ParameterIn},
};

use super::describe;
use crate::errors::ApiError;

/// Length of the digest in an `ETag`, in bytes.
const TAG_BYTES: usize = 16;

/// The entity tags in the request's `If-None-Match`.
#[derive(Debug)]
pub(crate) struct Conditional(Vec<String>);

impl<S: Sync> FromRequestParts<S> for Conditional {
    type Rejection = Infallible;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Infallible> {
        Ok(Self::of(&parts.headers))
    }
}

impl IntoParams for Conditional {
    fn into_params(_: impl Fn() -> Option<ParameterIn>) -> Vec<Parameter> {
        let what = "The `ETag` of an earlier response. If it is still current, the response is 304 without a body.";
        vec![describe::header("If-None-Match", what, describe::text()).build()]
    }
}

/// A body with its `ETag` and media type, which is JSON by default.
#[derive(Debug, Clone)]
pub(crate) struct Tagged {
    body: Bytes,
    tag: HeaderValue,
    media_type: HeaderValue,
}

impl Tagged {
    /// Wraps a JSON body and computes its tag.
    pub(crate) fn new(body: Bytes) -> Self {
        let digest = Sha256::digest(&body);
        let tag = URL_SAFE_NO_PAD.encode(digest.get(..TAG_BYTES).unwrap_or_default());
        // Base64 is always a valid header value, so the fallback is never used.
        let tag = HeaderValue::try_from(format!("\"{tag}\""))
            .unwrap_or_else(|_| HeaderValue::from_static("\"\""));
        Self {
            body,
            tag,
            media_type: HeaderValue::from_static("application/json"),
        }
    }

    /// Wraps a body of another media type.
    pub(crate) fn typed(body: Bytes, media_type: &'static str) -> Self {
        Self {
            media_type: HeaderValue::from_static(media_type),
            ..Self::new(body)
        }
    }

    /// Serializes a value as a JSON body.
    pub(crate) fn render(view: &impl Serialize) -> Result<Self, ApiError> {
        let body = serde_json::to_vec(view).map_err(ApiError::internal)?;
        Ok(Self::new(body.into_boxed_slice().into()))
    }

    /// Returns the length of the body, in bytes.
    pub(crate) fn bytes(&self) -> usize {
        self.body.len()
    }
}

impl Conditional {
    fn of(headers: &HeaderMap) -> Self {
        let lines = headers.get_all(header::IF_NONE_MATCH).iter();
        let tags = lines
            .filter_map(|line| line.to_str().ok())
            .flat_map(|line| line.split(','));
        // RFC 9110 requires the weak comparison for `If-None-Match`.
        Self(
            tags.map(|tag| tag.trim().trim_start_matches("W/").to_owned())
                .collect(),
        )
    }

    /// Responds with 200 and a JSON body, or with 304 if the client already has it.
    pub(crate) fn answer(&self, view: &impl Serialize) -> Result<Response, ApiError> {
        Ok(self.answer_tagged(&Tagged::render(view)?))
    }

    /// Responds with a body that is already JSON.
    pub(crate) fn answer_bytes(&self, body: Bytes) -> Result<Response, ApiError> {
        Ok(self.answer_tagged(&Tagged::new(body)))
    }

    /// Responds with a body whose tag is already computed.
    pub(crate) fn answer_tagged(&self, tagged: &Tagged) -> Response {
        let Tagged {
            body,
            tag,
            media_type,
        } = tagged.clone();
        let is_current = self
            .0
            .iter()
            .any(|it| it.as_bytes() == tag.as_bytes() || it == "*");
        let headers = [
            (header::ETAG, tag),
            (
                header::CACHE_CONTROL,
                HeaderValue::from_static("private, no-cache"),
            ),
        ];
        if is_current {
            return (StatusCode::NOT_MODIFIED, headers).into_response();
        }
        (headers, [(header::CONTENT_TYPE, media_type)], body).into_response()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn status(if_none_match: &[&str]) -> u16 {
        let mut headers = HeaderMap::new();
        for line in if_none_match {
            headers.append(header::IF_NONE_MATCH, line.parse().unwrap());
        }
        Conditional::of(&headers)
            .answer(&"x")
            .unwrap()
            .status()
            .as_u16()
    }

    #[test]
    fn matching_entity_tag_gets_304() {
        let response = Conditional::of(&HeaderMap::new()).answer(&"x").unwrap();
        let tag = response.headers()[header::ETAG]
            .to_str()
            .unwrap()
            .to_owned();
        assert!(tag.starts_with('"') && tag.ends_with('"'));
        assert_eq!(status(&[&tag]), 304);
        assert_eq!(status(&[&format!("W/{tag}")]), 304);
        assert_eq!(status(&["\"a\", \"b\"", &format!("\"c\" , {tag}")]), 304);
        assert_eq!(status(&["*"]), 304);
        for other in ["", "\"\"", "x", tag.trim_matches('"')] {
            assert_eq!(status(&[other]), 200, "{other}");
        }
    }
}
