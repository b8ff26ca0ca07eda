//! Pagination cursors: authenticated tokens for the position at which a page ended.
//!
//! A cursor is authenticated with the deployment's key and bound to its list, its owner, its sort and its filters. It
//! does not expire: a position in a sorted list stays valid.

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use hmac::{Hmac, KeyInit, Mac};
use serde::{Deserialize, Serialize, de::DeserializeOwned};
use sha2::{Digest, Sha256};

use crate::{
    errors::{
        ApiError,
        payloads::{CursorReason, InvalidCursor},
    },
    values::id::PartnerId,
};

/// Length of the authentication tag and of the filters' digest, in bytes.
const TAG_BYTES: usize = 16;
/// The longest cursor that is accepted, in characters.
const CURSOR_CHARACTERS_MAX: usize = 1024;

/// A paginated query: the list, its owner, its sort and its filters.
#[derive(Debug, Clone)]
pub(crate) struct ListQuery {
    /// The name of the list.
    pub list: &'static str,
    /// The partner whose rows it shows; `None` if all partners see the same rows.
    pub owner: Option<PartnerId>,
    /// The name of the sort.
    pub sort: &'static str,
    /// The filters in their canonical form.
    pub filters: String,
}

impl ListQuery {
    /// Returns the query of a list without filters that all callers see, the oldest row first.
    pub(crate) fn of_all(list: &'static str) -> Self {
        Self {
            list,
            owner: None,
            sort: "created_asc",
            filters: String::new(),
        }
    }
}

/// The payload of a cursor.
#[derive(Serialize, Deserialize)]
struct Payload<P> {
    #[serde(rename = "s")]
    sort: String,
    #[serde(rename = "f")]
    filters: String,
    #[serde(rename = "p")]
    position: P,
}

/// Creates and verifies cursors.
#[derive(Clone)]
pub(crate) struct Cursors(Hmac<Sha256>);

impl std::fmt::Debug for Cursors {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Cursors")
    }
}

impl Cursors {
    /// Creates the value from the deployment's key.
    pub(crate) fn new(key: &[u8]) -> Self {
        // HMAC accepts a key of any length, so the fallback is never used.
        Self(Hmac::new_from_slice(key).unwrap_or_else(|_| Hmac::new(&Default::default())))
    }

    /// Begins an authentication code by the deployment's key, for a purpose that is not the name of a list.
    pub(crate) fn mac(&self, purpose: &str) -> Hmac<Sha256> {
        let mut mac = self.0.clone();
        mac.update(purpose.as_bytes());
        mac.update(b"\0");
        mac
    }

    /// Creates the cursor of a position in the list.
    pub(crate) fn seal<P: Serialize>(
        &self,
        list_query: &ListQuery,
        position: P,
    ) -> Result<String, ApiError> {
        let payload = Payload {
            sort: list_query.sort.to_owned(),
            filters: digest(&list_query.filters),
            position,
        };
        let mut bytes = serde_json::to_vec(&payload).map_err(ApiError::internal)?;
        let tag = self.tag(list_query, &bytes).finalize().into_bytes();
        bytes.extend(tag.iter().take(TAG_BYTES));
        Ok(URL_SAFE_NO_PAD.encode(bytes))
    }

    /// Verifies a cursor of this list and returns its position.
    pub(crate) fn open<P: DeserializeOwned>(
        &self,
        list_query: &ListQuery,
        cursor: &str,
    ) -> Result<P, ApiError> {
        let malformed = refused(CursorReason::Malformed);
        if cursor.len() > CURSOR_CHARACTERS_MAX {
            return Err(malformed);
        }
        let Ok(bytes) = URL_SAFE_NO_PAD.decode(cursor) else {
            return Err(malformed);
        };
        let Some((payload, tag)) = bytes.split_last_chunk::<TAG_BYTES>() else {
            return Err(malformed);
        };
        if self
            .tag(list_query, payload)
            .verify_truncated_left(tag)
            .is_err()
        {
            return Err(malformed);
        }
        let Ok(payload) = serde_json::from_slice::<Payload<P>>(payload) else {
            return Err(malformed);
        };
        if payload.sort != list_query.sort {
            return Err(refused(CursorReason::SortMismatch));
        }
        if payload.filters != digest(&list_query.filters) {
            return Err(refused(CursorReason::FilterMismatch));
        }
        Ok(payload.position)
    }

    /// Computes the tag. Sort and filters are part of `bytes`, so that a mismatch is distinguishable from a forgery.
    fn tag(&self, list_query: &ListQuery, bytes: &[u8]) -> Hmac<Sha256> {
        let owner = list_query
            .owner
            .map(|owner| owner.to_string())
            .unwrap_or_default();
        let mut mac = self.mac(list_query.list);
        mac.update(owner.as_bytes());
        mac.update(b"\0");
        mac.update(bytes);
        mac
    }
}

fn refused(reason: CursorReason) -> ApiError {
    InvalidCursor { reason }.into()
}

fn digest(filters: &str) -> String {
    let digest = Sha256::digest(filters.as_bytes());
    URL_SAFE_NO_PAD.encode(digest.as_slice().get(..TAG_BYTES).unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::values::string_enum::StringEnum;

    fn list_query() -> ListQuery {
        ListQuery {
            list: "orders",
            owner: None,
            sort: "created_desc",
            filters: "status=proceed".into(),
        }
    }

    fn reason(result: Result<(i64, String), ApiError>) -> &'static str {
        match result {
            Err(ApiError::InvalidCursor(details)) => details.reason.as_str(),
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn cursor_is_accepted_only_by_the_query_that_created_it() {
        let cursors = Cursors::new(&[7; 32]);
        let cursor = cursors.seal(&list_query(), (42_i64, "id")).unwrap();
        assert_eq!(
            cursors
                .open::<(i64, String)>(&list_query(), &cursor)
                .unwrap(),
            (42, "id".into())
        );

        let reason_for = |list_query: ListQuery| reason(cursors.open(&list_query, &cursor));
        assert_eq!(
            reason_for(ListQuery {
                sort: "created_asc",
                ..list_query()
            }),
            "sort_mismatch"
        );
        assert_eq!(
            reason_for(ListQuery {
                filters: String::new(),
                ..list_query()
            }),
            "filter_mismatch"
        );
        assert_eq!(
            reason_for(ListQuery {
                list: "vehicles",
                ..list_query()
            }),
            "malformed"
        );
        let owner = Some(PartnerId::new(chrono::DateTime::UNIX_EPOCH));
        assert_eq!(
            reason_for(ListQuery {
                owner,
                ..list_query()
            }),
            "malformed"
        );
        assert_eq!(
            reason(Cursors::new(&[8; 32]).open(&list_query(), &cursor)),
            "malformed"
        );
    }

    #[test]
    fn cursor_with_a_flipped_bit_is_refused() {
        let cursors = Cursors::new(&[7; 32]);
        let cursor = cursors.seal(&list_query(), (42_i64, "id")).unwrap();
        for at in 0..cursor.len() {
            for bit in 0..8 {
                let mut bytes = cursor.clone().into_bytes();
                bytes[at] ^= 1 << bit;
                let text = String::from_utf8_lossy(&bytes).into_owned();
                assert_eq!(reason(cursors.open(&list_query(), &text)), "malformed");
            }
        }
        for text in [
            "",
            "a",
            "====",
            &cursor[1..],
            &format!("{cursor}A"),
            &"A".repeat(5000),
        ] {
            assert_eq!(reason(cursors.open(&list_query(), text)), "malformed");
        }
    }
}
