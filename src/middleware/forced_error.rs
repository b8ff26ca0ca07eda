//! `X-Sandbox-Force`: returns the error that a sandbox partner requests.

use axum::{extract::Request, http::HeaderMap};

use super::admission::{Policy, Verdict};
use crate::{
    app::App,
    errors::{ApiError, Fault, IssueKind, catalogue::Code},
    request::{IdempotencyStatus, RequestContext},
    values::timestamp::Timestamp,
};

/// The header's name.
const HEADER: &str = "x-sandbox-force";
/// The header's name in issues.
const NAME: &str = "X-Sandbox-Force";

/// The policy that responds with the requested error and does nothing else.
///
/// The error has the heartbeat's time: reading the partner's sandbox clock would cost a query.
#[derive(Debug, Clone)]
pub(crate) struct ForcedError(pub App);

impl ForcedError {
    fn forced(&self, headers: &HeaderMap, context: &RequestContext) -> ApiError {
        let now = Timestamp::kst(self.0.heartbeat().time());
        let forced = read(headers).and_then(|(code, status)| {
            let error = ApiError::example(code, status, now).ok_or_else(unknown)?;
            Ok((code, error))
        });
        match forced {
            Ok((code, error)) => {
                let has_key = context.idempotency() != IdempotencyStatus::Absent;
                if code == Code::IdempotencyKeyReused && has_key {
                    context.set_idempotency(IdempotencyStatus::Conflict);
                }
                ApiError::Forced(Box::new(error))
            }
            Err(error) => error,
        }
    }
}

impl Policy for ForcedError {
    fn admit(&self, request: &Request, context: &RequestContext) -> Verdict {
        let headers = request.headers();
        match headers.contains_key(HEADER) {
            true => Verdict::Refuse(self.forced(headers, context)),
            false => Verdict::Admit,
        }
    }
}

/// Parses `<code>` or `<code>;status=<status>`; without a status, the last one of the code is used.
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
    let message = "`X-Sandbox-Force` must be an error code, optionally with one of its statuses";
    let fault = Fault::new(IssueKind::InvalidValue, message);
    fault
        .expected("past_order_cutoff, or invalid_status_transition;status=403")
        .at(NAME, None)
        .into()
}
