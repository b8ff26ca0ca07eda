//! The state of a request: [`RequestContext`] is shared by all layers and the handler, [`Caller`] is the authenticated
//! partner, [`OperatorCaller`] the authenticated operator. [`CallerSemaphores`] bound the requests of each caller.
//!
//! The context is one allocation in the request's extensions. A layer stores what it finds there, and later layers and
//! the handler read it. The outermost layer reads the response headers for a deprecation, the rate limit and the
//! idempotency key from there, so they are sent even if the handler panicked or exceeded the deadline.

mod caller;

use std::{
    collections::HashMap,
    net::IpAddr,
    sync::{
        Arc, Mutex, MutexGuard, OnceLock, PoisonError,
        atomic::{AtomicU8, AtomicU64, Ordering},
    },
    time::Duration,
};

use axum::{
    extract::{FromRequestParts, MatchedPath},
    http::{Extensions, HeaderMap, HeaderName, HeaderValue, request::Parts},
};
use tokio::{
    sync::{OwnedSemaphorePermit, Semaphore},
    time::Instant,
};

use crate::{
    errors::ApiError,
    operators::model::Operator,
    partners::api_key::Grant,
    values::id::{KeyScope, RequestId},
};

pub(crate) use self::caller::{Caller, OperatorCaller};

/// The names of the rate-limit headers, in the order of their values.
pub(crate) const RATE_LIMIT_HEADERS: [&str; 5] = [
    "ratelimit-policy",
    "ratelimit",
    "x-ratelimit-limit",
    "x-ratelimit-remaining",
    "x-ratelimit-reset",
];

/// The context of a request; cheap to clone.
#[derive(Debug, Clone)]
pub(crate) struct RequestContext(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    id: RequestId,
    client: IpAddr,
    started: Instant,
    /// The time allowed from the complete request to the response.
    limit: Duration,
    /// The deadline of the response, in milliseconds after `started`.
    due: AtomicU64,
    route: OnceLock<MatchedPath>,
    grant: OnceLock<Arc<Grant>>,
    operator: OnceLock<Arc<Operator>>,
    user: OnceLock<String>,
    deprecated: OnceLock<Arc<DeprecatedOperation>>,
    rate_limit: Mutex<Option<[HeaderValue; RATE_LIMIT_HEADERS.len()]>>,
    idempotency: AtomicU8,
    permits: Mutex<Vec<OwnedSemaphorePermit>>,
}

impl RequestContext {
    /// Creates the context of a request of `client` that must be answered within `limit`.
    pub(crate) fn new(client: IpAddr, limit: Duration) -> Self {
        Self(Arc::new(Inner {
            id: RequestId::random(),
            client,
            started: Instant::now(),
            limit,
            due: AtomicU64::new(milliseconds(limit)),
            route: OnceLock::new(),
            grant: OnceLock::new(),
            operator: OnceLock::new(),
            user: OnceLock::new(),
            deprecated: OnceLock::new(),
            rate_limit: Mutex::default(),
            idempotency: AtomicU8::new(IdempotencyStatus::Absent as u8),
            permits: Mutex::default(),
        }))
    }

    /// Returns the context of a request that passed the outermost layer.
    pub(crate) fn of(extensions: &Extensions) -> Result<&Self, ApiError> {
        let context = extensions.get::<Self>();
        context.ok_or_else(|| ApiError::internal("the route is outside the request context layer"))
    }

    /// Returns the request's id.
    pub(crate) fn id(&self) -> RequestId {
        self.0.id
    }

    /// Returns the client's address.
    pub(crate) fn client(&self) -> IpAddr {
        self.0.client
    }

    /// Returns the time since the request's head was complete.
    pub(crate) fn elapsed(&self) -> Duration {
        self.0.started.elapsed()
    }

    /// Returns the moment by which the request must be answered.
    pub(crate) fn deadline(&self) -> Instant {
        self.0.started + Duration::from_millis(self.0.due.load(Ordering::Relaxed))
    }

    /// Restarts the time limit from now, plus `extra`.
    ///
    /// The limit counts from the complete request, so reading the body moves the deadline: a slow client gets a 408
    /// of its own and does not use up the handler's time.
    pub(crate) fn restart_deadline(&self, extra: Duration) {
        let due = self.0.started.elapsed() + self.0.limit + extra;
        self.0.due.store(milliseconds(due), Ordering::Relaxed);
    }

