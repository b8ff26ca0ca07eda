//! [`PendingWrite`] and [`Write`]: a write before and after its key is bound. A write succeeds only through them.

use std::{
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use axum::{
    extract::FromRequestParts,
    http::request::Parts,
    response::{IntoResponse, Response},
};
use uuid::Uuid;

use super::{
    model::Claim,
    reply::Reply,
    store::{self, StoredReply},
};
use crate::{
    database::{self, Database, Tx},
    errors::ApiError,
    request::{IdempotencyStatus, RequestContext},
    values::id::VehicleId,
};

/// The outcome of a statement that performs a whole write.
#[derive(Debug)]
pub(crate) enum AtOnce {
    /// The write and its key are committed.
    Done,
    /// The key was used before, with this reply.
    KeyUsed(StoredReply),
    /// A fact that the write was decided on does not hold: nothing is changed, and the key is free.
    Undecided,
}

/// The outcome of trying a write in one statement.
pub(crate) enum Attempt {
    /// The request is answered.
    Answered(Response),
    /// The write must be decided under a lock.
    Undecided(PendingWrite),
}

/// The outcome of binding a key.
pub(crate) enum Binding {
    /// The key is bound to this request.
    Bound(Box<Write>),
    /// The key was used before. This is the response.
    Answered(Response),
}

/// A write whose key was read but not looked up yet.
#[derive(Debug)]
pub(crate) struct PendingWrite {
    database: Database,
    claim: Claim,
    context: RequestContext,
}

impl PendingWrite {
    /// Creates the write of a request with this context.
    pub(crate) fn new(database: Database, claim: Claim, context: RequestContext) -> Self {
        Self {
            database,
            claim,
            context,
        }
    }

    /// Returns the key with its request.
    pub(crate) fn claim(&self) -> &Claim {
        &self.claim
    }

    /// Answers from the reply of the key if it was used before. Otherwise the key stays free.
    ///
    /// A write of several transactions calls this before the first one, and binds its key with the last one.
    pub(crate) async fn find_answer(&self) -> Result<Option<Response>, ApiError> {
        match find_outcome(&self.database, &self.claim).await? {
            Some(stored) => self.claim.answer(stored, &self.context).map(Some),
            None => Ok(None),
        }
    }

    /// Begins a transaction, binds the key and locks a vehicle with it; or answers from the reply of a used key.
    pub(crate) async fn bind(self, vehicle: Option<&VehicleId>) -> Result<Binding, ApiError> {
        let Self {
            database,
            claim,
            context,
        } = self;
        let mut tx = database.begin().await?;
        let bound = store::bind(&mut tx, &claim, vehicle).await?;
        if !bound.is_new {
            let stored = find_bound(tx, &claim).await?;
            return claim.answer(stored, &context).map(Binding::Answered);
        }
        // Until the commit, every failure leaves the key unbound.
        context.set_idempotency(IdempotencyStatus::Unbound);
        let vehicle = vehicle.filter(|_| bound.is_vehicle_locked).cloned();
        Ok(Binding::Bound(Box::new(Write {
            tx,
            database,
            claim,
            vehicle,
            context,
        })))
    }

    /// Answers after a statement that performs the whole write.
    ///
    /// The statement is its own transaction, so the state of the key is unknown until its outcome is received. A
    /// statement that reaches the server later than `arrives_within` must do nothing.
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
            // The statement may have waited for another request with this key, whose outcome is unknown here.
            Err(error) if database::is_rolled_back(&error) => Err(error.into()),
            Err(lost) => {
                // A statement that the server has reported an error of is over, and cannot arrive later.
                let within = (!database::is_server_error(&lost)).then_some(arrives_within);
                resolve_unknown_commit(&self.database, claim, context, reply, lost, within)
                    .await
                    .map(Attempt::Answered)
            }
        }
    }
}

