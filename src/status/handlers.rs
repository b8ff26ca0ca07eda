//! The handler of `GET /v1/status`.

use axum::{
    extract::State,
    http::header,
    response::{IntoResponse, Response},
};

use super::{StatusMonitor, model::ServiceStatus};

/// Returns the status of the service.
///
/// No key is needed, and the request counts against no limit. The server that responds assesses itself once a second;
/// LMN's servers may differ for a moment. For a single request that failed, `LMN-Should-Retry` and `Retry-After` say more.
#[utoipa::path(get, path = "/v1/status", tag = "service", responses(
    (status = 200, description = "The status, also while a component is degraded.", body = ServiceStatus),
))]
pub(crate) async fn get_status(State(monitor): State<StatusMonitor>) -> Response {
    let json = [(header::CONTENT_TYPE, "application/json")];
    (json, monitor.body()).into_response()
}
