//! [`Admission`]: a layer that admits or refuses requests by a [`Policy`].
//!
//! The policies that keep no state are here: [`IpAllowlist`], and [`ForcedError`] for the sandbox.

use std::{
    convert::Infallible,
    pin::Pin,
    task::{Context, Poll},
};

use axum::{
    extract::Request,
    http::HeaderMap,
    response::{IntoResponse, Response},
};
use pin_project_lite::pin_project;
use tower::{Layer, Service};

use super::rate_limit::RateLimit;
use crate::{
    database::Heartbeat,
    errors::{ApiError, Fault, IssueKind, catalogue::Code, payloads::IpNotAllowed},
    request::{Caller, IdempotencyStatus, RequestContext},
    values::{environment::Environment, timestamp::Timestamp},
};

/// The header that requests an error in the sandbox.
const FORCE_HEADER: &str = "x-sandbox-force";
/// Its name in issues.
const FORCE_NAME: &str = "X-Sandbox-Force";

/// A decision that needs a query of the database or the shared store.
pub(crate) type Waiting = Pin<Box<dyn Future<Output = Result<(), ApiError>> + Send>>;

/// The decision of a policy about a request.
pub(crate) enum Verdict {
    /// The request is passed to the inner service.
    Admit,
    /// The response is this error.
    Refuse(ApiError),
    /// The decision is pending.
    Wait(Waiting),
}

impl From<Result<(), ApiError>> for Verdict {
    fn from(decided: Result<(), ApiError>) -> Self {
        match decided {
            Ok(()) => Self::Admit,
            Err(error) => Self::Refuse(error),
        }
    }
}

/// A rule that decides which requests are admitted.
pub(crate) trait Policy: Clone + Send + Sync + 'static {
    /// Decides about a request, and stores what it finds in the context.
    fn admit(&self, request: &Request, context: &RequestContext) -> Verdict;
}

/// The layer of a policy.
#[derive(Debug, Clone)]
pub(crate) struct AdmissionLayer<P>(pub P);

impl<P: Clone, S> Layer<S> for AdmissionLayer<P> {
    type Service = Admission<P, S>;

    fn layer(&self, inner: S) -> Self::Service {
        Admission {
            policy: self.0.clone(),
            inner,
        }
    }
}

/// A service that receives only the requests that a policy admits.
#[derive(Debug, Clone)]
pub(crate) struct Admission<P, S> {
    policy: P,
    inner: S,
}

impl<P, S> Service<Request> for Admission<P, S>
where
    P: Policy,
    S: Service<Request, Response = Response, Error = Infallible> + Clone + Send + 'static,
    S::Future: Send,
{
    type Response = Response;
    type Error = Infallible;
    type Future = ResponseFuture<S::Future>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        self.inner.poll_ready(context)
    }

    fn call(&mut self, request: Request) -> Self::Future {
        let verdict = match RequestContext::of(request.extensions()) {
            Ok(context) => self.policy.admit(&request, context),
            Err(error) => Verdict::Refuse(error),
        };
        match verdict {
            Verdict::Admit => ResponseFuture::Inner {
                future: self.inner.call(request),
            },
            Verdict::Refuse(error) => ResponseFuture::refused(error),
            Verdict::Wait(waiting) => {
                let mut inner = self.inner.clone();
                let future = Box::pin(async move {
                    match waiting.await {
                        Ok(()) => inner.call(request).await,
                        Err(error) => Ok(error.into_response()),
                    }
                });
                ResponseFuture::Boxed { future }
            }
        }
    }
}

pin_project! {
    /// The response future of a layer that passes a request on or responds itself.
    #[project = Projection]
    pub enum ResponseFuture<F> {
        /// The response of the inner service.
        Inner { #[pin] future: F },
        /// The layer's own response.
        Ready { response: Option<Response> },
        /// The response after a pending decision.
        Boxed { future: Pin<Box<dyn Future<Output = Result<Response, Infallible>> + Send>> },
    }
}

impl<F> ResponseFuture<F> {
    /// Responds with an error.
    pub(crate) fn refused(error: ApiError) -> Self {
        Self::Ready {
            response: Some(error.into_response()),
        }
    }
}

impl<F: Future<Output = Result<Response, Infallible>>> Future for ResponseFuture<F> {
    type Output = Result<Response, Infallible>;

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        match self.project() {
            Projection::Inner { future } => future.poll(context),
            Projection::Boxed { future } => future.as_mut().poll(context),
            // A future is not polled after it has returned its response.
            Projection::Ready { response } => Poll::Ready(Ok(response.take().unwrap_or_default())),
        }
    }
}

