//! `GET /docs`: the reference, a page that needs nothing from elsewhere.
//!
//! It is Swagger UI, whose files are compiled in, over the document that this server serves itself. Page and files are no
//! operations of the API, so they are the one thing that the document does not tell of.

use std::sync::Arc;

use axum::{
    Router,
    body::Bytes,
    http::{HeaderValue, header},
    response::{IntoResponse, Response},
    routing::get,
};
use utoipa_swagger_ui::Config;

use crate::http::etag::{Conditional, Tagged};

/// What is ours: path, media type, text.
const OURS: &[(&str, &str, &str)] = &[
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
/// What is Swagger UI's.
const THEIRS: &[(&str, &str)] = &[
    ("swagger-ui.css", "text/css; charset=utf-8"),
    ("swagger-ui-bundle.js", "text/javascript; charset=utf-8"),
];
/// Nothing comes from elsewhere and nothing goes there. Swagger UI styles its elements one by one, and draws by `data:`.
const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self' 'unsafe-inline'; img-src 'self' data:; \
                      connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'";

/// A file of the page.
#[derive(Debug)]
struct File {
    path: String,
    bytes: Tagged,
}

/// Routes of the page: one a file.
pub(crate) fn router<S: Clone + Send + Sync + 'static>() -> Router<S> {
    files().fold(Router::new(), |router, file| {
        let path = file.path.clone();
        let file = Arc::new(file);
        let show = async move |conditional: Conditional| show(&file, &conditional);
        router.route(&path, get(show))
    })
}

fn show(file: &File, conditional: &Conditional) -> Response {
    let headers = [
        (header::CONTENT_SECURITY_POLICY, POLICY),
        (header::REFERRER_POLICY, "no-referrer"),
    ];
    let headers = headers.map(|(name, value)| (name, HeaderValue::from_static(value)));
    (headers, conditional.answer_tagged(&file.bytes)).into_response()
}

/// Takes all files out of the binary.
fn files() -> impl Iterator<Item = File> {
    let ours = OURS.iter().map(|(path, media_type, text)| File {
        path: (*path).to_owned(),
        bytes: Tagged::typed(Bytes::from_static(text.as_bytes()), media_type),
    });
    let config = Arc::new(Config::from("/v1/openapi.json"));
    let theirs = THEIRS.iter().filter_map(move |(name, media_type)| {
        let file = utoipa_swagger_ui::serve(name, config.clone()).ok()??;
        Some(File {
            path: format!("/docs/{name}"),
            bytes: Tagged::typed(file.bytes.into_owned().into(), media_type),
        })
    });
    ours.chain(theirs)
}
