//! `GET /docs`: the API reference for human readers, a page without external resources.
//!
//! It is Swagger UI, whose files are compiled in, over the document that this server serves. The page and its files are
//! not operations of the API, so the document does not list them.

use std::sync::Arc;

use axum::{
    body::Bytes,
    http::{HeaderValue, header},
    response::{IntoResponse, Response},
};
use utoipa_swagger_ui::Config;

use crate::http::etag::{Conditional, Tagged};

/// This project's files: path, media type and text.
const OWN_FILES: &[(&str, &str, &str)] = &[
    (
        "/docs",
        "text/html; charset=utf-8",
        include_str!("../../docs/page/index.html"),
    ),
    (
        "/docs/page.css",
        "text/css; charset=utf-8",
        include_str!("../../docs/page/page.css"),
    ),
    (
        "/docs/page.js",
        "text/javascript; charset=utf-8",
        include_str!("../../docs/page/page.js"),
    ),
];
/// The files of Swagger UI: name and media type.
const SWAGGER_UI_FILES: &[(&str, &str)] = &[
    ("swagger-ui.css", "text/css; charset=utf-8"),
    ("swagger-ui-bundle.js", "text/javascript; charset=utf-8"),
];
/// No resource is loaded from another origin. Swagger UI sets inline styles and draws with `data:` images.
const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self' 'unsafe-inline'; img-src 'self' data:; \
                      connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'";

/// One file of the page, which is a route of its own.
#[derive(Debug)]
pub(crate) struct File {
    /// The path of the route.
    pub(crate) path: String,
    bytes: Tagged,
}

impl File {
    /// Responds with the file.
    pub(crate) fn answer(&self, conditional: &Conditional) -> Response {
        let headers = [
            (header::CONTENT_SECURITY_POLICY, POLICY),
            (header::REFERRER_POLICY, "no-referrer"),
        ];
        let headers = headers.map(|(name, value)| (name, HeaderValue::from_static(value)));
        (headers, conditional.answer_tagged(&self.bytes)).into_response()
    }
}

/// Returns all files of the page.
pub(crate) fn files() -> impl Iterator<Item = File> {
    let own_files = OWN_FILES.iter().map(|(path, media_type, text)| File {
        path: (*path).to_owned(),
        bytes: Tagged::typed(Bytes::from_static(text.as_bytes()), media_type),
    });
    let config = Arc::new(Config::from("/v1/openapi.json"));
    let swagger_ui_files = SWAGGER_UI_FILES
        .iter()
        .filter_map(move |(name, media_type)| {
            let file = utoipa_swagger_ui::serve(name, config.clone()).ok()??;
            Some(File {
                path: format!("/docs/{name}"),
                bytes: Tagged::typed(file.bytes.into_owned().into(), media_type),
            })
        });
    own_files.chain(swagger_ui_files)
}
