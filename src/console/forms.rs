//! Forms: the layer that converts a form to a request of the operator API, and its response to a page.
//!
//! A field is a member of the JSON body, and its value is text. A suffix of its name says otherwise: `:number` is a whole
//! number, `:list` an item of a list, `:time` a local time in Korea, `:nullable` null if it is empty; a dot begins a member of
//! an object. Other fields that are empty are left out. A field `csv` is the whole body as CSV. Fields that begin with `_` are
//! not sent on: the token of the form, its idempotency key, and the page that follows.

use std::{sync::Arc, time::Duration};

use askama::Template;
use axum::{
    body::{Body, Bytes, to_bytes},
    extract::{Request, State},
    http::{HeaderValue, Method, header},
    middleware::Next,
    response::{IntoResponse, Response},
};
use serde_json::{Map, Value};

use super::{
    frame::{Frame, Row},
    pages::{is_local, redirect, refuse_form, show},
    session::{self, SESSION_COOKIE},
};
use crate::{
    config::Settings,
    errors::{ApiError, Fault, IssueKind},
    http::{body::AcceptsCsv, cursor::Cursors},
    request::RequestContext,
};

/// The header that carries the idempotency key of a request of the API.
const KEY_HEADER: &str = "idempotency-key";
/// The field with the token of the form.
const TOKEN: &str = "_form";
/// The field with the idempotency key.
const KEY: &str = "_key";
/// The field with the page that follows.
const THEN: &str = "_then";
/// The field with a CSV text.
const CSV: &str = "csv";
/// The number of bytes that one byte of text needs at most in a form.
const BYTES_PER_BYTE: usize = 3;

/// The fields of a form, in the order in which they were sent.
#[derive(Debug)]
pub(crate) struct Form(Vec<(String, String)>);

impl Form {
    /// Reads the fields of a body.
    pub(crate) fn read(body: &[u8]) -> Self {
        let fields = form_urlencoded::parse(body);
        let fields = fields.map(|(name, value)| (name.into_owned(), value.into_owned()));
        Self(fields.collect())
    }

    /// Returns the value of a field; of several, the last one.
    pub(crate) fn get(&self, name: &str) -> &str {
        let mut named = self.0.iter().rev().filter(|(key, _)| key == name);
        named.next().map_or("", |(_, value)| value)
    }

    /// Returns the CSV text, if the form has one.
    fn csv(&self) -> Option<&str> {
        let csv = self.0.iter().find(|(name, _)| name == CSV)?;
        Some(&csv.1)
    }

    /// Returns the JSON body.
    fn members(&self) -> Map<String, Value> {
        let mut members = Map::new();
        for (field, text) in self.0.iter().filter(|(name, _)| !name.starts_with('_')) {
            let (path, kind) = field.split_once(':').unwrap_or((field, ""));
            let text = text.trim();
            let value = match (kind, text) {
                ("nullable", "") => Value::Null,
                (_, "") => continue,
                ("number", _) => number(text).map_or_else(|| text.into(), Value::from),
                ("time", _) => time(text).into(),
                _ => text.into(),
            };
            let (object, name) = match path.split_once('.') {
                Some((object, name)) => {
                    let object = members.entry(object).or_insert_with(|| Map::new().into());
                    (object.as_object_mut(), name)
                }
                None => (Some(&mut members), path),
            };
            let Some(object) = object else { continue };
            if kind != "list" {
                object.insert(name.to_owned(), value);
            } else if let Value::Array(items) = object
                .entry(name)
                .or_insert_with(|| Value::Array(Vec::new()))
            {
                items.push(value);
            }
        }
        members
    }
}

/// Reads a whole number as people write it: `$12,500`.
fn number(text: &str) -> Option<i64> {
    let digits = text.trim_start_matches('$').replace([',', ' '], "");
    digits.parse().ok()
}

/// Completes a local time in Korea, which browsers send without seconds and offset. Another text is left as it is.
fn time(text: &str) -> String {
    match text.len() {
        16 => format!("{text}:00+09:00"),
        19 => format!("{text}+09:00"),
        _ => text.to_owned(),
    }
}

