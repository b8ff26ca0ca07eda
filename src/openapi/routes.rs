//! `GET /v1/openapi.json`: the OpenAPI document, which is public and the same for every caller.

use axum::{extract::Extension, response::Response};
use utoipa_axum::{router::OpenApiRouter, routes};

use crate::{
    app::App,
    http::etag::{Conditional, Tagged},
};

/// Returns the route of the document.
pub(crate) fn router() -> OpenApiRouter<App> {
    OpenApiRouter::default().routes(routes!(get_openapi))
}

/// Returns this document.
///
/// No key is needed, and the request counts against no limit.
#[utoipa::path(get, path = "/v1/openapi.json", tag = "service", params(Conditional), responses(
    (status = 200, description = "An OpenAPI 3.1 document.", body = Object),
))]
async fn get_openapi(conditional: Conditional, Extension(document): Extension<Tagged>) -> Response {
    conditional.answer_tagged(&document)
}
