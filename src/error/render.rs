//! Rendering: an [`ApiError`] as the bytes that a partner reads.

use bytes::Bytes;
use serde_json::{Map, Value, json};

use super::ApiError;
use crate::id::RequestId;

/// Renders the envelope (contract, section 5); `allow` lists the methods of a 405.
pub(crate) fn envelope(error: &ApiError, request_id: RequestId, allow: Option<&str>) -> Bytes {
    let mut members = Map::new();
    members.insert("code".into(), error.code().as_str().into());
    members.insert("message".into(), error.to_string().into());
    members.insert("request_id".into(), request_id.to_string().into());
    let mut details = error.details();
    if let Some(allow) = allow {
        let methods: Vec<&str> = allow.split(',').map(str::trim).collect();
        details.insert("allow".into(), methods.into());
    }
    if !details.is_empty() {
        members.insert("details".into(), details.into());
    }
    let envelope: Value = json!({"error": members});
    Bytes::from(envelope.to_string())
}
