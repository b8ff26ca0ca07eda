//! Rendering: an [`ApiError`] as the bytes that a partner reads.

use bytes::Bytes;
use serde::Serialize;
use serde_json::{Map, Value};

use super::ApiError;
use crate::id::RequestId;

/// The envelope (contract, section 5).
#[derive(Serialize)]
struct Envelope {
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

/// Renders the envelope; `allow` lists the methods of a 405.
pub(crate) fn envelope(error: &ApiError, request_id: RequestId, allow: Option<&str>) -> Bytes {
    let mut details = error.details();
    if let Some(allow) = allow {
        let methods: Vec<&str> = allow.split(',').map(str::trim).collect();
        details.insert("allow".into(), methods.into());
    }
    let error = Members {
        code: error.code().as_str(),
        message: error.to_string(),
        request_id: request_id.to_string(),
        details,
    };
    // Text and numbers always serialize.
    serde_json::to_vec(&Envelope { error })
        .unwrap_or_default()
        .into()
}
