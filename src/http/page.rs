//! Pagination: the `limit` and `cursor` of a list request, and the page in the response.

use std::borrow::Cow;

use axum::{
    body::Bytes,
    http::{HeaderMap, HeaderValue, Uri, header},
    response::{IntoResponse, Response},
};
use serde::{Serialize, de::DeserializeOwned};
use utoipa::{
    IntoParams, PartialSchema, ToSchema,
    openapi::{
        ArrayBuilder, ObjectBuilder, Ref, RefOr, Schema, Type,
        path::{Parameter, ParameterIn},
        schema::SchemaType,
    },
};

use crate::{
    errors::{ApiError, Fault, IssueKind},
    http::{
        body::Answer,
        cursor::{Cursors, ListQuery},
        describe,
        extract::{FromQuery, Params},
    },
    values::environment::contains_api_key_prefix,
};

/// The most ids that one request can name.
pub(crate) const IDS_MAX: usize = 100;
/// Rows on a page by default.
const LIMIT_DEFAULT: i64 = 50;
/// Rows on the largest page.
const LIMIT_MAX: i64 = 200;

/// The page that a request asks for.
#[derive(Debug, Clone)]
pub(crate) struct PageQuery {
    /// The most rows on the page, 1 to 200.
    limit: u8,
    /// The `next_cursor` of the previous page.
    cursor: Option<String>,
}

impl FromQuery for PageQuery {
    fn from_query(params: &mut Params) -> Option<Self> {
        Some(Self::read(params))
    }
}

impl IntoParams for PageQuery {
    fn into_params(_: impl Fn() -> Option<ParameterIn>) -> Vec<Parameter> {
        let limit = "The maximum number of rows on the page. A value out of range is an error; it is not clamped.";
        let cursor = "The `next_cursor` of the previous page. It is valid for this list with the same `sort` and \
                      filters, and does not expire.";
        vec![
            describe::integer("limit", &(1..=LIMIT_MAX), LIMIT_DEFAULT, limit),
            describe::query_text("cursor", cursor, describe::text()),
        ]
    }
}

impl PageQuery {
    /// Parses `limit` and `cursor`.
    pub(crate) fn read(params: &mut Params) -> Self {
        let limit = params
            .integer("limit", 1..=LIMIT_MAX)
            .unwrap_or(LIMIT_DEFAULT);
        Self {
            limit: u8::try_from(limit).unwrap_or_default(),
            cursor: params.text("cursor"),
        }
    }

    /// Returns the position at which the previous page ended; `None` for the first page.
    pub(crate) fn after<P: DeserializeOwned>(
        &self,
        cursors: &Cursors,
        list_query: &ListQuery,
    ) -> Result<Option<P>, ApiError> {
        let cursor = self.cursor.as_deref();
        cursor.map(|it| cursors.open(list_query, it)).transpose()
    }

    /// Returns the maximum number of rows on the page.
    pub(crate) fn limit(&self) -> usize {
        self.limit.into()
    }

    /// Truncates the [`PageQuery::rows`] that were read, each with its position, and returns the next page's cursor.
    pub(crate) fn cut<R, P: Serialize>(
        &self,
        mut rows: Vec<(R, P)>,
        cursors: &Cursors,
        list_query: &ListQuery,
    ) -> Result<(Vec<R>, Option<String>), ApiError> {
        let more = rows.len() > self.limit();
        rows.truncate(self.limit());
        let last = rows.last().filter(|_| more).map(|(_, place)| place);
        let next = last.map(|it| cursors.seal(list_query, it)).transpose()?;
        Ok((rows.into_iter().map(|(row, _)| row).collect(), next))
    }

    /// Returns the number of rows to read: one more than the page holds, which shows whether there is a next page.
    pub(crate) fn rows(&self) -> i64 {
        i64::from(self.limit) + 1
    }
}

/// Parses `sort` by its name; the first entry of `sorts` is the default.
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
            "`sort` is not one of the allowed values",
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
    /// The cursor of the next page; null on the last page and only there.
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
                "The cursor of the next page; null on the last page and only there.",
            ));
        ObjectBuilder::new()
            .description(Some("One page of a list."))
            .property("data", rows)
            .property("next_cursor", next_cursor)
            .into()
    }
}

