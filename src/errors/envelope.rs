//! The default representation of an error: LMN's envelope.

use serde::Serialize;
use serde_json::{Map, Value};

use super::render::ErrorContext;

/// The envelope of an error.
#[derive(Serialize)]
pub(super) struct Envelope {
    error: Members,
}

#[derive(Serialize)]
struct Members {
    code: &'static str,
    message: String,
    request_id: String,
    /// Absent if the error has no details.
    #[serde(skip_serializing_if = "Map::is_empty")]
    details: Map<String, Value>,
}

impl Envelope {
    pub(super) fn of(context: &ErrorContext<'_>) -> Self {
        let error = Members {
            code: context.error.code().as_str(),
            message: context.error.to_string(),
            request_id: context.request_id.to_string(),
            details: context.details(),
        };
        Self { error }
    }
}
