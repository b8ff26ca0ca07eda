//! [`Reply`]: the response to a write, of which a part is stored under its key, and the response to a used key.

use axum::{
    http::{HeaderValue, StatusCode, header},
    response::{IntoResponse, Response},
};
use bytes::Bytes;
use serde::Serialize;

use super::{
    model::{Claim, Fingerprint},
    store::StoredReply,
};
use crate::{
    errors::{ApiError, payloads::IdempotencyKeyReused},
    request::{IdempotencyStatus, RequestContext},
    values::id::OrderId,
};

/// The response to a write, and the order that it placed or changed.
#[derive(Debug)]
pub(crate) struct Reply {
    /// 200 or 201.
    pub status: StatusCode,
    /// The `Location` of what was created.
    pub location: Option<String>,
    /// The order that was placed or changed.
    pub order: Option<OrderId>,
    /// The body to store. It is also sent, unless `shown_once` is set.
    pub body: Bytes,
    /// The body to send this once instead, because it contains a secret that is not stored.
    pub shown_once: Option<Bytes>,
}

impl Reply {
    /// Returns a reply with a JSON body.
    pub(crate) fn json(status: StatusCode, view: &impl Serialize) -> Result<Self, ApiError> {
        let body = serde_json::to_vec(view).map_err(ApiError::internal)?;
        Ok(Self {
            status,
            location: None,
            order: None,
            body: body.into(),
            shown_once: None,
        })
    }

    /// Sends another body this once. A replay sends the stored one.
    pub(crate) fn showing(self, view: &impl Serialize) -> Result<Self, ApiError> {
        let body = serde_json::to_vec(view).map_err(ApiError::internal)?;
        Ok(Self {
            shown_once: Some(body.into()),
            ..self
        })
    }
}

impl IntoResponse for Reply {
    fn into_response(self) -> Response {
        let json = HeaderValue::from_static("application/json");
        let body = self.shown_once.unwrap_or(self.body);
        let mut response = (self.status, [(header::CONTENT_TYPE, json)], body).into_response();
        if let Some(Ok(location)) = self.location.map(HeaderValue::try_from) {
            response.headers_mut().insert(header::LOCATION, location);
        }
        response
    }
}

impl Claim {
    /// Answers from what the key did before, unless the request is refused for its `X-User-Id`.
    ///
    /// A handler reports that issue with all others. It does not run for a used key.
    pub(super) fn answer(
        &self,
        stored: StoredReply,
        context: &RequestContext,
    ) -> Result<Response, ApiError> {
        if let Some(issue) = &self.user_issue {
            return Err(issue.clone().into());
        }
        match self.compare(stored)? {
            Comparison::Replay(reply) => {
                context.set_idempotency(IdempotencyStatus::Replayed);
                Ok(reply.into_response())
            }
            Comparison::Conflict(refusal) => {
                context.set_idempotency(IdempotencyStatus::Conflict);
                Err(refusal)
            }
        }
    }

    /// Compares a request with the one that its key served.
    fn compare(&self, stored: StoredReply) -> Result<Comparison, ApiError> {
        let first = Fingerprint::stored(&stored.fingerprint)
            .ok_or_else(|| ApiError::internal("a stored fingerprint has the wrong length"))?;
        let mismatch = first.mismatch(&self.fingerprint);
        if !mismatch.is_empty() {
            let reused = IdempotencyKeyReused {
                original_vehicle_id: stored.vehicle_id,
                mismatch,
            };
            return Ok(Comparison::Conflict(reused.into()));
        }
        Ok(Comparison::Replay(Reply {
            status: StatusCode::OK,
            location: stored.location,
            order: None,
            body: stored.body,
            shown_once: None,
        }))
    }
}

/// The result of comparing a request with the one that its key was used for.
enum Comparison {
    /// The requests are equal: the stored reply is returned again, with status 200.
    Replay(Reply),
    /// The requests differ: this is the error.
    Conflict(ApiError),
}
