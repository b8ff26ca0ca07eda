//! [`Caller`]: the partner whose request it is.

use std::sync::Arc;

use axum::{extract::FromRequestParts, http::request::Parts};

use super::RequestContext;
use crate::{
    audit::model::Author,
    error::ApiError,
    id::{PartnerId, RequestId},
    partners::model::Grant,
};

/// The caller of the request in hand: proof that its API key was accepted.
///
/// Every handler under `/v1` takes it, so authentication cannot be forgotten.
#[derive(Debug, Clone)]
pub(crate) struct Caller {
    /// What the key grants.
    pub grant: Arc<Grant>,
    /// The request, for the audit log.
    pub request_id: RequestId,
}

impl Caller {
    /// Returns the caller of a request that passed authentication.
    pub(crate) fn of(context: &RequestContext) -> Result<Self, ApiError> {
        let grant = context.grant().cloned();
        let grant = grant.ok_or_else(|| ApiError::internal("the route needs no API key"))?;
        Ok(Self {
            grant,
            request_id: context.id(),
        })
    }

    /// Returns the partner, by which every read and write is scoped.
    pub(crate) fn partner(&self) -> PartnerId {
        self.grant.partner
    }

    /// Returns the author of the caller's changes.
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
        Self::of(RequestContext::of(&parts.extensions)?)
    }
}
