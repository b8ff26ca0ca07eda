//! Who is asking.

use std::sync::Arc;

use axum::{extract::FromRequestParts, http::request::Parts};

use crate::{
    audit::model::Author,
    error::ApiError,
    id::{PartnerId, RequestId},
    partners::model::Grant,
};

/// The caller of the request in hand: proof that its key was accepted.
///
/// Every handler under `/v1` takes it, so authentication cannot be forgotten.
#[derive(Debug, Clone)]
pub(crate) struct Caller {
    /// What the key opens.
    pub grant: Arc<Grant>,
    /// The request, for the audit log.
    pub request_id: RequestId,
}

impl Caller {
    /// Returns the partner, by which every read and write is scoped.
    pub(crate) fn partner(&self) -> PartnerId {
        self.grant.partner
    }

    /// Returns who the author of the caller's changes is.
    pub(crate) fn author(&self) -> Author {
        Author {
            actor: format!("key:{}", self.grant.prefix),
            request_id: self.request_id,
        }
    }
}

impl<S: Sync> FromRequestParts<S> for Caller {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, ApiError> {
        let caller = parts.extensions.get::<Self>().cloned();
        caller.ok_or_else(|| ApiError::internal("the route stands outside the gate"))
    }
}
