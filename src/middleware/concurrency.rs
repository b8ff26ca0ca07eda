//! [`Concurrency`]: a layer with a [`Bound`] of the requests in progress. A request above the bound gets 503 at once, so
//! that the others are not delayed. A permit is passed to the request's context with the response, so that the outermost
//! layer can keep it until the response is taken.
//!
//! - [`LoadShedding`] bounds the requests of one replica. It runs before any look-up, but inside the request context, so
//!   a refused request is rendered, logged and counted like any other. Connections have a limit of their own. Probes are
//!   exempt, because a busy replica is alive.
//! - [`PartnerConcurrency`] bounds those of one partner on one replica, so that no partner uses up the server's capacity.
//!   It runs before the body is read, which may take long.

use std::{
    convert::Infallible,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
};

use axum::{extract::Request, response::Response};
use pin_project_lite::pin_project;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tower::{Layer, Service};

use super::admission::ResponseFuture;
use crate::{
    errors::ApiError,
    request::{Caller, PartnerSemaphores, RequestContext},
    telemetry::{load::Shed, metrics::Metrics},
};

/// A bound of the requests in progress.
pub(crate) trait Bound: Clone {
    /// Acquires a permit, or refuses the request; `None` if the request needs no permit.
    fn acquire(
        &self,
        request: &Request,
        context: &RequestContext,
    ) -> Result<Option<OwnedSemaphorePermit>, ApiError>;
}

/// The layer of a bound.
#[derive(Debug, Clone)]
pub(crate) struct ConcurrencyLayer<B>(pub B);

impl<B: Clone, S> Layer<S> for ConcurrencyLayer<B> {
    type Service = Concurrency<B, S>;

    fn layer(&self, inner: S) -> Self::Service {
        Concurrency {
            bound: self.0.clone(),
            inner,
        }
    }
}

/// A service with a bounded number of requests in progress.
#[derive(Debug, Clone)]
pub struct Concurrency<B, S> {
    bound: B,
    inner: S,
}

impl<B, S> Service<Request> for Concurrency<B, S>
where
    B: Bound,
    S: Service<Request, Response = Response, Error = Infallible>,
{
    type Response = Response;
    type Error = Infallible;
    type Future = ResponseFuture<WithPermit<S::Future>>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        self.inner.poll_ready(context)
    }

    fn call(&mut self, request: Request) -> Self::Future {
        match admit(&self.bound, &request) {
            Ok(permit) => ResponseFuture::Inner {
                future: WithPermit {
                    future: self.inner.call(request),
                    permit,
                },
            },
            Err(error) => ResponseFuture::refused(error),
        }
    }
}

/// Acquires a permit for the response of the request, or refuses the request.
fn admit(bound: &impl Bound, request: &Request) -> Result<Option<Permit>, ApiError> {
    let context = RequestContext::of(request.extensions())?;
    let permit = bound.acquire(request, context)?;
    Ok(permit.map(|permit| Permit {
        permit,
        context: context.clone(),
    }))
}

/// A permit of a request.
struct Permit {
    permit: OwnedSemaphorePermit,
    context: RequestContext,
}

pin_project! {
    /// A response future with a permit, which is passed to the request's context when the future completes.
    pub struct WithPermit<F> {
        #[pin]
        future: F,
        permit: Option<Permit>,
    }
}

impl<F: Future> Future for WithPermit<F> {
    type Output = F::Output;

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<F::Output> {
        let this = self.project();
        let polled = this.future.poll(context);
        if polled.is_ready()
            && let Some(Permit { permit, context }) = this.permit.take()
        {
            context.keep_permit(permit);
        }
        polled
    }
}

/// Load shedding: the bound of all requests to one replica.
#[derive(Debug, Clone)]
pub struct LoadShedding {
    permits: Arc<Semaphore>,
    /// The paths whose requests need no permit.
    exempt: &'static [&'static str],
    metrics: Metrics,
}

impl LoadShedding {
    /// Creates the permits for up to `requests_max` requests, of which those to the `exempt` paths need none.
    pub(crate) fn new(
        requests_max: usize,
        exempt: &'static [&'static str],
        metrics: Metrics,
    ) -> Self {
        Self {
            permits: Arc::new(Semaphore::new(requests_max)),
            exempt,
            metrics,
        }
    }
}

impl Bound for LoadShedding {
    fn acquire(
        &self,
        request: &Request,
        _: &RequestContext,
    ) -> Result<Option<OwnedSemaphorePermit>, ApiError> {
        if self.exempt.contains(&request.uri().path()) {
            return Ok(None);
        }
        let permit = self.permits.clone().try_acquire_owned();
        permit.map(Some).map_err(|_| {
            self.metrics.count_shed(Shed::Replica);
            ApiError::unavailable("too many requests are in progress")
        })
    }
}

/// Partner concurrency: the bound of one partner's requests to one replica.
#[derive(Debug, Clone)]
pub(crate) struct PartnerConcurrency {
    partners: Arc<PartnerSemaphores>,
    metrics: Metrics,
}

impl PartnerConcurrency {
    /// Creates the bound, with up to `requests_max` requests of each partner.
    pub(crate) fn new(requests_max: usize, metrics: Metrics) -> Self {
        Self {
            partners: Arc::new(PartnerSemaphores::new(requests_max)),
            metrics,
        }
    }
}

impl Bound for PartnerConcurrency {
    fn acquire(
        &self,
        _: &Request,
        context: &RequestContext,
    ) -> Result<Option<OwnedSemaphorePermit>, ApiError> {
        let semaphore = self.partners.of(Caller::of(context)?.partner());
        semaphore.try_acquire_owned().map(Some).map_err(|_| {
            self.metrics.count_shed(Shed::Partner);
            ApiError::unavailable("the partner has too many requests in progress")
        })
    }
}