    /// Returns the route that matched, if there is one.
    pub(crate) fn matched_route(&self) -> Option<&str> {
        self.0.route.get().map(MatchedPath::as_str)
    }

    /// Stores the matched route from the extensions of the request.
    pub(crate) fn note_route(&self, extensions: &Extensions) {
        if let Some(route) = extensions.get::<MatchedPath>() {
            // A request matches one route, so this is set once.
            let _ = self.0.route.set(route.clone());
        }
    }

    /// Returns the id of the request's operation, if it is deprecated.
    pub(crate) fn deprecated_operation(&self) -> Option<&str> {
        self.0.deprecated.get().map(|it| it.id.as_str())
    }

    /// Stores the request's operation, which is deprecated.
    pub(crate) fn set_deprecated(&self, operation: Arc<DeprecatedOperation>) {
        // A request has one operation, so this is set once.
        let _ = self.0.deprecated.set(operation);
    }

    /// Returns the grant of the request's API key, once the key was accepted.
    pub(crate) fn grant(&self) -> Option<&Arc<Grant>> {
        self.0.grant.get()
    }

    /// Stores the grant of the request's API key.
    pub(crate) fn set_grant(&self, grant: Arc<Grant>) {
        // Only authentication sets it, once per request.
        let _ = self.0.grant.set(grant);
    }

    /// Returns the operator, once the request's token was accepted.
    pub(crate) fn operator(&self) -> Option<&Arc<Operator>> {
        self.0.operator.get()
    }

    /// Stores the operator whose token the request has.
    pub(crate) fn set_operator(&self, operator: Arc<Operator>) {
        // Only authentication sets it, once per request.
        let _ = self.0.operator.set(operator);
    }

    /// Returns the caller in whose scope the request's idempotency key is unique: its partner or operator.
    pub(crate) fn key_scope(&self) -> Result<KeyScope, ApiError> {
        let partner = self.grant().map(|it| it.partner.into());
        let scope = partner.or_else(|| self.operator().map(|it| it.id.into()));
        scope.ok_or_else(|| ApiError::internal("the route is outside authentication"))
    }

    /// Returns the SHA-256 of the user id that was sent.
    pub(crate) fn user(&self) -> Option<&str> {
        self.0.user.get().map(String::as_str)
    }

    /// Stores the SHA-256 of the user id that was sent.
    pub(crate) fn set_user(&self, user: String) {
        let _ = self.0.user.set(user);
    }

    /// Stores the values of the rate-limit headers, in place of earlier ones.
    pub(crate) fn set_rate_limit(&self, values: [HeaderValue; RATE_LIMIT_HEADERS.len()]) {
        *self.rate_limit() = Some(values);
    }

    fn rate_limit(&self) -> MutexGuard<'_, Option<[HeaderValue; RATE_LIMIT_HEADERS.len()]>> {
        let values = &self.0.rate_limit;
        values.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Returns the status of the request's idempotency key.
    pub(crate) fn idempotency(&self) -> IdempotencyStatus {
        IdempotencyStatus::from_u8(self.0.idempotency.load(Ordering::Relaxed))
    }

    /// Stores the status of the request's idempotency key.
    pub(crate) fn set_idempotency(&self, status: IdempotencyStatus) {
        self.0.idempotency.store(status as u8, Ordering::Relaxed);
    }

    /// Keeps a permit of a limit of requests in progress, which the handler no longer needs but the response does.
    pub(crate) fn keep_permit(&self, permit: OwnedSemaphorePermit) {
        let mut permits = self
            .0
            .permits
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        permits.push(permit);
    }

    /// Takes the permits that were kept.
    pub(crate) fn take_permits(&self) -> Vec<OwnedSemaphorePermit> {
        let mut permits = self
            .0
            .permits
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        std::mem::take(&mut *permits)
    }

