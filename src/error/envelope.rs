//! LMN's own form of an error (contract, section 5).

use serde::Serialize;
use serde_json::{Map, Value};

use super::render::ErrorContext;

/// The envelope.
#[derive(Serialize)]
pub(super) struct Envelope {
    error: Members,
}

#[derive(Serialize)]
struct Members {
    code: &'static str,
    message: String,
    request_id: String,
    /// There when there is something to say.
    #[serde(skip_serializing_if = "Map::is_empty")]
    details: Map<String, Value>,
}

impl Envelope {
    pub(super) fn of(told: &ErrorContext<'_>) -> Self {
        let error = Members {
            code: told.error.code().as_str(),
            message: told.error.to_string(),
            request_id: told.request_id.to_string(),
            details: told.details(),
        };
        Self { error }
    }
}
