//! The Problem Details representation of an error (RFC 9457).

use serde::Serialize;
use serde_json::{Map, Value};

use super::render::ErrorContext;

/// A problem. The members of `error.details` are extension members beside the standard ones.
#[derive(Serialize)]
pub(super) struct Problem {
    #[serde(rename = "type")]
    kind: String,
    title: &'static str,
    status: u16,
    detail: String,
    instance: String,
    code: &'static str,
    #[serde(flatten)]
    details: Map<String, Value>,
}

impl Problem {
    pub(super) fn of(context: &ErrorContext<'_>) -> Self {
        let code = context.error.code();
        Self {
            kind: format!("{}/v1/errors/{}", context.public_url, code.as_str()),
            title: code.entry().title,
            status: context.error.status().as_u16(),
            detail: context.error.to_string(),
            instance: context.request_id.to_string(),
            code: code.as_str(),
            details: context.details(),
        }
    }
}
