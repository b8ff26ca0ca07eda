//! `GET /v1/errors` and `GET /v1/errors/{code}`: the catalogue, the same bytes for everybody, without a key.

use std::{collections::HashMap, sync::Arc};

use axum::{
    extract::Extension,
    http::{HeaderMap, HeaderValue, header},
    response::Response,
};
use serde::Serialize;
use utoipa_axum::{router::OpenApiRouter, routes};

use super::{
    ApiError,
    catalogue::Code,
    markdown,
    view::{ErrorList, ErrorView},
};
use crate::{
    app::App,
    http::{
        accept::{self, Offer},
        etag::{Conditional, Tagged},
        path::Id,
    },
};

/// What the catalogue can be had as; JSON unless Markdown is wanted more.
const OFFERS: [Offer; 2] = [
    Offer {
        media_type: "application/json",
        by_name_only: false,
    },
    Offer {
        media_type: "text/markdown",
        by_name_only: false,
    },
];

/// Routes of the catalogue.
pub(crate) fn router() -> OpenApiRouter<App> {
    OpenApiRouter::default()
        .routes(routes!(list_errors))
        .routes(routes!(get_error))
}

/// Every page of the catalogue, made once.
#[derive(Debug, Clone)]
pub(crate) struct Pages(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    all: Page,
    one: HashMap<Code, Page>,
}

/// A page in both forms.
#[derive(Debug)]
struct Page {
    json: Tagged,
    markdown: Tagged,
}

impl Pages {
    /// Makes them.
    pub(crate) fn new() -> Self {
        let one = |code| {
            let page = Page::new(&ErrorView::from(code), markdown::entry(code));
            (code, page)
        };
        Self(Arc::new(Inner {
            all: Page::new(&ErrorList::all(), markdown::page()),
            one: Code::ALL.map(one).into(),
        }))
    }
}

impl Page {
    fn new(view: &impl Serialize, text: String) -> Self {
        // Text and numbers always serialize.
        let json = serde_json::to_vec(view).unwrap_or_default();
        Self {
            json: Tagged::new(json.into()),
            markdown: Tagged::typed(text.into(), "text/markdown; charset=utf-8"),
        }
    }

    /// Answers in the form that is wanted.
    fn answer(&self, headers: &HeaderMap, conditional: &Conditional) -> Response {
        let form = match accept::choose(headers.get_all(header::ACCEPT), &OFFERS) {
            0 => &self.json,
            _ => &self.markdown,
        };
        let mut response = conditional.answer_tagged(form);
        let vary = HeaderValue::from_static("Accept");
        response.headers_mut().insert(header::VARY, vary);
        response
    }
}

/// Lists every error there is.
///
/// It needs no key and counts against no limit. With `Accept: text/markdown` it is a page to read.
#[utoipa::path(get, path = "/v1/errors", tag = "service", params(Conditional), responses(
    (status = 200, description = "The error catalogue, always as one page.", headers(("Vary")), content(
        (ErrorList = "application/json"), (String = "text/markdown"),
    )),
))]
async fn list_errors(
    Extension(Pages(pages)): Extension<Pages>,
    conditional: Conditional,
    headers: HeaderMap,
) -> Response {
    pages.all.answer(&headers, &conditional)
}

/// Shows one error; `type` of a problem (RFC 9457) leads here.
///
/// It needs no key and counts against no limit. With `Accept: text/markdown` it is a page to read.
#[utoipa::path(get, path = "/v1/errors/{code}", tag = "service", params(Id::<Code>, Conditional), responses(
    (status = 200, description = "The error's row in the catalogue.", headers(("Vary")), content(
        (ErrorView = "application/json"), (String = "text/markdown"),
    )),
    (status = 404, description = "not_found"),
))]
async fn get_error(
    Extension(Pages(pages)): Extension<Pages>,
    conditional: Conditional,
    headers: HeaderMap,
    Id(code): Id<Code>,
) -> Result<Response, ApiError> {
    let page = pages.one.get(&code);
    let page = page.ok_or_else(|| ApiError::internal("a code has no page"))?;
    Ok(page.answer(&headers, &conditional))
}
