//! Pages: a cursor names the place where the last page ended, and cannot be made or moved by anyone else.
//!
//! It is authenticated with the deployment's key and bound to its list, its owner, its sort and its filters
//! (contract, section 1). It does not expire: a place in a sorted list is a place for ever.

use std::borrow::Cow;

use axum::{
    http::{HeaderValue, Uri, header},
    response::{IntoResponse, Response},
};
use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use hmac::{Hmac, KeyInit, Mac};
use serde::{Deserialize, Serialize, de::DeserializeOwned};
use sha2::{Digest, Sha256};
use utoipa::{
    IntoParams, PartialSchema, ToSchema,
    openapi::{
        ArrayBuilder, ObjectBuilder, Ref, RefOr, Schema, Type,
        path::{Parameter, ParameterIn},
        schema::SchemaType,
    },
};

use crate::{
    error::{ApiError, Fault, IssueKind},
    http::{
        describe,
        extract::{Answer, FromQuery, Params},
    },
    id::PartnerId,
};

/// Ids that one request can name.
pub(crate) const IDS_MAX: usize = 100;
/// Rows on a page, unless the caller says otherwise.
const LIMIT_DEFAULT: i64 = 50;
/// Rows on the largest page.
const LIMIT_MAX: i64 = 200;
/// Length of the authentication tag, in bytes.
const TAG_BYTES: usize = 16;
/// No cursor of ours is longer.
const CURSOR_CHARACTERS_MAX: usize = 1024;

/// A list as it is walked: which one, whose, in what order and through which filters.
#[derive(Debug, Clone)]
pub(crate) struct Walk {
    /// The list.
    pub list: &'static str,
    /// Whose rows it shows; `None` if all partners see the same.
    pub owner: Option<PartnerId>,
    /// The sort's name.
    pub sort: &'static str,
    /// The filters in their canonical form.
    pub filters: String,
}

/// What a cursor carries.
#[derive(Serialize, Deserialize)]
struct Place<P> {
    #[serde(rename = "s")]
    sort: String,
    #[serde(rename = "f")]
    filters: String,
    #[serde(rename = "p")]
    position: P,
}

/// Seals and opens cursors.
#[derive(Clone)]
pub(crate) struct Cursors(Hmac<Sha256>);

impl std::fmt::Debug for Cursors {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Cursors")
    }
}

impl Cursors {
    /// Takes the deployment's key.
    pub(crate) fn new(key: &[u8]) -> Self {
        // HMAC takes a key of any length, so the fall-back is never used.
        Self(Hmac::new_from_slice(key).unwrap_or_else(|_| Hmac::new(&Default::default())))
    }

    /// Makes the cursor of a position in a walk.
    pub(crate) fn seal<P: Serialize>(&self, walk: &Walk, position: P) -> Result<String, ApiError> {
        let place = Place {
            sort: walk.sort.to_owned(),
            filters: digest(&walk.filters),
            position,
        };
        let mut bytes = serde_json::to_vec(&place).map_err(ApiError::internal)?;
        let tag = self.tag(walk, &bytes).finalize().into_bytes();
        bytes.extend(tag.iter().take(TAG_BYTES));
        Ok(URL_SAFE_NO_PAD.encode(bytes))
    }

    /// Reads the position from a cursor of this walk.
    pub(crate) fn open<P: DeserializeOwned>(
        &self,
        walk: &Walk,
        cursor: &str,
    ) -> Result<P, ApiError> {
        let malformed = ApiError::InvalidCursor {
            reason: "malformed",
        };
        if cursor.len() > CURSOR_CHARACTERS_MAX {
            return Err(malformed);
        }
        let Ok(bytes) = URL_SAFE_NO_PAD.decode(cursor) else {
            return Err(malformed);
        };
        let Some((place, tag)) = bytes.split_last_chunk::<TAG_BYTES>() else {
            return Err(malformed);
        };
        if self.tag(walk, place).verify_truncated_left(tag).is_err() {
            return Err(malformed);
        }
        let Ok(place) = serde_json::from_slice::<Place<P>>(place) else {
            return Err(malformed);
        };
        if place.sort != walk.sort {
            return Err(ApiError::InvalidCursor {
                reason: "sort_mismatch",
            });
        }
        if place.filters != digest(&walk.filters) {
            return Err(ApiError::InvalidCursor {
                reason: "filter_mismatch",
            });
        }
        Ok(place.position)
    }

