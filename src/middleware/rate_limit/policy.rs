//! The rate-limit policy: counts a request under the caller's key, sets the headers, and refuses early requests.

use axum::{
    extract::Request,
    http::{HeaderValue, Method},
};
use bytes::{Bytes, BytesMut};
use chrono::{DateTime, Utc};
use std::{fmt::Write, time::Duration};

use super::{
    limits::Limits,
    model::{Kind, Policy, Standing, Throttled},
};
use crate::{
    app::App,
    errors::ApiError,
    middleware::admission::{self, Verdict},
    request::{Caller, RATE_LIMIT_HEADERS, RequestContext},
    values::timestamp::Timestamp,
};

/// The initial capacity for the values of all headers, in bytes.
const HEADERS_BYTES: usize = 128;

/// The policy, with the limits of all keys.
#[derive(Debug, Clone)]
pub(crate) struct RateLimit {
    app: App,
    limits: Limits,
}

impl RateLimit {
    /// Creates the limits without any use.
    pub(crate) fn new(app: App) -> Self {
        let limits = Limits::new(&app);
        Self { app, limits }
    }

    /// Maintains the link to the shared store, if one is configured, until the replica stops.
    pub(crate) async fn keep_shared(self) {
        self.limits.keep().await;
    }

    /// Returns the policy for the caller's requests of a kind: the grant's own, else the default.
    fn policy(&self, caller: &Caller, kind: Kind) -> Policy {
        let defaults = &self.app.settings().rate_limit;
        match kind {
            Kind::Read => caller.grant.read.unwrap_or(defaults.read),
            Kind::Write => caller.grant.write.unwrap_or(defaults.write),
        }
    }

    /// Stores the header values, and refuses a request that came too early.
    fn conclude(
        &self,
        context: &RequestContext,
        kind: Kind,
        standing: &Standing,
        counted: Result<(), Duration>,
    ) -> Result<(), ApiError> {
        let now = self.app.heartbeat().time();
        context.set_rate_limit(headers(standing, now));
        counted.map_err(|wait| {
            self.app.metrics().count_rate_limited(kind == Kind::Read);
            ApiError::RateLimited(Throttled::new(standing, wait, Timestamp::kst(now)))
        })
    }
}

impl admission::Policy for RateLimit {
    fn admit(&self, request: &Request, context: &RequestContext) -> Verdict {
        let caller = match Caller::of(context) {
            Ok(caller) => caller,
            Err(error) => return Verdict::Refuse(error),
        };
        let kind = kind_of(request.method());
        let policy = self.policy(&caller, kind);
        if let Some((standing, counted)) =
            self.limits.admit_unshared(caller.grant.key, kind, policy)
        {
            return self.conclude(context, kind, &standing, counted).into();
        }
        let (limit, context) = (self.clone(), context.clone());
        Verdict::Wait(Box::pin(async move {
            let key = caller.grant.key;
            let (standing, counted) = limit.limits.admit(key, kind, policy).await;
            limit.conclude(&context, kind, &standing, counted)
        }))
    }
}

/// Returns the kind of requests with this method.
fn kind_of(method: &Method) -> Kind {
    if matches!(*method, Method::GET | Method::HEAD) {
        Kind::Read
    } else {
        Kind::Write
    }
}

/// Renders the values of the headers into one buffer.
fn headers(standing: &Standing, now: DateTime<Utc>) -> [HeaderValue; RATE_LIMIT_HEADERS.len()] {
    let mut buffer = BytesMut::with_capacity(HEADERS_BYTES);
    let mut value = |write: &dyn Fn(&mut BytesMut) -> std::fmt::Result| {
        // Writing to a buffer cannot fail.
        let _ = write(&mut buffer);
        text(buffer.split().freeze())
    };
    [
        value(&|it| standing.write_policy(it)),
        value(&|it| standing.write_state(it)),
        value(&|it| write!(it, "{}", standing.policy.burst())),
        value(&|it| write!(it, "{}", standing.remaining)),
        value(&|it| write!(it, "{}", standing.full_at(now))),
    ]
}

/// Converts a header value, which consists of digits and ASCII punctuation.
fn text(bytes: Bytes) -> HeaderValue {
    HeaderValue::from_maybe_shared(bytes).unwrap_or_else(|_| HeaderValue::from_static(""))
}
