//! [`Concurrency`]: a layer with a [`Limit`] of the requests in progress. A request beyond the limit gets 503 at once, so
//! that the others are not delayed. A permit is passed to the request's context with the response, so that the outermost
//! layer can keep it until the response is taken.
//!
//! - [`LoadShedding`] limits the requests of one replica. It runs before any look-up, but inside the request context, so
//!   a refused request is rendered, logged and counted like any other. Connections have a limit of their own. Probes are
//!   exempt, because a busy replica is alive.
//! - [`PartnerConcurrency`] limits those of one partner on one replica, so that no partner uses up the server's capacity.
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
    request::{Caller, CallerSemaphores, RequestContext},
    telemetry::{load::Shed, metrics::Metrics},
};

/// A limit of the requests in progress.
pub(crate) trait Limit: Clone {
    /// Acquires a permit, or refuses the request; `None` if the request needs no permit.
    fn acquire(
        &self,
        request: &Request,
        context: &RequestContext,
    ) -> Result<Option<OwnedSemaphorePermit>, ApiError>;
}

/// The layer of a limit.
#[derive(Debug, Clone)]
pub(crate) struct ConcurrencyLayer<L>(pub L);

impl<L: Clone, S> Layer<S> for ConcurrencyLayer<L> {
    type Service = Concurrency<L, S>;

    fn layer(&self, inner: S) -> Self::Service {
        Concurrency {
            limit: self.0.clone(),
            inner,
        }
    }
}

/// A service with a limited number of requests in progress.
#[derive(Debug, Clone)]
pub struct Concurrency<L, S> {
    limit: L,
    inner: S,
}

impl<L, S> Service<Request> for Concurrency<L, S>
where
    L: Limit,
    S: Service<Request, Response = Response, Error = Infallible>,
{
    type Response = Response;
    type Error = Infallible;
    type Future = ResponseFuture<WithPermit<S::Future>>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        self.inner.poll_ready(context)
    }

    fn call(&mut self, request: Request) -> Self::Future {
        match admit(&self.limit, &request) {
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
fn admit(limit: &impl Limit, request: &Request) -> Result<Option<Permit>, ApiError> {
    let context = RequestContext::of(request.extensions())?;
    let permit = limit.acquire(request, context)?;
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

/// Load shedding: the limit of all requests to one replica.
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

impl Limit for LoadShedding {
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

/// Partner concurrency: the limit of one partner's requests to one replica.
#[derive(Debug, Clone)]
pub(crate) struct PartnerConcurrency {
    partners: Arc<CallerSemaphores>,
    metrics: Metrics,
}

impl PartnerConcurrency {
    /// Creates the limit, with up to `requests_max` requests of each partner.
    pub(crate) fn new(requests_max: usize, metrics: Metrics) -> Self {
        Self {
            partners: Arc::new(CallerSemaphores::new(requests_max)),
            metrics,
        }
    }
}

impl Limit for PartnerConcurrency {
    fn acquire(
        &self,
        _: &Request,
        context: &RequestContext,
    ) -> Result<Option<OwnedSemaphorePermit>, ApiError> {
        let semaphore = self.partners.of(Caller::of(context)?.partner().into());
        semaphore.try_acquire_owned().map(Some).map_err(|_| {
            self.metrics.count_shed(Shed::Partner);
            ApiError::unavailable("the partner has too many requests in progress")
        })
    }
}
