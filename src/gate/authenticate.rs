//! Authentication: the `x-api-key` header becomes a [`Caller`].

use std::sync::Arc;

use axum::{
    extract::{Extension, Request, State},
    http::HeaderMap,
    middleware::Next,
    response::Response,
};
use chrono::{DateTime, Utc};
use moka::future::Cache;

use super::caller::Caller;
use crate::{
    app::App,
    error::ApiError,
    http::user,
    id::RequestId,
    partners::{
        model::{Grant, KeyDigest, KeyFault, read_key},
        store,
    },
};

/// The header that carries the key.
const HEADER: &str = "x-api-key";

/// What keys open, remembered by this replica.
///
/// A grant is remembered under the pulse's generation: as soon as a change is announced, or the pulse cannot be
/// felt, it is read again. So a hit costs no query, and a revoked key is refused everywhere within a second.
#[derive(Debug, Clone)]
pub(crate) struct Keys {
    app: App,
    grants: Cache<(KeyDigest, u64), Arc<Grant>>,
}

/// Why a grant was not found.
#[derive(Debug, thiserror::Error)]
enum Miss {
    #[error("nobody has this key")]
    Unknown,
    #[error("the key could not be looked up")]
    Database(#[from] sqlx::Error),
}

impl Keys {
    /// Makes an empty memory.
    pub(crate) fn new(app: App) -> Self {
        let grants = Cache::new(app.settings().gate.keys_cached_max);
        Self { app, grants }
    }

    /// Returns what a key opens, if it is in force.
    async fn find(&self, digest: KeyDigest) -> Result<Arc<Grant>, ApiError> {
        let generation = self.app.pulse().generation();
        let (grant, now) = match self.app.pulse().confirms(generation) {
            Some(now) => {
                let load = async { self.load(&digest).await.map(|(grant, _)| Arc::new(grant)) };
                let grant = self.grants.try_get_with((digest, generation), load).await;
                (grant.map_err(refuse)?, now)
            }
            None => {
                let (grant, now) = self
                    .load(&digest)
                    .await
                    .map_err(|miss| refuse(Arc::new(miss)))?;
                (Arc::new(grant), now)
            }
        };
        grant.check(now).map_err(invalid)?;
        Ok(grant)
    }

    async fn load(&self, digest: &KeyDigest) -> Result<(Grant, DateTime<Utc>), Miss> {
        let mut connection = self.app.db().acquire().await?;
        let found = store::find_any_grant(&mut connection, digest).await?;
        found.ok_or(Miss::Unknown)
    }
}

#[track_caller]
fn refuse(miss: Arc<Miss>) -> ApiError {
    match &*miss {
        Miss::Unknown => invalid(KeyFault::Unknown),
        Miss::Database(error) if crate::db::is_passing(error) => ApiError::unavailable(miss),
        Miss::Database(_) => ApiError::internal(miss),
    }
}

fn invalid(fault: KeyFault) -> ApiError {
    ApiError::InvalidApiKey {
        reason: fault.as_str(),
    }
}

/// Admits a request with a valid key, and hands its [`Caller`] inward.
pub(crate) async fn authenticate(
    State(keys): State<Keys>,
    Extension(request_id): Extension<RequestId>,
    mut request: Request,
    next: Next,
) -> Result<Response, ApiError> {
    let text = one_key(request.headers())?;
    let digest = read_key(text, keys.app.settings().environment).map_err(invalid)?;
    let grant = keys.find(digest).await?;
    let span = tracing::Span::current();
    span.record("partner", tracing::field::display(grant.partner));
    span.record("key", grant.prefix.as_str());
    if let Some(user) = user::fingerprint(request.headers()) {
        span.record("user", user);
    }
    request
        .extensions_mut()
        .insert(Caller { grant, request_id });
    Ok(next.run(request).await)
}

/// Returns the one key that was sent; the same one twice is one.
fn one_key(headers: &HeaderMap) -> Result<&str, ApiError> {
    let mut sent = headers.get_all(HEADER).iter();
    let first = sent
        .next()
        .filter(|value| !value.is_empty())
        .ok_or(ApiError::MissingApiKey)?;
    if sent.any(|other| other != first) {
        return Err(invalid(KeyFault::Unknown));
    }
    first.to_str().map_err(|_| invalid(KeyFault::Unknown))
}
