//! [`RequestContext`]: what is known of the request in hand.
//!
//! It travels in the request's extensions, one allocation for all layers. A layer that finds something out puts it here,
//! and a layer or handler that needs it takes it from here. What the response says whatever becomes of the request (rate
//! limit, idempotency) is read from here by the outermost layer, so it is also said when the handler was cut off by the
//! deadline or panicked.

use std::{
    net::IpAddr,
    sync::{
        Arc, OnceLock,
        atomic::{AtomicU8, AtomicU64, Ordering},
    },
    time::Duration,
};

use axum::{
    extract::{FromRequestParts, MatchedPath},
    http::{Extensions, HeaderMap, HeaderName, HeaderValue, request::Parts},
};
use tokio::time::Instant;

use crate::{error::ApiError, id::RequestId, partners::model::Grant};

/// Names of the rate-limit headers, in the order of their values.
pub(crate) const RATE_LIMIT_HEADERS: [&str; 5] = [
    "ratelimit-policy",
    "ratelimit",
    "x-ratelimit-limit",
    "x-ratelimit-remaining",
    "x-ratelimit-reset",
];

/// What is known of a request, shared by all layers; cheap to clone.
#[derive(Debug, Clone)]
pub(crate) struct RequestContext(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    id: RequestId,
    client: IpAddr,
    started: Instant,
    /// Time from the complete request to the response.
    limit: Duration,
    /// When the response is due, in milliseconds after `started`.
    due: AtomicU64,
    route: OnceLock<MatchedPath>,
    grant: OnceLock<Arc<Grant>>,
    user: OnceLock<String>,
    rate_limit: OnceLock<[HeaderValue; RATE_LIMIT_HEADERS.len()]>,
    idempotency: AtomicU8,
}

impl RequestContext {
    /// Begins with a request of `client` that must be answered within `limit`.
    pub(crate) fn new(client: IpAddr, limit: Duration) -> Self {
        Self(Arc::new(Inner {
            id: RequestId::random(),
            client,
            started: Instant::now(),
            limit,
            due: AtomicU64::new(milliseconds(limit)),
            route: OnceLock::new(),
            grant: OnceLock::new(),
            user: OnceLock::new(),
            rate_limit: OnceLock::new(),
            idempotency: AtomicU8::new(IdempotencyStatus::Absent as u8),
        }))
    }

    /// Returns the context of a request that passed the outermost layer.
    pub(crate) fn of(extensions: &Extensions) -> Result<&Self, ApiError> {
        let context = extensions.get::<Self>();
        context.ok_or_else(|| ApiError::internal("the route stands outside the request context"))
    }

    /// Returns the request's id.
    pub(crate) fn id(&self) -> RequestId {
        self.0.id
    }

    /// Returns the client's address, as far as the network can tell.
    pub(crate) fn client(&self) -> IpAddr {
        self.0.client
    }

    /// Returns how long ago the request's head was complete.
    pub(crate) fn elapsed(&self) -> Duration {
        self.0.started.elapsed()
    }

    /// Returns the moment by which the request must be answered.
    pub(crate) fn deadline(&self) -> Instant {
        self.0.started + Duration::from_millis(self.0.due.load(Ordering::Relaxed))
    }

    /// Starts the time to answer anew, with `extra` on top.
    ///
    /// It counts from the complete request, so reading the body moves it: a slow caller gets 408 for its own slowness
    /// and never uses up the handler's time.
    pub(crate) fn restart_deadline(&self, extra: Duration) {
        let due = self.0.started.elapsed() + self.0.limit + extra;
        self.0.due.store(milliseconds(due), Ordering::Relaxed);
    }

    /// Returns the route that answers, if there is one.
    pub(crate) fn matched_route(&self) -> Option<&str> {
        self.0.route.get().map(MatchedPath::as_str)
    }

    /// Notes the route that answers, as the router has put it into a request's extensions.
    pub(crate) fn note_route(&self, extensions: &Extensions) {
        if let Some(route) = extensions.get::<MatchedPath>() {
            // A request meets one route.
            let _ = self.0.route.set(route.clone());
        }
    }

    /// Returns what the request's API key grants, once it was accepted.
    pub(crate) fn grant(&self) -> Option<&Arc<Grant>> {
        self.0.grant.get()
    }

    /// Notes what the request's API key grants.
    pub(crate) fn set_grant(&self, grant: Arc<Grant>) {
        // Authentication alone sets it, and once a request.
        let _ = self.0.grant.set(grant);
    }

    /// Returns the SHA-256 of the user id that was sent.
    pub(crate) fn user(&self) -> Option<&str> {
        self.0.user.get().map(String::as_str)
    }

    /// Notes the SHA-256 of the user id that was sent.
    pub(crate) fn set_user(&self, user: String) {
        let _ = self.0.user.set(user);
    }

    /// Notes the values of the rate-limit headers.
    pub(crate) fn set_rate_limit(&self, values: [HeaderValue; RATE_LIMIT_HEADERS.len()]) {
        let _ = self.0.rate_limit.set(values);
    }

    /// Returns what is known of the request's idempotency key.
    pub(crate) fn idempotency(&self) -> IdempotencyStatus {
        IdempotencyStatus::from_u8(self.0.idempotency.load(Ordering::Relaxed))
    }

    /// Notes what is known of the request's idempotency key.
    pub(crate) fn set_idempotency(&self, status: IdempotencyStatus) {
        self.0.idempotency.store(status as u8, Ordering::Relaxed);
    }

    /// Adds the headers that were noted for the response.
    pub(crate) fn add_headers(&self, headers: &mut HeaderMap) {
        if let Some(values) = self.0.rate_limit.get() {
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

fn milliseconds(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

/// What became of a request's idempotency key: the value of `Idempotency-Status`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub(crate) enum IdempotencyStatus {
    /// The request carries none, or its method takes none.
    Absent,
    /// Not looked up, still in flight, or lost on the way: the same request with the same key finds out.
    Unknown,
    /// This request did what the key stands for.
    Bound,
    /// An earlier request did it; this is its reply.
    Replayed,
    /// Nothing was done, the key is free.
    Unbound,
    /// Nothing was to be done, and the key is free: a dry run.
    Discarded,
    /// The key did something else.
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
    fn an_idempotency_status_survives_its_number() {
        for status in IdempotencyStatus::ALL {
            assert_eq!(IdempotencyStatus::from_u8(status as u8), status);
        }
    }

    #[tokio::test(start_paused = true)]
    async fn reading_the_body_moves_the_deadline_and_its_end_moves_it_back() {
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
