//! `X-Sandbox-Force`: a sandbox partner asks for an error, and gets it in full (contract, section 9).

use axum::{
    extract::{Request, State},
    http::{HeaderMap, HeaderValue, header},
    middleware::Next,
    response::{IntoResponse, Response},
};

use super::idempotency::{Fate, model::Outcome};
use crate::{
    app::App,
    environment::Environment,
    error::{ApiError, Fault, IssueKind, catalogue::Code},
    stamp::Stamp,
};

/// The header.
const HEADER: &str = "x-sandbox-force";
/// Its name as it is reported.
const NAME: &str = "X-Sandbox-Force";

/// Answers with the error that was asked for; nothing else happens. Production knows no such header.
///
/// It happens at the pulse's time: the partner's own clock would cost a query, which an error does not.
pub(crate) async fn force(
    State(app): State<App>,
    request: Request,
    next: Next,
) -> Result<Response, ApiError> {
    let is_sandbox = app.settings().environment == Environment::Sandbox;
    if !is_sandbox || !request.headers().contains_key(HEADER) {
        return Ok(next.run(request).await);
    }
    let (code, status) = read(request.headers())?;
    let now = Stamp::kst(app.heartbeat().time());
    let error = ApiError::example(code, status, now).ok_or_else(unknown)?;
    if let (Code::IdempotencyKeyReused, Some(fate)) = (code, request.extensions().get::<Fate>()) {
        fate.set(Outcome::Conflict);
    }
    let mut response = ApiError::Forced(Box::new(error)).into_response();
    if code == Code::MethodNotAllowed {
        let allow = HeaderValue::from_static("GET,HEAD");
        response.headers_mut().insert(header::ALLOW, allow);
    }
    Ok(response)
}

/// Reads `<code>` or `<code>;status=<status>`; a code of two statuses means the last one.
fn read(headers: &HeaderMap) -> Result<(Code, u16), ApiError> {
    let text = headers.get(HEADER).and_then(|value| value.to_str().ok());
    let text = text.ok_or_else(unknown)?;
    let (code, parameter) = match text.split_once(';') {
        Some((code, parameter)) => (code, Some(parameter)),
        None => (text, None),
    };
    let code = Code::parse(code.trim()).ok_or_else(unknown)?;
    let status = match parameter.map(str::trim) {
        None => code.entry().statuses.last().copied(),
        Some(parameter) => parameter
            .strip_prefix("status=")
            .and_then(|it| it.parse().ok()),
    };
    Ok((code, status.ok_or_else(unknown)?))
}

fn unknown() -> ApiError {
    let message =
        "`X-Sandbox-Force` must be a code of the catalogue, with one of its statuses if any";
    let fault = Fault::new(IssueKind::InvalidValue, message);
    fault
        .expected("past_order_cutoff, or invalid_status_transition;status=403")
        .at(NAME, None)
        .into()
}