/// A write in progress: a transaction in which the key is already bound.
///
/// Dropping it without [`Write::commit`] rolls everything back and leaves the key free.
#[derive(Debug)]
pub(crate) struct Write {
    tx: Tx,
    database: Database,
    claim: Claim,
    vehicle: Option<VehicleId>,
    context: RequestContext,
}

impl Write {
    /// Returns the transaction, for store functions.
    pub(crate) fn tx(&mut self) -> &mut Tx {
        &mut self.tx
    }

    /// Returns the vehicle that was locked with the key, if it was given and exists.
    pub(crate) fn vehicle(&self) -> Option<&VehicleId> {
        self.vehicle.as_ref()
    }

    /// Returns the key, for a statement that also stores the reply in the key's row.
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

    /// Rolls back and returns the reply of a dry run. The key stays free.
    pub(crate) fn discard(self, reply: Reply) -> Response {
        self.context.set_idempotency(IdempotencyStatus::Discarded);
        reply.into_response()
    }

    /// Commits a write whose reply is already stored under the key.
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
                let database = &self.database;
                resolve_unknown_commit(database, &self.claim, context, reply, lost, None).await
            }
        }
    }
}

/// Determines the outcome of a commit whose answer was lost, and answers accordingly.
///
/// If the commit may still reach the server, its key is looked up again after `arrives_within`. If the look-up fails,
/// the outcome stays unknown.
async fn resolve_unknown_commit(
    database: &Database,
    claim: &Claim,
    context: &RequestContext,
    reply: Reply,
    lost: sqlx::Error,
    arrives_within: Option<Duration>,
) -> Result<Response, ApiError> {
    tracing::warn!(error = %lost, request.request_id = %context.id(), "the answer to a commit was lost; binding its key again");
    let mut outcome = find_outcome(database, claim).await?;
    if let (None, Some(time)) = (&outcome, arrives_within) {
        tokio::time::sleep(time).await;
        outcome = find_outcome(database, claim).await?;
    }
    let Some(stored) = outcome else {
        context.set_idempotency(IdempotencyStatus::Unbound);
        return Err(ApiError::unavailable(lost));
    };
    // The reply contains a new order or its new state, so equal bytes under the key come from this commit.
    if stored.body == reply.body {
        context.set_idempotency(IdempotencyStatus::Bound);
        return Ok(reply.into_response());
    }
    claim.answer(stored, context)
}

/// Finds the reply of a key by binding it on a new connection, which waits for a transaction that holds the key.
///
/// A plain read could find nothing while the old backend is still committing.
async fn find_outcome(database: &Database, claim: &Claim) -> Result<Option<StoredReply>, ApiError> {
    let mut tx = database.begin().await?;
    if store::bind(&mut tx, claim, None).await?.is_new {
        return Ok(None);
    }
    find_bound(tx, claim).await.map(Some)
}

/// Finds the reply of a used key. Binding it waited for the transaction that held it, so this statement sees the reply.
///
/// The commit waits until a synchronous standby has the reply, too.
async fn find_bound(mut tx: Tx, claim: &Claim) -> Result<StoredReply, ApiError> {
    let stored = store::find(&mut tx, claim.scope, claim.key).await?;
    tx.commit().await?;
    stored.ok_or_else(|| ApiError::internal("a bound key has no row"))
}

/// The slot from which the handler takes the [`PendingWrite`] of the layer.
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
        pending.ok_or_else(|| ApiError::internal("the route is outside the idempotency layer"))
    }
}

/// Extracting a write binds its key. If the key was used before, the handler does not run.
impl<S: Sync> FromRequestParts<S> for Write {
    type Rejection = Response;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Response> {
        let pending = PendingWrite::from_request_parts(parts, state).await;
        let pending = pending.map_err(ApiError::into_response)?;
        match pending.bind(None).await {
            Ok(Binding::Bound(write)) => Ok(*write),
            Ok(Binding::Answered(answer)) => Err(answer),
            Err(error) => Err(error.into_response()),
        }
    }
}
