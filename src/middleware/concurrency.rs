//! Bounds of the requests in progress. A request above a bound gets 503 at once, so that the others are not delayed. A
//! permit is passed to the request's context with the response, so that the outermost layer can keep it until the
//! response is taken.
//!
//! - Load shedding bounds those of one replica. It runs before any look-up, but inside the request context, so a
//!   refused request is rendered, logged and counted like any other. Connections have a limit of their own. Probes are
//!   exempt, because a busy replica is alive.
//! - Partner concurrency bounds those of one partner on one replica, so that no partner uses up the server's capacity.
//!   It runs before the body is read, which may take long.

use std::{
    collections::HashMap,
    convert::Infallible,
    pin::Pin,
    sync::{Arc, Mutex, PoisonError},
    task::{Context, Poll},
};

use axum::{extract::Request, response::Response};
use pin_project_lite::pin_project;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tower::{Layer, Service};

use super::admission::ResponseFuture;
use crate::{
    errors::ApiError,
    request::{Caller, RequestContext},
    telemetry::{load::Shed, metrics::Metrics},
    values::id::PartnerId,
};

/// The layer of load shedding, with the permits of one replica.
#[derive(Debug, Clone)]
pub(crate) struct LoadSheddingLayer {
    permits: Arc<Semaphore>,
    /// The paths whose requests need no permit.
    exempt: &'static [&'static str],
    metrics: Metrics,
}

impl LoadSheddingLayer {
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

    /// Acquires a permit, or refuses the request.
    fn admit(&self, request: &Request) -> Result<Option<Permit>, ApiError> {
        if self.exempt.contains(&request.uri().path()) {
            return Ok(None);
        }
        let context = RequestContext::of(request.extensions())?.clone();
        match self.permits.clone().try_acquire_owned() {
            Ok(permit) => Ok(Some(Permit { permit, context })),
            Err(_) => {
                self.metrics.count_shed(Shed::Replica);
                Err(ApiError::unavailable("too many requests are in progress"))
            }
        }
    }
}

impl<S> Layer<S> for LoadSheddingLayer {
    type Service = LoadShedding<S>;

    fn layer(&self, inner: S) -> Self::Service {
        LoadShedding {
            layer: self.clone(),
            inner,
        }
    }
}

/// A service with a bounded number of requests in progress.
#[derive(Debug, Clone)]
pub struct LoadShedding<S> {
    layer: LoadSheddingLayer,
    inner: S,
}

impl<S> Service<Request> for LoadShedding<S>
where
    S: Service<Request, Response = Response, Error = Infallible>,
{
    type Response = Response;
    type Error = Infallible;
    type Future = ResponseFuture<WithPermit<S::Future>>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        self.inner.poll_ready(context)
    }

    fn call(&mut self, request: Request) -> Self::Future {
        match self.layer.admit(&request) {
            Ok(permit) => ResponseFuture::Inner {
                future: WithPermit::new(self.inner.call(request), permit),
            },
            Err(error) => ResponseFuture::refused(error),
        }
    }
}

/// The layer of partner concurrency.
#[derive(Debug, Clone)]
pub(crate) struct ConcurrencyLayer(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    requests_max: usize,
    metrics: Metrics,
    /// The permits of all partners that have called since this replica started.
    partners: Mutex<HashMap<PartnerId, Arc<Semaphore>>>,
}

impl ConcurrencyLayer {
    /// Creates the layer, with up to `requests_max` requests of each partner.
    pub(crate) fn new(requests_max: usize, metrics: Metrics) -> Self {
        Self(Arc::new(Inner {
            requests_max,
            metrics,
            partners: Mutex::default(),
        }))
    }

    /// Acquires a permit of the caller's partner, or refuses the request.
    fn admit(&self, request: &Request) -> Result<Permit, ApiError> {
        let context = RequestContext::of(request.extensions())?.clone();
        let permits = self.permits(Caller::of(&context)?.partner());
        match permits.try_acquire_owned() {
            Ok(permit) => Ok(Permit { permit, context }),
            Err(_) => {
                self.0.metrics.count_shed(Shed::Partner);
                Err(ApiError::unavailable(
                    "the partner has too many requests in progress",
                ))
            }
        }
    }

    fn permits(&self, partner: PartnerId) -> Arc<Semaphore> {
        let inner = &self.0;
        let partners = inner.partners.lock();
        let mut partners = partners.unwrap_or_else(PoisonError::into_inner);
        let permits = partners
            .entry(partner)
            .or_insert_with(|| Arc::new(Semaphore::new(inner.requests_max)));
        permits.clone()
    }
}

impl<S> Layer<S> for ConcurrencyLayer {
    type Service = Concurrency<S>;

    fn layer(&self, inner: S) -> Self::Service {
        Concurrency {
            layer: self.clone(),
            inner,
        }
    }
}

/// A service with a bounded number of requests in progress for each partner.
#[derive(Debug, Clone)]
pub(crate) struct Concurrency<S> {
    layer: ConcurrencyLayer,
    inner: S,
}

impl<S> Service<Request> for Concurrency<S>
where
    S: Service<Request, Response = Response, Error = Infallible>,
{
    type Response = Response;
    type Error = Infallible;
    type Future = ResponseFuture<WithPermit<S::Future>>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        self.inner.poll_ready(context)
    }

    fn call(&mut self, request: Request) -> Self::Future {
        match self.layer.admit(&request) {
            Ok(permit) => ResponseFuture::Inner {
                future: WithPermit::new(self.inner.call(request), Some(permit)),
            },
            Err(error) => ResponseFuture::refused(error),
        }
    }
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

impl<F> WithPermit<F> {
    /// Holds `permit` until `future` completes.
    fn new(future: F, permit: Option<Permit>) -> Self {
        Self { future, permit }
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
