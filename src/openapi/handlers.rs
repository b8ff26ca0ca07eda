//! The handlers of the documents that are public and the same for every caller: `GET /v1/openapi.json`, the error
//! catalogue with `GET /v1/errors` and `GET /v1/errors/{code}`, and `GET /`, which leads to them.

use std::{collections::HashMap, sync::Arc};

use axum::{
    extract::{Extension, State},
    http::{HeaderMap, HeaderValue, header},
    response::{IntoResponse, Redirect, Response},
};
use serde::Serialize;
use serde_json::json;

use crate::{
    config::Settings,
    errors::{
        ApiError,
        catalogue::Code,
        docs::{self, ErrorList, ErrorView},
    },
    http::{
        accept::{self, Offer},
        etag::{Conditional, Tagged},
        extract::Id,
    },
};

/// The representations of the error catalogue: JSON, unless Markdown has a higher quality.
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

/// The representations of the index: JSON, unless HTML has a higher quality. A browser is led to the documentation.
const INDEX_OFFERS: [Offer; 2] = [
    Offer {
        media_type: "application/json",
        by_name_only: false,
    },
    Offer {
        media_type: "text/html",
        by_name_only: false,
    },
];

/// Returns what this server is, with links for a caller that knows only its address.
pub(crate) async fn show_index(
    State(settings): State<Arc<Settings>>,
    conditional: Conditional,
    headers: HeaderMap,
) -> Result<Response, ApiError> {
    let url = &settings.public_url;
    let mut response = match accept::choose(headers.get_all(header::ACCEPT), &INDEX_OFFERS) {
        0 => conditional.answer(&json!({
            "name": "LMN partner API",
            "environment": settings.environment.as_str(),
            "links": {
                "docs": format!("{url}/docs"),
                "openapi": format!("{url}/v1/openapi.json"),
                "errors": format!("{url}/v1/errors"),
                "status": format!("{url}/v1/status"),
            },
        }))?,
        _ => to_docs(&settings),
    };
    let vary = HeaderValue::from_static("Accept");
    response.headers_mut().insert(header::VARY, vary);
    Ok(response)
}

/// Redirects to the documentation for human readers.
pub(crate) async fn lead_to_docs(State(settings): State<Arc<Settings>>) -> Response {
    to_docs(&settings)
}

fn to_docs(settings: &Settings) -> Response {
    Redirect::to(&format!("{}/docs", settings.public_url)).into_response()
}

/// Returns this document.
///
/// No key is needed, and the request counts against no limit.
#[utoipa::path(get, path = "/v1/openapi.json", tag = "service", params(Conditional), responses(
    (status = 200, description = "An OpenAPI 3.1 document.", body = Object),
))]
pub(crate) async fn get_openapi(
    conditional: Conditional,
    Extension(document): Extension<Tagged>,
) -> Response {
    conditional.answer_tagged(&document)
}

/// All pages of the error catalogue, rendered once.
#[derive(Debug, Clone)]
pub(crate) struct ErrorPages(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    all: Page,
    one: HashMap<Code, Page>,
}

/// A page in both representations.
#[derive(Debug)]
struct Page {
    json: Tagged,
    markdown: Tagged,
}

impl ErrorPages {
    /// Renders the pages.
    pub(crate) fn new() -> Self {
        let one = |code| {
            let page = Page::new(&ErrorView::from(code), docs::markdown_of(code));
            (code, page)
        };
        Self(Arc::new(Inner {
            all: Page::new(&ErrorList::all(), docs::markdown()),
            one: Code::ALL.map(one).into(),
        }))
    }
}

impl Page {
    fn new(view: &impl Serialize, text: String) -> Self {
        // Strings and numbers always serialize.
        let json = serde_json::to_vec(view).unwrap_or_default();
        Self {
            json: Tagged::new(json.into()),
            markdown: Tagged::typed(text.into(), "text/markdown; charset=utf-8"),
        }
    }

    /// Responds in the representation that the client accepts.
    fn answer(&self, headers: &HeaderMap, conditional: &Conditional) -> Response {
        let tagged = match accept::choose(headers.get_all(header::ACCEPT), &OFFERS) {
            0 => &self.json,
            _ => &self.markdown,
        };
        let mut response = conditional.answer_tagged(tagged);
        let vary = HeaderValue::from_static("Accept");
        response.headers_mut().insert(header::VARY, vary);
        response
    }
}

/// Lists all errors.
///
/// No key is needed, and the request counts against no limit. `Accept: text/markdown` returns Markdown.
#[utoipa::path(get, path = "/v1/errors", tag = "service", params(Conditional), responses(
    (status = 200, description = "The error catalogue, always on one page.", headers(("Vary")), content(
        (ErrorList = "application/json"), (String = "text/markdown"),
    )),
))]
pub(crate) async fn list_errors(
    Extension(ErrorPages(pages)): Extension<ErrorPages>,
    conditional: Conditional,
    headers: HeaderMap,
) -> Response {
    pages.all.answer(&headers, &conditional)
}

/// Returns one error; the `type` of a problem (RFC 9457) links here.
///
/// No key is needed, and the request counts against no limit. `Accept: text/markdown` returns Markdown.
#[utoipa::path(get, path = "/v1/errors/{code}", tag = "service", params(Id::<Code>, Conditional), responses(
    (status = 200, description = "The error's row in the catalogue.", headers(("Vary")), content(
        (ErrorView = "application/json"), (String = "text/markdown"),
    )),
    (status = 404, description = "not_found"),
))]
pub(crate) async fn get_error(
    Extension(ErrorPages(pages)): Extension<ErrorPages>,
    conditional: Conditional,
    headers: HeaderMap,
    Id(code): Id<Code>,
) -> Result<Response, ApiError> {
    let page = pages.one.get(&code);
    let page = page.ok_or_else(|| ApiError::internal("a code has no page"))?;
    Ok(page.answer(&headers, &conditional))
}
