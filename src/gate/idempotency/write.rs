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
    database::{self, Tx},
    error::ApiError,
    http::remarks::Remarks,
    id::{OrderId, PartnerId, VehicleId},
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
    /// The body, as it is kept, and sent if nothing else is.
    pub body: Bytes,
    /// The body as it is sent this once, because it holds a secret that is not kept.
    pub shown_once: Option<Bytes>,
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
            shown_once: None,
        })
    }

    /// Shows something else this once; a replay shows what is kept.
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

/// What came of taking a key.
#[derive(Debug)]
pub(super) enum Taken {
    /// It is this transaction's.
    New {
        /// Whether the car that was to be locked along is there, and is.
        is_car_locked: bool,
    },
    /// It did this before.
    Before(Recalled),
}

impl Claim {
    /// Takes the key, and locks a car along with it; or finds what the key did.
    pub(super) async fn bind(
        &self,
        tx: &mut Tx,
        car: Option<&VehicleId>,
    ) -> Result<Taken, ApiError> {
        let bound = store::bind(tx, self.partner, self.key, &self.fingerprint, car).await?;
        if bound.is_new {
            let is_car_locked = bound.is_car_locked;
            return Ok(Taken::New { is_car_locked });
        }
        // The insert waited for whoever had the key; what it did is seen by the next statement only.
        let recalled = store::recall(tx, self.partner, self.key).await?;
        recalled
            .map(Taken::Before)
            .ok_or_else(|| ApiError::internal("a key was taken and is not there"))
    }

    /// Judges a request against what its key did: the first one's reply, or the refusal of a reuse.
    pub(crate) fn judge(&self, recalled: Recalled) -> Result<Judgement, ApiError> {
        let first = Fingerprint::stored(&recalled.fingerprint)
            .ok_or_else(|| ApiError::internal("a stored fingerprint has another length"))?;
        let mismatch = first.mismatch(&self.fingerprint);
        if !mismatch.is_empty() {
            let original_vehicle_id = recalled.vehicle_id;
            return Ok(Judgement::Reuse(ApiError::IdempotencyKeyReused {
                original_vehicle_id,
                mismatch,
            }));
        }
        Ok(Judgement::Replay(Reply {
            status: StatusCode::OK,
            location: recalled.location,
            order: None,
            body: recalled.body,
            shown_once: None,
        }))
    }
}

/// What a request is, compared with the one that its key served.
#[derive(Debug)]
pub(crate) enum Judgement {
    /// The same: this was the reply, and is again, with status 200.
    Replay(Reply),
    /// Another: this is the refusal.
    Reuse(ApiError),
}

/// What has become of the key so far, and the remark that tells it on whatever answer there will be.
#[derive(Debug, Clone)]
pub(crate) struct Fate {
    outcome: Arc<Mutex<Outcome>>,
    remarks: Remarks,
}

impl Fate {
    /// Begins with what is known before the look-up: nothing.
    pub(crate) fn unknown(remarks: Remarks) -> Self {
        let fate = Self {
            outcome: Arc::new(Mutex::new(Outcome::Unknown)),
            remarks,
        };
        fate.set(Outcome::Unknown);
        fate
    }

    /// Returns it.
    pub(crate) fn get(&self) -> Outcome {
        *self.outcome.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Changes it.
    pub(crate) fn set(&self, outcome: Outcome) {
        *self.outcome.lock().unwrap_or_else(PoisonError::into_inner) = outcome;
        let replayed = if outcome == Outcome::Replayed {
            "true"
        } else {
            "false"
        };
        self.remarks.set(
            "idempotency-status",
            HeaderValue::from_static(outcome.as_str()),
        );
        self.remarks
            .set("idempotent-replayed", HeaderValue::from_static(replayed));
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
    car: Option<VehicleId>,
    fate: Fate,
}

impl Write {
    /// Begins, with the key bound and `car` locked in `tx`: until the commit, whatever happens leaves it unbound.
    pub(super) fn new(app: App, tx: Tx, claim: Claim, car: Option<VehicleId>, fate: Fate) -> Self {
        fate.set(Outcome::Unbound);
        Self {
            tx,
            app,
            claim,
            car,
            fate,
        }
    }

    /// Returns the transaction, for store functions.
    pub(crate) fn tx(&mut self) -> &mut Tx {
        &mut self.tx
    }

    /// Returns the car that the request names, if there is such a car: it is locked since the key was bound.
    pub(crate) fn car(&self) -> Option<&VehicleId> {
        self.car.as_ref()
    }

    /// Returns the key, for a statement that completes its row along with what it records.
    pub(crate) fn key(&self) -> Uuid {
        self.claim.key
    }

    /// Stores the reply under the key and commits.
    pub(crate) async fn commit(mut self, reply: Reply) -> Result<Response, ApiError> {
        let Claim { partner, key, .. } = self.claim;
        let location = reply.location.as_deref();
        store::complete(
            &mut self.tx,
            partner,
            key,
            reply.order,
            location,
            &reply.body,
        )
        .await?;
        self.commit_completed(reply).await
    }

    /// Rolls back and answers nevertheless: a dry run. The key stays free.
    pub(crate) fn discard(self, reply: Reply) -> Response {
        self.fate.set(Outcome::Discarded);
        reply.into_response()
    }

    /// Commits what a statement has recorded together with the reply: the only commit on the path of a request.
    pub(crate) async fn commit_completed(self, reply: Reply) -> Result<Response, ApiError> {
        self.fate.set(Outcome::Unknown);
        match self.tx.commit().await {
            Ok(()) => {
                self.fate.set(Outcome::Bound);
                Ok(reply.into_response())
            }
            Err(error) if database::is_rolled_back(&error) => {
                self.fate.set(Outcome::Unbound);
                Err(error.into())
            }
            Err(lost) => settle(&self.app, &self.claim, &self.fate, reply, lost).await,
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
    fate: &Fate,
    reply: Reply,
    lost: sqlx::Error,
) -> Result<Response, ApiError> {
    tracing::warn!(error = %lost, "the answer to a commit was lost; binding its key again");
    let mut tx = app.begin().await?;
    let Taken::Before(recalled) = claim.bind(&mut tx, None).await? else {
        fate.set(Outcome::Unbound);
        return Err(ApiError::unavailable(lost));
    };
    // The reply names a new order or its new state, so the same bytes under the key are this very commit's.
    if recalled.body == reply.body {
        fate.set(Outcome::Bound);
        return Ok(reply.into_response());
    }
    answer(claim.judge(recalled)?, fate)
}

/// Answers from what the key did before.
pub(crate) fn answer(judgement: Judgement, fate: &Fate) -> Result<Response, ApiError> {
    match judgement {
        Judgement::Replay(reply) => {
            fate.set(Outcome::Replayed);
            Ok(reply.into_response())
        }
        Judgement::Reuse(refusal) => {
            fate.set(Outcome::Conflict);
            Err(refusal)
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
