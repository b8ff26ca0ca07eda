//! `X-User-Id`: whom in the partner's organisation a request is for (contract, section 2).
//!
//! It is opaque, kept on the order for the operator's eyes and never returned; the log holds its SHA-256 only.

use axum::{
    extract::FromRequestParts,
    http::{HeaderMap, request::Parts},
};
use sha2::{Digest, Sha256};

use crate::error::{ApiError, Fault, Issue, IssueKind};

/// The header and its alias.
const HEADERS: [&str; 2] = ["x-user-id", "x_user_id"];
/// The name under which an issue is reported.
const NAME: &str = "X-User-Id";
/// Characters of an id.
const CHARACTERS_MAX: usize = 128;

/// Reads the id; an empty one is none.
pub(super) fn read(headers: &HeaderMap) -> Result<Option<&str>, Issue> {
    let mut sent = sent(headers);
    let Some(first) = sent.next() else {
        return Ok(None);
    };
    let fault = |kind, message: String| Fault::new(kind, message).at(NAME, None);
    if sent.any(|other| other != first) {
        let message = "the header was sent twice, with different values";
        return Err(fault(IssueKind::Duplicate, message.to_owned()));
    }
    let text = std::str::from_utf8(first)
        .map_err(|_| fault(IssueKind::InvalidFormat, "the id is not UTF-8".to_owned()))?;
    if text.chars().count() > CHARACTERS_MAX {
        let message = format!("an id has at most {CHARACTERS_MAX} characters");
        return Err(fault(IssueKind::OutOfRange, message));
    }
    Ok(Some(text))
}

/// Returns what the log may hold of the id.
pub(crate) fn fingerprint(headers: &HeaderMap) -> Option<String> {
    let digest = Sha256::digest(sent(headers).next()?);
    Some(digest.iter().map(|byte| format!("{byte:02x}")).collect())
}

fn sent(headers: &HeaderMap) -> impl Iterator<Item = &[u8]> {
    let values = HEADERS.into_iter().flat_map(|name| headers.get_all(name));
    values
        .map(|value| value.as_bytes())
        .filter(|id| !id.is_empty())
}

/// Extracts the id.
#[derive(Debug)]
pub(crate) struct UserId(pub Option<String>);

impl<S: Sync> FromRequestParts<S> for UserId {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, ApiError> {
        Ok(Self(read(&parts.headers)?.map(str::to_owned)))
    }
}