    /// Adds the headers for a deprecation, the rate limit and the idempotency key to a response.
    pub(crate) fn add_headers(&self, headers: &mut HeaderMap) {
        if let Some(operation) = self.0.deprecated.get() {
            for (name, value) in &operation.headers {
                // A page of a list has a `Link` already.
                headers.append(name, value.clone());
            }
        }
        if let Some(values) = self.rate_limit().as_ref() {
            for (name, value) in RATE_LIMIT_HEADERS.into_iter().zip(values) {
                headers.insert(HeaderName::from_static(name), value.clone());
            }
        }
        if let Some((status, replayed)) = self.idempotency().headers() {
            const STATUS: HeaderName = HeaderName::from_static("idempotency-status");
            const REPLAYED: HeaderName = HeaderName::from_static("idempotent-replayed");
            headers.insert(STATUS, HeaderValue::from_static(status));
            headers.insert(REPLAYED, HeaderValue::from_static(replayed));
        }
    }
}

impl<S: Sync> FromRequestParts<S> for RequestContext {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, ApiError> {
        Self::of(&parts.extensions).cloned()
    }
}

/// A deprecated operation.
#[derive(Debug)]
pub(crate) struct DeprecatedOperation {
    /// Its operation id.
    pub(crate) id: String,
    /// The headers of its responses that announce it.
    pub(crate) headers: HeaderMap,
}

fn milliseconds(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

/// The semaphores of all callers since this replica started, with the same number of permits each.
#[derive(Debug)]
pub(crate) struct CallerSemaphores {
    permits: usize,
    callers: Mutex<HashMap<KeyScope, Arc<Semaphore>>>,
}

impl CallerSemaphores {
    /// Creates the semaphores, with `permits` for each caller.
    pub(crate) fn new(permits: usize) -> Self {
        Self {
            permits,
            callers: Mutex::default(),
        }
    }

    /// Returns the semaphore of a caller.
    pub(crate) fn of(&self, caller: KeyScope) -> Arc<Semaphore> {
        let mut callers = self.callers.lock().unwrap_or_else(PoisonError::into_inner);
        let semaphore = callers
            .entry(caller)
            .or_insert_with(|| Arc::new(Semaphore::new(self.permits)));
        semaphore.clone()
    }
}

/// The status of a request's idempotency key: the value of `Idempotency-Status`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub(crate) enum IdempotencyStatus {
    /// The request has no key, or its method takes none.
    Absent,
    /// The outcome is unknown: the key was not looked up, its request is in progress, or the result was lost. Sending
    /// the same request with the same key again returns the outcome.
    Unknown,
    /// This request succeeded, and the key now belongs to it.
    Bound,
    /// An earlier request with the key succeeded; this is its response.
    Replayed,
    /// Nothing was done, and the key is free.
    Unbound,
    /// A dry run: nothing was done by intent, and the key is free.
    Discarded,
    /// The key belongs to a different request.
    Conflict,
}

impl IdempotencyStatus {
    const ALL: [Self; 7] = [
        Self::Absent,
        Self::Unknown,
        Self::Bound,
        Self::Replayed,
        Self::Unbound,
        Self::Discarded,
        Self::Conflict,
    ];

    fn from_u8(number: u8) -> Self {
        let status = Self::ALL.get(usize::from(number)).copied();
        status.unwrap_or(Self::Absent)
    }

    /// Returns the values of `Idempotency-Status` and `Idempotent-Replayed`.
    fn headers(self) -> Option<(&'static str, &'static str)> {
        match self {
            Self::Absent => None,
            Self::Unknown => Some(("unknown", "false")),
            Self::Bound => Some(("bound", "false")),
            Self::Replayed => Some(("replayed", "true")),
            Self::Unbound | Self::Discarded => Some(("unbound", "false")),
            Self::Conflict => Some(("conflict", "false")),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn idempotency_status_round_trips_through_its_number() {
        for status in IdempotencyStatus::ALL {
            assert_eq!(IdempotencyStatus::from_u8(status as u8), status);
        }
    }

    #[tokio::test(start_paused = true)]
    async fn reading_the_body_extends_the_deadline_until_it_ends() {
        let limit = Duration::from_secs(10);
        let context = RequestContext::new([127, 0, 0, 1].into(), limit);
        let began = Instant::now();
        assert_eq!(context.deadline(), began + limit);
        tokio::time::advance(Duration::from_secs(4)).await;
        context.restart_deadline(limit);
        assert_eq!(context.deadline(), began + Duration::from_secs(24));
        tokio::time::advance(Duration::from_secs(3)).await;
        context.restart_deadline(Duration::ZERO);
        assert_eq!(context.deadline(), began + Duration::from_secs(17));
    }
}