/// The page that follows a form.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Then {
    /// The page at a path.
    Go(String),
    /// The outcomes of the rows that were sent, and then the page at a path.
    Outcomes(String),
    /// A new API key, which is shown this once, and then the page at a path.
    NewKey(String),
}

impl Then {
    fn of(form: &Form) -> Self {
        let (kind, path) = form
            .get(THEN)
            .split_once(' ')
            .unwrap_or(("", form.get(THEN)));
        let path = match is_local(path) {
            true => path.to_owned(),
            false => "/".to_owned(),
        };
        match kind {
            "outcomes" => Self::Outcomes(path),
            "key" => Self::NewKey(path),
            _ => Self::Go(path),
        }
    }
}

/// The page with the outcomes of rows.
#[derive(Template)]
#[template(path = "outcomes.html")]
struct OutcomesPage<'a> {
    page: &'a Frame,
    rows: Vec<Row>,
    done: usize,
    unchanged: usize,
    refused: usize,
    then: String,
}

/// The page with a new API key.
#[derive(Template)]
#[template(path = "new_key.html")]
struct NewKeyPage<'a> {
    page: &'a Frame,
    key: Row,
    then: String,
}

/// Converts a form to a request of the operator API, passes it on, and converts the response to a page.
///
/// A form of another session is refused. An error is left to the layer around this one.
pub(crate) async fn submit(
    State(cursors): State<Cursors>,
    State(settings): State<Arc<Settings>>,
    context: RequestContext,
    request: Request,
    next: Next,
) -> Response {
    if request.method() != Method::POST {
        return next.run(request).await;
    }
    let page = Frame::of(request.headers(), request.uri(), &context, &cursors);
    let converted = convert(request, &context, &cursors, &settings).await;
    let (request, then) = match converted {
        Ok(Some(converted)) => converted,
        Ok(None) => return refuse_form(&page).unwrap_or_else(ApiError::into_response),
        Err(error) => return error.into_response(),
    };
    let response = next.run(request).await;
    if !response.status().is_success() {
        return response;
    }
    let followed = follow(&page, then, response).await;
    followed.unwrap_or_else(ApiError::into_response)
}

/// Reads a form, and returns it as a request of the API; `None` if it is not of the session.
async fn convert(
    request: Request,
    context: &RequestContext,
    cursors: &Cursors,
    settings: &Settings,
) -> Result<Option<(Request, Then)>, ApiError> {
    let (mut parts, body) = request.into_parts();
    let form = Form::read(&read_body(body, context, settings).await?);
    let session = session::cookie(&parts.headers, SESSION_COOKIE).unwrap_or_default();
    if !session::is_form_of(cursors, session, form.get(TOKEN)) {
        return Ok(None);
    }
    let headers = &mut parts.headers;
    headers.remove(header::CONTENT_LENGTH);
    headers.remove(header::CONTENT_ENCODING);
    let key = HeaderValue::try_from(form.get(KEY)).map_err(|_| not_a_key())?;
    headers.insert(KEY_HEADER, key);
    let (media_type, body) = match form.csv() {
        Some(csv) => ("text/csv", csv.as_bytes().to_vec()),
        None => {
            let body = serde_json::to_vec(&form.members()).map_err(ApiError::internal)?;
            ("application/json", body)
        }
    };
    if form.csv().is_some() {
        parts.extensions.insert(AcceptsCsv);
    }
    let media_type = HeaderValue::from_static(media_type);
    parts.headers.insert(header::CONTENT_TYPE, media_type);
    let request = Request::from_parts(parts, Body::from(body));
    Ok(Some((request, Then::of(&form))))
}

fn not_a_key() -> ApiError {
    let message = "the form has no idempotency key";
    let fault = Fault::new(IssueKind::InvalidFormat, message);
    fault.at(KEY, None).into()
}

