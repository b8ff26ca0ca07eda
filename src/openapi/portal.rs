//! `GET /docs`: the documentation for human readers, pages without external resources.
//!
//! The pages are rendered from Markdown when the program is built (`build.rs`). The API reference is one of them: Swagger
//! UI, whose files are compiled in, over the document that this server serves. The pages and their files are not
//! operations of the API, so the document does not list them.

use std::sync::Arc;

use axum::{
    body::Bytes,
    http::{HeaderValue, header},
    response::{IntoResponse, Response},
};
use utoipa_swagger_ui::Config;

use crate::http::etag::{Conditional, Tagged};

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
    use super::*;

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