/// The IP allowlist: admits a partner only from its own networks.
///
/// For a partner without any network, the decision depends on the environment.
#[derive(Debug, Clone, Copy)]
pub(crate) struct IpAllowlist(pub Environment);

impl IpAllowlist {
    fn check(self, context: &RequestContext) -> Result<(), ApiError> {
        let client_ip = context.client();
        match Caller::of(context)?.grant.admits(client_ip, self.0) {
            true => Ok(()),
            false => Err(IpNotAllowed { client_ip }.into()),
        }
    }
}

impl Policy for IpAllowlist {
    fn admit(&self, _: &Request, context: &RequestContext) -> Verdict {
        self.check(context).into()
    }
}

/// `X-Sandbox-Force`: responds with the error that a sandbox partner requests, and does nothing else.
///
/// The error has the heartbeat's time: reading the partner's sandbox clock would cost a query. The limit of a forced
/// `rate_limited` is that of the request, and the rate-limit headers agree with it.
#[derive(Debug, Clone)]
pub(crate) struct ForcedError {
    heartbeat: Heartbeat,
    limits: RateLimit,
}

impl ForcedError {
    /// Creates the policy.
    pub(crate) fn new(heartbeat: Heartbeat, limits: RateLimit) -> Self {
        Self { heartbeat, limits }
    }

    fn forced(&self, request: &Request, context: &RequestContext) -> ApiError {
        let now = Timestamp::kst(self.heartbeat.time());
        let forced = read_forced(request.headers()).and_then(|(code, status)| {
            let mut error = ApiError::example(code, status, now).ok_or_else(not_forcible)?;
            if code == Code::RateLimited {
                let throttled = self.limits.example(request.method(), context)?;
                error = ApiError::RateLimited(throttled.into());
            }
            Ok((code, error))
        });
        match forced {
            Ok((code, error)) => {
                let has_key = context.idempotency() != IdempotencyStatus::Absent;
                if code == Code::IdempotencyKeyReused && has_key {
                    context.set_idempotency(IdempotencyStatus::Conflict);
                }
                ApiError::Forced(Box::new(error))
            }
            Err(error) => error,
        }
    }
}

impl Policy for ForcedError {
    fn admit(&self, request: &Request, context: &RequestContext) -> Verdict {
        match request.headers().contains_key(FORCE_HEADER) {
            true => Verdict::Refuse(self.forced(request, context)),
            false => Verdict::Admit,
        }
    }
}

/// Parses `<code>` or `<code>;status=<status>`; without a status, the last one of the code is used.
fn read_forced(headers: &HeaderMap) -> Result<(Code, u16), ApiError> {
    let text = headers
        .get(FORCE_HEADER)
        .and_then(|value| value.to_str().ok());
    let text = text.ok_or_else(not_forcible)?;
    let (code, parameter) = match text.split_once(';') {
        Some((code, parameter)) => (code, Some(parameter)),
        None => (text, None),
    };
    let code = Code::parse(code.trim()).ok_or_else(not_forcible)?;
    let status = match parameter.map(str::trim) {
        None => code.entry().statuses.last().copied(),
        Some(parameter) => parameter
            .strip_prefix("status=")
            .and_then(|it| it.parse().ok()),
    };
    Ok((code, status.ok_or_else(not_forcible)?))
}

fn not_forcible() -> ApiError {
    let message = "`X-Sandbox-Force` must be an error code, optionally with one of its statuses";
    let fault = Fault::new(IssueKind::InvalidValue, message);
    fault
        .expected("past_order_cutoff, or invalid_status_transition;status=403")
        .at(FORCE_NAME, None)
        .into()
}