/// Reads the body of a form within its time, of a size that the body of a request of the API can have.
pub(crate) async fn read_body(
    body: Body,
    context: &RequestContext,
    settings: &Settings,
) -> Result<Bytes, ApiError> {
    let server = &settings.server;
    context.restart_deadline(server.body);
    let bytes_max = server.body_bytes_max * BYTES_PER_BYTE;
    let read = tokio::time::timeout(server.body, to_bytes(body, bytes_max)).await;
    context.restart_deadline(Duration::ZERO);
    match read {
        Ok(Ok(bytes)) => Ok(bytes),
        Ok(Err(_)) => Err(ApiError::PayloadTooLarge {
            limit_bytes: bytes_max,
        }),
        Err(_) => Err(ApiError::RequestTimeout),
    }
}

/// Returns the page that follows a form that was done.
async fn follow(page: &Frame, then: Then, response: Response) -> Result<Response, ApiError> {
    let then = match then {
        Then::Go(path) => return Ok(redirect(&with_notice(&path))),
        Then::Outcomes(then) => {
            let rows = Row::read(response).await?.rows("/data");
            let count = |outcome| {
                rows.iter()
                    .filter(|it| it.says("/outcome", outcome))
                    .count()
            };
            return show(&OutcomesPage {
                page,
                done: count("done"),
                unchanged: count("unchanged"),
                refused: count("refused"),
                rows,
                then,
            });
        }
        Then::NewKey(then) => then,
    };
    let key = Row::read(response).await?;
    show(&NewKeyPage { page, key, then })
}

/// Adds a parameter to a path, by which its page says that the form was done.
fn with_notice(path: &str) -> String {
    let (path, fragment) = path.split_once('#').unwrap_or((path, ""));
    let (path, query) = path.split_once('?').unwrap_or((path, ""));
    let parameters = form_urlencoded::parse(query.as_bytes());
    let mut noticed = form_urlencoded::Serializer::new(String::new());
    noticed.extend_pairs(parameters.filter(|(name, _)| name != "done"));
    noticed.append_pair("done", "1");
    let hash = if fragment.is_empty() { "" } else { "#" };
    format!("{path}?{}{hash}{fragment}", noticed.finish())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn fields_become_members_by_the_suffixes_of_their_names() {
        let form = Form::read(
            b"_form=t&_key=k&status=secured&purchase_price_usd%3Anumber=%2412%2C500&auction_fee_usd%3Anumber=x\
              &auction_date%3Atime=2026-04-20T13%3A00&empty=&contact%3Anullable=&ids%3Alist=a&ids%3Alist=b\
              &limit.burst%3Anumber=5&limit.limit%3Anumber=7",
        );
        let expected = json!({
            "status": "secured", "purchase_price_usd": 12_500, "auction_fee_usd": "x",
            "auction_date": "2026-04-20T13:00:00+09:00", "contact": null, "ids": ["a", "b"],
            "limit": {"burst": 5, "limit": 7},
        });
        assert_eq!(Value::from(form.members()), expected);
        assert_eq!((form.get("_form"), form.get("_other")), ("t", ""));
    }

    #[test]
    fn page_that_follows_is_one_of_the_console() {
        let then = |text: &str| {
            let field = (THEN.to_owned(), text.to_owned());
            Then::of(&Form(vec![(THEN.to_owned(), "/first".to_owned()), field]))
        };
        assert_eq!(then("/orders"), Then::Go("/orders".to_owned()));
        assert_eq!(
            then("outcomes /shipping"),
            Then::Outcomes("/shipping".to_owned())
        );
        assert_eq!(
            then("key https://evil.example"),
            Then::NewKey("/".to_owned())
        );
        assert_eq!(then("//evil.example"), Then::Go("/".to_owned()));
    }

    #[test]
    fn notice_keeps_the_query_and_the_fragment() {
        for (path, noticed) in [
            ("/orders", "/orders?done=1"),
            ("/orders?q=a+b&done=1", "/orders?q=a+b&done=1"),
            ("/orders/x?a=1#steps", "/orders/x?a=1&done=1#steps"),
        ] {
            assert_eq!(with_notice(path), noticed);
        }
    }
}
