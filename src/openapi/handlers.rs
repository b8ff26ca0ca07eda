//! The handlers of the documents that are public and the same for every caller: `GET /v1/openapi.json`, the error
//! catalogue with `GET /v1/errors` and `GET /v1/errors/{code}`, and `GET /`, which leads to them. `GET /docs`: the
//! documentation for human readers, pages without external resources.
//!
//! The pages are rendered from Markdown when the program is built (`build.rs`). The API reference is one of them: Swagger
//! UI, whose files are compiled in, over the document that this server serves. The pages and their files are not
//! operations of the API, so the document does not list them.

use std::{collections::HashMap, sync::Arc};

use axum::{
    body::Bytes,
    extract::{Extension, State},
    http::{HeaderMap, HeaderValue, header},
    response::{IntoResponse, Redirect, Response},
};
use serde::Serialize;
use serde_json::json;
use utoipa_swagger_ui::Config;

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

/// The path of the first page; those of the others and of the files are below it.
const ROOT: &str = "/docs";
/// The pages: name, which is empty for the first page, and text.
const PAGES: &[(&str, &str)] = include!(concat!(env!("OUT_DIR"), "/pages.rs"));
/// The name of the page that runs Swagger UI.
const REFERENCE: &str = "reference";
/// The base URL in the pages; that of the deployment takes its place.
const BASE_URL: &str = "https://lmn.example";
/// This project's files: name, media type and text.
const OWN_FILES: &[(&str, &str, &str)] = &[
    (
        "portal.css",
        "text/css; charset=utf-8",
        include_str!("../../docs/page/portal.css"),
    ),
    (
        "icon.svg",
        "image/svg+xml",
        include_str!("../../docs/page/icon.svg"),
    ),
    (
        "reference.css",
        "text/css; charset=utf-8",
        include_str!("../../docs/page/reference.css"),
    ),
    (
        "reference.js",
        "text/javascript; charset=utf-8",
        include_str!("../../docs/page/reference.js"),
    ),
];
/// The files of Swagger UI: name and media type.
const SWAGGER_UI_FILES: &[(&str, &str)] = &[
    ("swagger-ui.css", "text/css; charset=utf-8"),
    ("swagger-ui-bundle.js", "text/javascript; charset=utf-8"),
];
/// Pages load style sheets and images of this origin, and nothing else.
const POLICY: &str = "default-src 'none'; style-src 'self'; img-src 'self'; base-uri 'none'; form-action 'none'; \
                      frame-ancestors 'none'";
/// Swagger UI also runs scripts, calls the API, sets inline styles and draws with `data:` images.
const REFERENCE_POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self' 'unsafe-inline'; \
                                img-src 'self' data:; connect-src 'self'; base-uri 'none'; form-action 'none'; \
                                frame-ancestors 'none'";

/// A page or one of its files, which is a route of its own.
#[derive(Debug)]
pub(crate) struct File {
    /// The path of the route.
    pub(crate) path: String,
    policy: &'static str,
    bytes: Tagged,
}

impl File {
    fn new(name: &str, bytes: Tagged) -> Self {
        let path = match name {
            "" => ROOT.to_owned(),
            name => format!("{ROOT}/{name}"),
        };
        let policy = match name {
            REFERENCE => REFERENCE_POLICY,
            _ => POLICY,
        };
        Self {
            path,
            policy,
            bytes,
        }
    }

    /// Responds with the file.
    pub(crate) fn answer(&self, conditional: &Conditional) -> Response {
        let headers = [
            (header::CONTENT_SECURITY_POLICY, self.policy),
            (header::REFERRER_POLICY, "no-referrer"),
        ];
        let headers = headers.map(|(name, value)| (name, HeaderValue::from_static(value)));
        (headers, conditional.answer_tagged(&self.bytes)).into_response()
    }
}

/// Returns all pages and their files; `public_url` is the base URL for partners.
pub(crate) fn files(public_url: &str) -> impl Iterator<Item = File> {
    let base_url = escape(public_url);
    let pages = PAGES.iter().map(move |(name, html)| {
        let html = html.replace(BASE_URL, &base_url);
        File::new(name, Tagged::typed(html.into(), "text/html; charset=utf-8"))
    });
    let own_files = OWN_FILES.iter().map(|(name, media_type, text)| {
        let bytes = Bytes::from_static(text.as_bytes());
        File::new(name, Tagged::typed(bytes, media_type))
    });
    let config = Arc::new(Config::from("/v1/openapi.json"));
    let swagger_ui_files = SWAGGER_UI_FILES
        .iter()
        .filter_map(move |(name, media_type)| {
            let file = utoipa_swagger_ui::serve(name, config.clone()).ok()??;
            let bytes = file.bytes.into_owned().into();
            Some(File::new(name, Tagged::typed(bytes, media_type)))
        });
    pages.chain(own_files).chain(swagger_ui_files)
}

/// Escapes text for HTML and for quoted attributes.
fn escape(text: &str) -> String {
    let text = text.replace('&', "&amp;").replace('<', "&lt;");
    let text = text.replace('>', "&gt;").replace('"', "&quot;");
    text.replace('\'', "&#39;")
}

#[cfg(test)]
mod tests {
    use crate::openapi::handlers::*;

    #[test]
    fn base_url_of_the_deployment_is_escaped() {
        let url = "https://api.example.com/a&b'\"<c>";
        assert_eq!(
            escape(url),
            "https://api.example.com/a&amp;b&#39;&quot;&lt;c&gt;"
        );
    }

    #[test]
    fn paths_differ_and_only_the_reference_runs_scripts() {
        let files: Vec<_> = files("https://api.example.com").collect();
        let mut paths: Vec<_> = files.iter().map(|it| it.path.as_str()).collect();
        assert_eq!(
            paths.len(),
            PAGES.len() + OWN_FILES.len() + SWAGGER_UI_FILES.len()
        );
        paths.sort_unstable();
        paths.dedup();
        assert_eq!(paths.len(), files.len());
        let with_scripts = files.iter().filter(|it| it.policy.contains("script-src"));
        let with_scripts: Vec<_> = with_scripts.map(|it| it.path.as_str()).collect();
        assert_eq!(with_scripts, ["/docs/reference"]);
    }
}
