//! The rate limit of an API key, with separate policies for reads and writes: counts a request under the caller's key,
//! sets the headers, and refuses early requests.
//!
//! The sliding window is GCRA, the algorithm of `governor`: every admitted request moves the key's "theoretical arrival
//! time" one interval into the future, and a request is refused when that time is more than a burst ahead.
//!
//! [`local`] keeps that time in this process, [`shared`] in a store that all replicas have in common, by the same
//! algorithm.
//!
//! A request is counted in the store that all replicas share if it is configured and available, else by each replica
//! for itself. No key gains a burst when the store becomes unavailable or available again:
//!
//! - A replica stores the result of each answer in its own count, and continues from it while the store is unavailable.
//! - With a key's first request over a new link, or after requests that were counted locally, the replica sends its own
//!   count of the key, so that a store that has lost its data continues from there.
//!
//! While the store is unavailable, `n` replicas admit `n` times the requests that become available in that time;
//! afterwards there is no further excess. A wait that was returned then can be one interval too short if another
//! replica has counted more. Data that a store loses while its link stays up is not noticed.

mod link;
mod local;
mod shared;

use std::{
    fmt::{self, Write},
    sync::Arc,
    time::Duration,
};

use axum::{
    extract::Request,
    http::{HeaderValue, Method},
};
use bytes::{Bytes, BytesMut};
use chrono::{DateTime, Utc};
use tokio_util::sync::CancellationToken;

pub(super) use self::local::Bucket;
use self::{link::Counted, local::Local, shared::Shared};
use crate::{
    config::Settings,
    database::Heartbeat,
    errors::ApiError,
    middleware::admission::{self, Verdict},
    request::{Caller, RATE_LIMIT_HEADERS, RequestContext},
    telemetry::metrics::Metrics,
    values::{
        id::KeyId,
        rate_limit::{Kind, Policy, Standing, Throttled},
        string_enum::StringEnum,
        timestamp::Timestamp,
    },
};

/// The initial capacity for the values of all headers, in bytes.
const HEADERS_BYTES: usize = 128;

/// The state of a key's limit after a request, and the time to wait if the request is refused.
type Outcome = (Standing, Result<(), Duration>);

/// The policy, with the use of all keys.
#[derive(Debug, Clone)]
pub(crate) struct RateLimit(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    /// The limits of keys whose partners have none of their own.
    read: Policy,
    write: Policy,
    local: Local<(KeyId, Kind)>,
    shared: Option<Shared>,
    heartbeat: Heartbeat,
    metrics: Metrics,
}

impl RateLimit {
    /// Creates the policy, without any use of a key.
    pub(crate) fn new(heartbeat: Heartbeat, metrics: Metrics, settings: &Settings) -> Self {
        let limits = &settings.rate_limit;
        let shared = limits.shared.clone();
        let shared = shared.map(|it| Shared::new(it, settings.environment, metrics.clone()));
        Self(Arc::new(Inner {
            read: limits.read,
            write: limits.write,
            local: Local::new(limits.keys_max),
            shared,
            heartbeat,
            metrics,
        }))
    }

    /// Maintains the link to the shared store, if one is configured, until `stop` is cancelled.
    pub(crate) async fn keep_shared(self, stop: CancellationToken) {
        if let Some(shared) = &self.0.shared {
            shared.keep(&stop).await;
        }
    }

    /// Returns the policy for the caller's requests of a kind: the grant's own, else the default.
    fn policy(&self, caller: &Caller, kind: Kind) -> Policy {
        match kind {
            Kind::Read => caller.grant.read.unwrap_or(self.0.read),
            Kind::Write => caller.grant.write.unwrap_or(self.0.write),
        }
    }

    /// Counts one request if there is no shared store; `None` if there is one, which must be asked.
    fn count_unshared(&self, key: KeyId, kind: Kind, policy: Policy) -> Option<Outcome> {
        let is_alone = self.0.shared.is_none();
        is_alone.then(|| self.count_locally(key, kind, policy))
    }

    fn count_locally(&self, key: KeyId, kind: Kind, policy: Policy) -> Outcome {
        self.0.local.admit((key, kind), kind.as_str(), policy)
    }

