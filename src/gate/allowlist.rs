//! The allowlist: a partner is served from its own networks only.

use axum::{
    extract::{Extension, Request, State},
    middleware::Next,
    response::Response,
};

use super::caller::Caller;
use crate::{app::App, error::ApiError, http::client_ip::ClientAddress};

/// Refuses a request from outside the partner's networks.
pub(crate) async fn allowlist(
    State(app): State<App>,
    caller: Caller,
    Extension(ClientAddress(client_ip)): Extension<ClientAddress>,
    request: Request,
    next: Next,
) -> Result<Response, ApiError> {
    if !caller.grant.admits(client_ip, app.settings().environment) {
        return Err(ApiError::IpNotAllowed { client_ip });
    }
    Ok(next.run(request).await)
}
