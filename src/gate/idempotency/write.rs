//! [`Write`]: the one transaction of a write, and the only way to succeed.

use std::sync::{Arc, Mutex, PoisonError};

use axum::{
    extract::FromRequestParts,
    http::{HeaderValue, StatusCode, header, request::Parts},
    response::{IntoResponse, Response},
};
use bytes::Bytes;
use serde::Serialize;
use uuid::Uuid;

use super::{
    model::{Fingerprint, Outcome},
    store::{self, Recalled},
};
use crate::{
    app::App,
    db::Tx,
    error::ApiError,
    id::{OrderId, PartnerId},
};

/// What a write answers, and what it touched.
#[derive(Debug)]
pub(crate) struct Reply {
    /// 200 or 201.
    pub status: StatusCode,
    /// Where the new thing is.
    pub location: Option<String>,
    /// The order that was touched.
    pub order: Option<OrderId>,
    /// The body, as it is sent and kept.
    pub body: Bytes,
}

impl Reply {
    /// Makes a reply with a JSON body.
    pub(crate) fn json(status: StatusCode, view: &impl Serialize) -> Result<Self, ApiError> {
        let body = serde_json::to_vec(view).map_err(ApiError::internal)?;
        Ok(Self {
            status,
            location: None,
            order: None,
            body: body.into(),
        })
    }
}

impl IntoResponse for Reply {
    fn into_response(self) -> Response {
        let json = HeaderValue::from_static("application/json");
        let mut response = (self.status, [(header::CONTENT_TYPE, json)], self.body).into_response();
        if let Some(Ok(location)) = self.location.as_deref().map(HeaderValue::from_str) {
            response.headers_mut().insert(header::LOCATION, location);
        }
        response
    }
}

/// Whose key it is, and for which request.
#[derive(Debug, Clone)]
pub(crate) struct Claim {
    /// Whose.
    pub partner: PartnerId,
    /// The key.
    pub key: Uuid,
    /// The request.
    pub fingerprint: Fingerprint,
}

impl Claim {
    /// Takes the key, or finds what it did.
    pub(crate) async fn bind(&self, tx: &mut Tx) -> Result<Option<Recalled>, ApiError> {
        if store::bind(tx, self.partner, self.key, &self.fingerprint).await? {
            return Ok(None);
        }
        // The insert waited for whoever had the key; what it did is seen by the next statement only.
        let recalled = store::recall(tx, self.partner, self.key).await?;
        recalled
            .map(Some)
            .ok_or_else(|| ApiError::internal("a key was taken and is not there"))
    }

    /// Judges a request against what its key did: the first one's reply, or the refusal of a reuse.
    pub(crate) fn judge(&self, recalled: Recalled) -> Result<Reply, ApiError> {
        let first = Fingerprint::stored(&recalled.fingerprint)
            .ok_or_else(|| ApiError::internal("a stored fingerprint has another length"))?;
        let mismatch = first.mismatch(&self.fingerprint);
        if !mismatch.is_empty() {
            return Err(ApiError::IdempotencyKeyReused {
                original_vehicle_id: recalled.vehicle_id,
                mismatch,
            });
        }
        let status = u16::try_from(recalled.status)
            .ok()
            .and_then(|it| StatusCode::from_u16(it).ok());
        Ok(Reply {
            status: status.ok_or_else(|| ApiError::internal("a stored status is none"))?,
            location: recalled.location,
            order: None,
            body: recalled.body,
        })
    }
}

/// What has become of the key so far; the layer reads it when the handler has ended.
#[derive(Debug, Clone)]
pub(crate) struct OutcomeCell(Arc<Mutex<Outcome>>);

impl OutcomeCell {
    /// Nothing has been done yet.
    pub(crate) fn unbound() -> Self {
        Self(Arc::new(Mutex::new(Outcome::Unbound)))
    }

    /// Returns it.
    pub(crate) fn get(&self) -> Outcome {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn set(&self, outcome: Outcome) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = outcome;
    }
}

/// A write in progress: its transaction, in which its key is already bound.
///
/// Dropped without [`Write::commit`], everything is rolled back and the key is free.
#[derive(Debug)]
pub(crate) struct Write {
    tx: Tx,
    app: App,
    claim: Claim,
    outcome: OutcomeCell,
}

impl Write {
    /// Begins, with the key bound in `tx`.
    pub(crate) fn new(app: App, tx: Tx, claim: Claim, outcome: OutcomeCell) -> Self {
        Self {
            tx,
            app,
            claim,
            outcome,
        }
    }

    /// Returns the transaction, for store functions.
    pub(crate) fn tx(&mut self) -> &mut Tx {
        &mut self.tx
    }

    /// Stores the reply under the key and commits: the only commit on the path of a request.
    pub(crate) async fn commit(mut self, reply: Reply) -> Result<Response, ApiError> {
        let Claim { partner, key, .. } = self.claim;
        let status = i16::try_from(reply.status.as_u16()).map_err(ApiError::internal)?;
        let location = reply.location.as_deref();
        store::complete(
            &mut self.tx,
            partner,
            key,
            reply.order,
            status,
            location,
            &reply.body,
        )
        .await?;
        self.outcome.set(Outcome::Unknown);
        match self.tx.commit().await {
            Ok(()) => {
                self.outcome.set(Outcome::Bound);
                Ok(reply.into_response())
            }
            // The database's own word: it rolled back.
            Err(error @ sqlx::Error::Database(_)) => {
                self.outcome.set(Outcome::Unbound);
                Err(error.into())
            }
            Err(lost) => settle(&self.app, &self.claim, &self.outcome, lost).await,
        }
    }
}

/// Finds out what became of a commit whose answer was lost.
///
/// Binding the key again on a fresh connection waits for the first transaction to end; a plain look could see nothing
/// while the old backend is still committing. It never guesses: failing that, the outcome stays unknown.
async fn settle(
    app: &App,
    claim: &Claim,
    outcome: &OutcomeCell,
    lost: sqlx::Error,
) -> Result<Response, ApiError> {
    tracing::warn!(error = %lost, "the answer to a commit was lost; binding its key again");
    let mut tx = app.begin().await?;
    match claim.bind(&mut tx).await? {
        Some(recalled) => {
            let reply = claim.judge(recalled)?;
            outcome.set(Outcome::Bound);
            Ok(reply.into_response())
        }
        None => {
            outcome.set(Outcome::Unbound);
            Err(ApiError::unavailable(lost))
        }
    }
}

/// Where the layer leaves the [`Write`] for the handler to take.
#[derive(Debug, Clone)]
pub(super) struct Handover(Arc<Mutex<Option<Write>>>);

impl Handover {
    /// Leaves it.
    pub(super) fn new(write: Write) -> Self {
        Self(Arc::new(Mutex::new(Some(write))))
    }
}

impl<S: Sync> FromRequestParts<S> for Write {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, ApiError> {
        let left = parts.extensions.get::<Handover>();
        let write = left.and_then(|it| it.0.lock().unwrap_or_else(PoisonError::into_inner).take());
        write.ok_or_else(|| ApiError::internal("the route stands outside the idempotency layer"))
    }
}