    /// Counts one request, in the shared store if it is available.
    async fn count(&self, key: KeyId, kind: Kind, policy: Policy) -> Outcome {
        let name = kind.as_str();
        let Some(shared) = &self.0.shared else {
            return self.count_locally(key, kind, policy);
        };
        let own = self.0.local.bucket((key, kind), policy);
        let Some((number, link)) = shared.link() else {
            return own.admit_locally(name, policy);
        };
        let unreported = own.unreported(number);
        let known = unreported.map_or(Duration::ZERO, |(_, full_in)| full_in);
        let counting = shared.count((number, &link), key, kind, policy, known);
        let Some(Counted { wait, full_in }) = counting.await else {
            return own.admit_locally(name, policy);
        };
        own.take_over(full_in);
        if let Some((admitted_locally, _)) = unreported {
            own.mark_reported(admitted_locally, number);
        }
        let verdict = match wait {
            Duration::ZERO => Ok(()),
            _ => Err(wait),
        };
        (Standing::new(name, policy, full_in), verdict)
    }

    /// Returns the refusal of a request with this method as if the burst of its key were used up, and stores the header
    /// values of that state. Nothing is counted.
    pub(crate) fn example(
        &self,
        method: &Method,
        context: &RequestContext,
    ) -> Result<Throttled, ApiError> {
        let caller = Caller::of(context)?;
        let kind = kind_of(method);
        let policy = self.policy(&caller, kind);
        let full_in = policy.interval() * policy.burst();
        let standing = Standing::new(kind.as_str(), policy, full_in);
        let now = self.0.heartbeat.time();
        context.set_rate_limit(headers(&standing, now));
        let now = Timestamp::kst(now);
        Ok(Throttled::new(&standing, policy.interval(), now))
    }

    /// Stores the header values, and refuses a request that came too early.
    fn conclude(
        &self,
        context: &RequestContext,
        kind: Kind,
        (standing, counted): &Outcome,
    ) -> Result<(), ApiError> {
        let now = self.0.heartbeat.time();
        context.set_rate_limit(headers(standing, now));
        counted.map_err(|wait| {
            self.0.metrics.count_rate_limited(kind == Kind::Read);
            let throttled = Throttled::new(standing, wait, Timestamp::kst(now));
            ApiError::RateLimited(throttled.into())
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
        let key = caller.grant.key;
        if let Some(outcome) = self.count_unshared(key, kind, policy) {
            return self.conclude(context, kind, &outcome).into();
        }
        let (limit, context) = (self.clone(), context.clone());
        Verdict::Wait(Box::pin(async move {
            let outcome = limit.count(key, kind, policy).await;
            limit.conclude(&context, kind, &outcome)
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
    let mut value = |write: &dyn Fn(&mut BytesMut) -> fmt::Result| {
        // Writing to a buffer cannot fail.
        let _ = write(&mut buffer);
        text(buffer.split().freeze())
    };
    [
        value(&|it| write_policy(standing, it)),
        value(&|it| write_state(standing, it)),
        value(&|it| write!(it, "{}", standing.policy.burst())),
        value(&|it| write!(it, "{}", standing.remaining)),
        value(&|it| write!(it, "{}", standing.full_at(now))),
    ]
}

/// Writes the value of `RateLimit-Policy`.
fn write_policy(standing: &Standing, out: &mut impl Write) -> fmt::Result {
    let (name, policy) = (standing.name, standing.policy);
    let (limit, window_seconds) = (policy.limit(), policy.window_seconds());
    write!(out, r#""{name}";q={limit};w={window_seconds}"#)
}

/// Writes the value of `RateLimit`.
fn write_state(standing: &Standing, out: &mut impl Write) -> fmt::Result {
    let (name, remaining) = (standing.name, standing.remaining);
    let full_in = standing.full_in_seconds();
    write!(out, r#""{name}";r={remaining};t={full_in}"#)
}

/// Converts a header value, which consists of digits and ASCII punctuation.
fn text(bytes: Bytes) -> HeaderValue {
    HeaderValue::from_maybe_shared(bytes).unwrap_or_else(|_| HeaderValue::from_static(""))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn headers_are_structured_fields() {
        let standing = Standing {
            name: "write",
            policy: Policy::new(120, 60, 30).unwrap(),
            remaining: 29,
            full_in: Duration::from_millis(500),
        };
        let (mut policy, mut state) = (String::new(), String::new());
        write_policy(&standing, &mut policy).unwrap();
        write_state(&standing, &mut state).unwrap();
        assert_eq!(policy, r#""write";q=120;w=60"#);
        assert_eq!(state, r#""write";r=29;t=1"#);
    }
}
