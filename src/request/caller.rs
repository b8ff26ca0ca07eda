//! The authenticated callers: [`Caller`] is a partner, [`OperatorCaller`] one of LMN's people.

use std::sync::Arc;

use axum::{extract::FromRequestParts, http::request::Parts};

use super::RequestContext;
use crate::{
    audit::Actor,
    errors::ApiError,
    operators::model::Operator,
    partners::api_key::Grant,
    values::id::{PartnerId, RequestId},
};

/// The authenticated caller of a request.
///
/// It exists only for a request whose API key was accepted. Every handler under `/v1` takes it, so that no route can
/// skip authentication.
#[derive(Debug, Clone)]
pub(crate) struct Caller {
    /// The grant of the API key.
    pub grant: Arc<Grant>,
    /// The id of the request, for the audit log.
    pub request_id: RequestId,
}

impl Caller {
    /// Returns the caller of a request that passed authentication.
    pub(crate) fn of(context: &RequestContext) -> Result<Self, ApiError> {
        let grant = context.grant().cloned();
        let grant =
            grant.ok_or_else(|| ApiError::internal("the route is outside authentication"))?;
        Ok(Self {
            grant,
            request_id: context.id(),
        })
    }

    /// Returns the partner, which scopes every read and write.
    pub(crate) fn partner(&self) -> PartnerId {
        self.grant.partner
    }

    /// Returns the actor of the caller's changes.
    pub(crate) fn actor(&self) -> Actor {
        Actor {
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

/// The authenticated operator of a request.
///
/// It exists only for a request whose token was accepted. Every handler under `/operator/v1` takes it, so that no route
/// can skip authentication.
#[derive(Debug, Clone)]
pub(crate) struct OperatorCaller {
    /// The operator.
    pub operator: Arc<Operator>,
    /// The id of the request, for the audit log.
    pub request_id: RequestId,
}

impl OperatorCaller {
    /// Returns the actor of the operator's changes.
    pub(crate) fn actor(&self) -> Actor {
        Actor::operator(&self.operator.name, self.request_id)
    }
}

impl<S: Sync> FromRequestParts<S> for OperatorCaller {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, ApiError> {
        let context = RequestContext::of(&parts.extensions)?;
        let operator = context.operator().cloned();
        let operator =
            operator.ok_or_else(|| ApiError::internal("the route is outside authentication"))?;
        Ok(Self {
            operator,
            request_id: context.id(),
        })
    }
}