impl<T> Page<T> {
    /// Creates a page from the [`PageQuery::rows`] that were read.
    pub(crate) fn of<R, P: Serialize>(
        mut rows: Vec<R>,
        query: &PageQuery,
        cursors: &Cursors,
        list_query: &ListQuery,
        position: impl Fn(&R) -> P,
    ) -> Result<Self, ApiError>
    where
        T: From<R>,
    {
        let limit = usize::from(query.limit);
        let more = rows.len() > limit;
        rows.truncate(limit);
        let last = rows.last().filter(|_| more).map(position);
        let next_cursor = last.map(|it| cursors.seal(list_query, it)).transpose()?;
        Ok(Self {
            data: rows.into_iter().map(T::from).collect(),
            next_cursor,
        })
    }
}

impl<T: Serialize> Page<T> {
    /// Responds with the page and, unless it is the last, a `Link` to the next: the same request with the next cursor.
    pub(crate) fn answer(self, uri: &Uri) -> Response {
        let link = next_link(uri, self.next_cursor.as_deref());
        let mut response = Answer(self).into_response();
        if let Some(link) = link {
            response.headers_mut().insert(header::LINK, link);
        }
        response
    }
}

/// A page whose rows are already rendered as JSON.
#[derive(Debug)]
pub(crate) struct RenderedPage {
    body: Bytes,
    headers: HeaderMap,
}

impl RenderedPage {
    /// Creates the page for the request to `uri` from one JSON value per row.
    pub(crate) fn of(rows: &[Bytes], next_cursor: Option<&str>, uri: &Uri) -> Self {
        let rows_bytes = rows.iter().map(|row| row.len() + 1).sum();
        Self::write(rows_bytes, next_cursor, uri, |body| {
            for (n, row) in rows.iter().enumerate() {
                if n > 0 {
                    body.push(b',');
                }
                body.extend_from_slice(row);
            }
        })
    }

    /// Creates a page from rows that are already joined by commas.
    pub(crate) fn joined(rows: &[u8], next_cursor: Option<&str>, uri: &Uri) -> Self {
        Self::write(rows.len(), next_cursor, uri, |body| {
            body.extend_from_slice(rows);
        })
    }

    fn write(
        rows_bytes: usize,
        next_cursor: Option<&str>,
        uri: &Uri,
        rows: impl FnOnce(&mut Vec<u8>),
    ) -> Self {
        // A cursor is base64url, so it needs no escapes.
        let next = next_cursor.map_or("null".into(), |it| format!("\"{it}\""));
        let (begin, middle) = (b"{\"data\":[", b"],\"next_cursor\":");
        let overhead = begin.len() + middle.len() + next.len() + 1;
        let mut body = Vec::with_capacity(rows_bytes + overhead);
        body.extend_from_slice(begin);
        rows(&mut body);
        body.extend_from_slice(middle);
        body.extend_from_slice(next.as_bytes());
        body.push(b'}');
        let json = HeaderValue::from_static("application/json");
        let mut headers = HeaderMap::from_iter([(header::CONTENT_TYPE, json)]);
        headers.extend(next_link(uri, next_cursor).map(|link| (header::LINK, link)));
        Self {
            body: body.into(),
            headers,
        }
    }
}

impl IntoResponse for RenderedPage {
    fn into_response(self) -> Response {
        (self.headers, self.body).into_response()
    }
}

/// Returns the `Link` value. API keys sent in the query by mistake are left out, because links are logged and shared.
pub(crate) fn next_link(uri: &Uri, next_cursor: Option<&str>) -> Option<HeaderValue> {
    let parameters = form_urlencoded::parse(uri.query().unwrap_or_default().as_bytes());
    let mut query = form_urlencoded::Serializer::new(String::new());
    let is_repeated = |(name, value): &(Cow<'_, str>, Cow<'_, str>)| {
        name != "cursor" && !contains_api_key_prefix(name) && !contains_api_key_prefix(value)
    };
    query.extend_pairs(parameters.filter(is_repeated));
    query.append_pair("cursor", next_cursor?);
    let link = format!("<{}?{}>; rel=\"next\"", uri.path(), query.finish());
    link.try_into().ok()
}
