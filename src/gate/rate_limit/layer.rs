//! The layer: count, tell the caller how it stands, and refuse what came too early.

use axum::{
    extract::{Extension, Request, State},
    http::{HeaderValue, Method},
    middleware::Next,
    response::Response,
};
use chrono::{DateTime, Utc};

use super::{
    limits::Limits,
    model::{Kind, Standing, Throttled},
};
use crate::{
    app::App, error::ApiError, gate::caller::Caller, http::remarks::Remarks, stamp::Stamp,
};

/// The limits of all keys.
#[derive(Debug, Clone)]
pub(crate) struct RateLimit {
    app: App,
    limits: Limits,
}

impl RateLimit {
    /// Makes limits that nobody has used yet.
    pub(crate) fn new(app: App) -> Self {
        let limits = Limits::new(&app);
        Self { app, limits }
    }

    /// Keeps the shared store at hand until the replica stops, if there is one.
    pub(crate) async fn keep_shared(self) {
        self.limits.keep().await;
    }
}

/// Returns the policy that counts requests of a method.
pub(crate) fn kind_of(method: &Method) -> Kind {
    if matches!(*method, Method::GET | Method::HEAD) {
        Kind::Read
    } else {
        Kind::Write
    }
}

/// Counts the request under the caller's key, and refuses it when it is early.
pub(crate) async fn rate_limit(
    State(limits): State<RateLimit>,
    Extension(remarks): Extension<Remarks>,
    caller: Caller,
    request: Request,
    next: Next,
) -> Result<Response, ApiError> {
    let defaults = &limits.app.settings().rate_limit;
    let kind = kind_of(request.method());
    let policy = match kind {
        Kind::Read => caller.grant.read.unwrap_or(defaults.read),
        Kind::Write => caller.grant.write.unwrap_or(defaults.write),
    };
    let (standing, verdict) = limits.limits.admit(caller.grant.key, kind, policy).await;
    let now = limits.app.heartbeat().time();
    tell(&remarks, &standing, now);
    match verdict {
        Ok(()) => Ok(next.run(request).await),
        Err(wait) => {
            limits.app.metrics().count_rate_limited(kind == Kind::Read);
            let early = Throttled::new(&standing, wait, Stamp::kst(now));
            Err(ApiError::RateLimited(early))
        }
    }
}

fn tell(remarks: &Remarks, standing: &Standing, now: DateTime<Utc>) {
    let fields = [
        ("ratelimit-policy", standing.policy_header()),
        ("ratelimit", standing.state_header()),
        ("x-ratelimit-limit", standing.policy.burst().to_string()),
        ("x-ratelimit-remaining", standing.remaining.to_string()),
        ("x-ratelimit-reset", standing.full_at(now).to_string()),
    ];
    for (name, value) in fields {
        if let Ok(value) = HeaderValue::from_str(&value) {
            remarks.set(name, value);
        }
    }
}
