//! `X-Sandbox-Force`: a sandbox partner asks for an error, and gets it in full.

use axum::{extract::Request, http::HeaderMap};

use super::admission::{Policy, Verdict};
use crate::{
    app::App,
    error::{ApiError, Fault, IssueKind, catalogue::Code},
    request::{IdempotencyStatus, RequestContext},
    stamp::Stamp,
};

/// The header.
const HEADER: &str = "x-sandbox-force";
/// Its name as it is reported.
const NAME: &str = "X-Sandbox-Force";

/// The policy that answers with the error that was asked for; nothing else happens.
///
/// The error is dated by the heartbeat's time: the partner's own clock would cost a query, which an error does not.
#[derive(Debug, Clone)]
pub(crate) struct ForcedError(pub App);

impl ForcedError {
    fn forced(&self, headers: &HeaderMap, context: &RequestContext) -> ApiError {
        let now = Stamp::kst(self.0.heartbeat().time());
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
