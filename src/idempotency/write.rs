//! [`PendingWrite`] and [`Write`]: a write before and after its key is bound, and the only ways to succeed.

use std::{
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use axum::{
    extract::FromRequestParts,
    http::{StatusCode, request::Parts},
    response::{IntoResponse, Response},
};
use uuid::Uuid;

use super::{
    model::Fingerprint,
    reply::Reply,
    store::{self, StoredReply},
};
use crate::{
    app::App,
    database::{self, Tx},
    error::ApiError,
    id::{PartnerId, VehicleId},
    request::{IdempotencyStatus, RequestContext},
};

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
    /// Answers from what the key did before.
    pub(super) fn answer(
        &self,
        stored: StoredReply,
        context: &RequestContext,
    ) -> Result<Response, ApiError> {
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
            .ok_or_else(|| ApiError::internal("a stored fingerprint has another length"))?;
        let mismatch = first.mismatch(&self.fingerprint);
        if !mismatch.is_empty() {
            return Ok(Comparison::Conflict(ApiError::IdempotencyKeyReused {
                original_vehicle_id: stored.vehicle_id,
                mismatch,
            }));
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

/// What a request is, compared with the one that its key served.
enum Comparison {
    /// The same: this was the reply, and is again, with status 200.
    Replay(Reply),
    /// Another: this is the refusal.
    Conflict(ApiError),
}

/// What came of a statement that does a whole write at once.
#[derive(Debug)]
pub(crate) enum AtOnce {
    /// It is done and committed, the key with it.
    Done,
    /// The key did this before.
    KeyUsed(StoredReply),
    /// A premise does not hold: nothing is done, the key is free.
    Undecided,
}

/// What came of trying a write at once.
pub(crate) enum Attempt {
    /// The request is answered.
    Answered(Response),
    /// It is to be decided under a lock.
    Undecided(PendingWrite),
}

/// What came of binding a key.
pub(crate) enum Binding {
    /// The key is this request's.
    Bound(Write),
    /// It did something before, which answers this request.
    Answered(Response),
}

/// A write whose key is read but not looked up.
#[derive(Debug)]
pub(crate) struct PendingWrite {
    app: App,
    claim: Claim,
    context: RequestContext,
}

impl PendingWrite {
    pub(super) fn new(app: App, claim: Claim, context: RequestContext) -> Self {
        Self {
            app,
            claim,
            context,
        }
    }

    /// Returns the key and the request that it is for.
    pub(crate) fn claim(&self) -> &Claim {
        &self.claim
    }

    /// Begins a transaction, binds the key in it and locks a vehicle along with it; or answers from what the key did.
    pub(crate) async fn bind(self, vehicle: Option<&VehicleId>) -> Result<Binding, ApiError> {
        let Self {
            app,
            claim,
            context,
        } = self;
        let mut tx = app.begin().await?;
        let bound = store::bind(&mut tx, &claim, vehicle).await?;
        if !bound.is_new {
            let stored = find_bound(&mut tx, &claim).await?;
            return claim.answer(stored, &context).map(Binding::Answered);
        }
        // Until the commit, whatever happens leaves the key unbound.
        context.set_idempotency(IdempotencyStatus::Unbound);
        let vehicle = vehicle.filter(|_| bound.is_vehicle_locked).cloned();
        Ok(Binding::Bound(Write {
            tx,
            app,
            claim,
            vehicle,
            context,
        }))
    }

    /// Answers after a statement that does the whole write at once.
    ///
    /// The statement is its own transaction, so until its outcome is here nobody knows what became of the key. When it
    /// arrives later than `arrives_within`, it must do nothing.
    pub(crate) async fn conclude(
        self,
        outcome: Result<AtOnce, sqlx::Error>,
        reply: Reply,
        arrives_within: Duration,
    ) -> Result<Attempt, ApiError> {
        let (claim, context) = (&self.claim, &self.context);
        match outcome {
            Ok(AtOnce::Done) => {
                context.set_idempotency(IdempotencyStatus::Bound);
                Ok(Attempt::Answered(reply.into_response()))
            }
            Ok(AtOnce::KeyUsed(stored)) => claim.answer(stored, context).map(Attempt::Answered),
            Ok(AtOnce::Undecided) => Ok(Attempt::Undecided(self)),
            // It may have waited for another request with this key, whose outcome is unknown here.
            Err(error) if database::is_rolled_back(&error) => Err(error.into()),
            Err(lost) => {
                // What the server has reported an error of is over, and arrives no more.
                let within = (!database::is_server_error(&lost)).then_some(arrives_within);
                resolve_unknown_commit(&self.app, claim, context, reply, lost, within)
                    .await
                    .map(Attempt::Answered)
            }
        }
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
    vehicle: Option<VehicleId>,
    context: RequestContext,
}

impl Write {
    /// Returns the transaction, for store functions.
    pub(crate) fn tx(&mut self) -> &mut Tx {
        &mut self.tx
    }

    /// Returns the vehicle that was to be locked along with the key, if it is there.
    pub(crate) fn vehicle(&self) -> Option<&VehicleId> {
        self.vehicle.as_ref()
    }

    /// Returns the key, for a statement that completes its row along with what it records.
    pub(crate) fn key(&self) -> Uuid {
        self.claim.key
    }

    /// Stores the reply under the key and commits.
    pub(crate) async fn commit(mut self, reply: Reply) -> Result<Response, ApiError> {
        let location = reply.location.as_deref();
        store::complete(
            &mut self.tx,
            &self.claim,
            reply.order,
            location,
            &reply.body,
        )
        .await?;
        self.commit_completed(reply).await
    }

    /// Rolls back and answers nevertheless: a dry run. The key stays free.
    pub(crate) fn discard(self, reply: Reply) -> Response {
        self.context.set_idempotency(IdempotencyStatus::Discarded);
        reply.into_response()
    }

    /// Commits what a statement has recorded together with the reply.
    pub(crate) async fn commit_completed(self, reply: Reply) -> Result<Response, ApiError> {
        let context = &self.context;
        context.set_idempotency(IdempotencyStatus::Unknown);
        match self.tx.commit().await {
            Ok(()) => {
                context.set_idempotency(IdempotencyStatus::Bound);
                Ok(reply.into_response())
            }
            Err(error) if database::is_rolled_back(&error) => {
                context.set_idempotency(IdempotencyStatus::Unbound);
                Err(error.into())
            }
            Err(lost) => {
                resolve_unknown_commit(&self.app, &self.claim, context, reply, lost, None).await
            }
        }
    }
}

/// Finds out what became of a commit whose answer was lost, and answers from that.
///
/// A commit that may reach the server late is looked for again when it would be refused. It never guesses: failing that,
/// the outcome stays unknown.
async fn resolve_unknown_commit(
    app: &App,
    claim: &Claim,
    context: &RequestContext,
    reply: Reply,
    lost: sqlx::Error,
    arrives_within: Option<Duration>,
) -> Result<Response, ApiError> {
    tracing::warn!(error = %lost, request.request_id = %context.id(), "the answer to a commit was lost; binding its key again");
    let mut outcome = find_outcome(app, claim).await?;
    if let (None, Some(time)) = (&outcome, arrives_within) {
        tokio::time::sleep(time).await;
        outcome = find_outcome(app, claim).await?;
    }
    let Some(stored) = outcome else {
        context.set_idempotency(IdempotencyStatus::Unbound);
        return Err(ApiError::unavailable(lost));
    };
    // The reply names a new order or its new state, so the same bytes under the key are this very commit's.
    if stored.body == reply.body {
        context.set_idempotency(IdempotencyStatus::Bound);
        return Ok(reply.into_response());
    }
    claim.answer(stored, context)
}

/// Finds what a key did by binding it on a new connection, which waits for whoever holds it to end; a plain look could
/// see nothing while the old backend is still committing.
async fn find_outcome(app: &App, claim: &Claim) -> Result<Option<StoredReply>, ApiError> {
    let mut tx = app.begin().await?;
    if store::bind(&mut tx, claim, None).await?.is_new {
        return Ok(None);
    }
    find_bound(&mut tx, claim).await.map(Some)
}

/// Finds what a key did that is not free: binding it waited for whoever held it, and this statement sees what that did.
async fn find_bound(tx: &mut Tx, claim: &Claim) -> Result<StoredReply, ApiError> {
    let stored = store::find(tx, claim.partner, claim.key).await?;
    stored.ok_or_else(|| ApiError::internal("a key was bound and is not there"))
}

/// Where the layer leaves the [`PendingWrite`] for the handler to take.
#[derive(Debug, Clone)]
pub(super) struct Handover(Arc<Mutex<Option<PendingWrite>>>);

impl Handover {
    pub(super) fn new(pending: PendingWrite) -> Self {
        Self(Arc::new(Mutex::new(Some(pending))))
    }

    pub(super) fn take(&self) -> Option<PendingWrite> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).take()
    }
}

impl<S: Sync> FromRequestParts<S> for PendingWrite {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, ApiError> {
        let pending = parts.extensions.get().and_then(Handover::take);
        pending.ok_or_else(|| ApiError::internal("the route stands outside the idempotency layer"))
    }
}

/// Extracting a write binds its key; a key that did something before answers in the handler's place.
impl<S: Sync> FromRequestParts<S> for Write {
    type Rejection = Response;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Response> {
        let pending = PendingWrite::from_request_parts(parts, state).await;
        let pending = pending.map_err(ApiError::into_response)?;
        match pending.bind(None).await {
            Ok(Binding::Bound(write)) => Ok(write),
            Ok(Binding::Answered(answer)) => Err(answer),
            Err(error) => Err(error.into_response()),
        }
    }
}
