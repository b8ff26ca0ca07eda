//! Problem details: an error as RFC 9457 has it.

use serde::Serialize;
use serde_json::{Map, Value};

use super::render::ErrorContext;

/// A problem. What it tells more stands beside the standard's members.
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
    pub(super) fn of(told: &ErrorContext<'_>) -> Self {
        let code = told.error.code();
        Self {
            kind: format!("{}/v1/errors/{}", told.public_url, code.as_str()),
            title: code.entry().title,
            status: told.error.status().as_u16(),
            detail: told.error.to_string(),
            instance: told.request_id.to_string(),
            code: code.as_str(),
            details: told.details(),
        }
    }
}
