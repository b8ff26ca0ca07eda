//! `X-User-Id`: the user in the partner's organization on whose behalf a request is made.
//!
//! The id is opaque. It is stored with the order for the operator and never returned; the log holds only its SHA-256.

use axum::{
    extract::FromRequestParts,
    http::{HeaderMap, request::Parts},
};
use sha2::{Digest, Sha256};

use crate::errors::{ApiError, Fault, Issue, IssueKind};

/// The header and its alternative spelling.
const HEADERS: [&str; 2] = ["x-user-id", "x_user_id"];
/// The header's name in issues.
const NAME: &str = "X-User-Id";
/// The longest id, in characters.
const CHARACTERS_MAX: usize = 128;

/// Parses the id; an empty header counts as absent.
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

/// Returns the SHA-256 of the id in hexadecimal, for the log.
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

/// Extractor of the id.
#[derive(Debug)]
pub(crate) struct UserId(pub Option<String>);

impl<S: Sync> FromRequestParts<S> for UserId {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, ApiError> {
        Ok(Self(read(&parts.headers)?.map(str::to_owned)))
    }
}