    /// Sort and filters are inside the bytes, so that a mismatch can be told from a forgery.
    fn tag(&self, walk: &Walk, bytes: &[u8]) -> Hmac<Sha256> {
        let owner = walk
            .owner
            .map(|owner| owner.to_string())
            .unwrap_or_default();
        let mut mac = self.0.clone();
        mac.update(walk.list.as_bytes());
        mac.update(b"\0");
        mac.update(owner.as_bytes());
        mac.update(b"\0");
        mac.update(bytes);
        mac
    }
}

fn digest(filters: &str) -> String {
    let digest = Sha256::digest(filters.as_bytes());
    URL_SAFE_NO_PAD.encode(digest.as_slice().get(..TAG_BYTES).unwrap_or_default())
}

/// Which page the caller asks for.
#[derive(Debug, Clone)]
pub(crate) struct PageQuery {
    /// Rows on the page, 1 to 200.
    limit: u8,
    /// Where the last page ended.
    cursor: Option<String>,
}

impl FromQuery for PageQuery {
    fn from_query(params: &mut Params) -> Option<Self> {
        Some(Self::read(params))
    }
}

impl IntoParams for PageQuery {
    fn into_params(_: impl Fn() -> Option<ParameterIn>) -> Vec<Parameter> {
        let limit = "Rows on the page at most. Out of range is an error, never clamped.";
        let cursor = "Where the last page ended: its `next_cursor`. It belongs to this list with the same `sort` and \
                      filters, and does not expire.";
        vec![
            describe::integer("limit", &(1..=LIMIT_MAX), LIMIT_DEFAULT, limit),
            describe::query_text("cursor", cursor, describe::text()),
        ]
    }
}

impl PageQuery {
    /// Reads `limit` and `cursor`.
    pub(crate) fn read(params: &mut Params) -> Self {
        let limit = params
            .integer("limit", 1..=LIMIT_MAX)
            .unwrap_or(LIMIT_DEFAULT);
        Self {
            limit: u8::try_from(limit).unwrap_or_default(),
            cursor: params.text("cursor"),
        }
    }

    /// Returns where the last page of a walk ended; nothing before the first.
    pub(crate) fn after<P: DeserializeOwned>(
        &self,
        cursors: &Cursors,
        walk: &Walk,
    ) -> Result<Option<P>, ApiError> {
        let cursor = self.cursor.as_deref();
        cursor.map(|it| cursors.open(walk, it)).transpose()
    }

    /// Returns how many rows to read: one more than are shown tells whether there is a next page.
    pub(crate) fn rows(&self) -> i64 {
        i64::from(self.limit) + 1
    }
}

/// Reads a `sort` by its name among those there are; the first one is the default.
pub(crate) fn read_sort<S: Copy>(
    params: &mut Params,
    sorts: &[(&'static str, S)],
) -> Option<(&'static str, S)> {
    let Some(text) = params.text("sort") else {
        return sorts.first().copied();
    };
    let known = sorts.iter().find(|(name, _)| *name == text).copied();
    if known.is_none() {
        let names: Vec<_> = sorts.iter().map(|(name, _)| *name).collect();
        let fault = Fault::new(
            IssueKind::InvalidValue,
            "`sort` is none of the orders there are",
        );
        params.complain("sort", &text, fault.expected(names.join(" ")));
    }
    known
}

/// One page of a list.
#[derive(Debug, Serialize)]
pub(crate) struct Page<T> {
    /// The rows.
    pub data: Vec<T>,
    /// Where the next page begins; null on the last page and only there.
    pub next_cursor: Option<String>,
}

impl<T: ToSchema> ToSchema for Page<T> {
    fn name() -> Cow<'static, str> {
        format!("{}List", T::name()).into()
    }

    fn schemas(schemas: &mut Vec<(String, RefOr<Schema>)>) {
        schemas.push((T::name().into(), T::schema()));
        T::schemas(schemas);
    }
}

impl<T: ToSchema> PartialSchema for Page<T> {
    fn schema() -> RefOr<Schema> {
        let rows = ArrayBuilder::new()
            .items(Ref::from_schema_name(T::name()))
            .description(Some("The rows, at most `limit`."));
        let next_cursor = ObjectBuilder::new()
            .schema_type(SchemaType::from_iter([Type::String, Type::Null]))
            .description(Some(
                "Where the next page begins; null on the last page and only there.",
            ));
        ObjectBuilder::new()
            .description(Some("One page of a list."))
            .property("data", rows)
            .property("next_cursor", next_cursor)
            .into()
    }
}

impl<T> Page<T> {
    /// Makes a page of a walk out of the [`PageQuery::rows`] that were read.
    pub(crate) fn of<R, P: Serialize>(
        mut rows: Vec<R>,
        query: &PageQuery,
        cursors: &Cursors,
        walk: &Walk,
        position: impl Fn(&R) -> P,
    ) -> Result<Self, ApiError>
    where
        T: From<R>,
    {
        let limit = usize::from(query.limit);
        let more = rows.len() > limit;
        rows.truncate(limit);
        let last = rows.last().filter(|_| more).map(position);
        let next_cursor = last.map(|it| cursors.seal(walk, it)).transpose()?;
        Ok(Self {
            data: rows.into_iter().map(T::from).collect(),
            next_cursor,
        })
    }
}

impl<T: Serialize> Page<T> {
    /// Answers with the page, and a `Link` to the next one: the same question with the next cursor.
    pub(crate) fn answer(self, uri: &Uri) -> Response {
        let link = self
            .next_cursor
            .as_deref()
            .map(|cursor| next_link(uri, cursor));
        let mut response = Answer(self).into_response();
        if let Some(Ok(link)) = link.map(HeaderValue::try_from) {
            response.headers_mut().insert(header::LINK, link);
        }
        response
    }
}

fn next_link(uri: &Uri, cursor: &str) -> String {
    let asked = form_urlencoded::parse(uri.query().unwrap_or_default().as_bytes());
    let mut query = form_urlencoded::Serializer::new(String::new());
    query.extend_pairs(asked.filter(|(name, _)| name != "cursor"));
    query.append_pair("cursor", cursor);
    format!("<{}?{}>; rel=\"next\"", uri.path(), query.finish())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn walk() -> Walk {
        Walk {
            list: "orders",
            owner: None,
            sort: "created_desc",
            filters: "status=proceed".into(),
        }
    }

    fn reason(result: Result<(i64, String), ApiError>) -> &'static str {
        match result {
            Err(ApiError::InvalidCursor { reason }) => reason,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn a_cursor_opens_in_its_own_walk_only() {
        let cursors = Cursors::new(&[7; 32]);
        let cursor = cursors.seal(&walk(), (42_i64, "id")).unwrap();
        assert_eq!(
            cursors.open::<(i64, String)>(&walk(), &cursor).unwrap(),
            (42, "id".into())
        );

        let elsewhere = |walk: Walk| reason(cursors.open(&walk, &cursor));
        assert_eq!(
            elsewhere(Walk {
                sort: "created_asc",
                ..walk()
            }),
            "sort_mismatch"
        );
        assert_eq!(
            elsewhere(Walk {
                filters: String::new(),
                ..walk()
            }),
            "filter_mismatch"
        );
        assert_eq!(
            elsewhere(Walk {
                list: "vehicles",
                ..walk()
            }),
            "malformed"
        );
        let owner = Some(PartnerId::new(chrono::DateTime::UNIX_EPOCH));
        assert_eq!(elsewhere(Walk { owner, ..walk() }), "malformed");
        assert_eq!(
            reason(Cursors::new(&[8; 32]).open(&walk(), &cursor)),
            "malformed"
        );
    }

    #[test]
    fn every_flipped_bit_is_noticed() {
        let cursors = Cursors::new(&[7; 32]);
        let cursor = cursors.seal(&walk(), (42_i64, "id")).unwrap();
        for at in 0..cursor.len() {
            for bit in 0..8 {
                let mut bytes = cursor.clone().into_bytes();
                bytes[at] ^= 1 << bit;
                let text = String::from_utf8_lossy(&bytes).into_owned();
                assert_eq!(reason(cursors.open(&walk(), &text)), "malformed");
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
            assert_eq!(reason(cursors.open(&walk(), text)), "malformed");
        }
    }
}
