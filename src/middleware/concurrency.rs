//! Partner concurrency: bounds the requests that one partner may have in progress on one replica. A request above the
//! limit gets 503 at once, so one partner cannot use up the server's capacity.
//!
//! The layer runs before the body is read, which may take long.

use std::{
    collections::HashMap,
    convert::Infallible,
    sync::{Arc, Mutex, PoisonError},
    task::{Context, Poll},
};

use axum::{extract::Request, response::Response};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tower::{Layer, Service};

use super::{admission::ResponseFuture, with_permit::WithPermit};
use crate::{
    app::App,
    errors::ApiError,
    request::{Caller, RequestContext},
    telemetry::load::Shed,
    values::id::PartnerId,
};

/// The layer, with the permits of all partners that have called since this replica started.
#[derive(Debug, Clone)]
pub(crate) struct ConcurrencyLayer {
    app: App,
    partners: Arc<Mutex<HashMap<PartnerId, Arc<Semaphore>>>>,
}

impl ConcurrencyLayer {
    /// Creates the layer with no request in progress.
    pub(crate) fn new(app: App) -> Self {
        Self {
            app,
            partners: Arc::default(),
        }
    }

    /// Acquires a permit of the caller's partner, or refuses the request.
    fn admit(&self, request: &Request) -> Result<OwnedSemaphorePermit, ApiError> {
        let caller = Caller::of(RequestContext::of(request.extensions())?)?;
        let permits = self.permits(caller.partner());
        permits.try_acquire_owned().map_err(|_| {
            self.app.metrics().count_shed(Shed::Partner);
            ApiError::unavailable("the partner has too many requests in progress")
        })
    }

    fn permits(&self, partner: PartnerId) -> Arc<Semaphore> {
        let limit = self.app.settings().limits.partner_requests_max;
        let mut partners = self.partners.lock().unwrap_or_else(PoisonError::into_inner);
        let permits = partners
            .entry(partner)
            .or_insert_with(|| Arc::new(Semaphore::new(limit)));
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
                future: WithPermit::new(self.inner.call(request), permit),
            },
            Err(error) => ResponseFuture::refused(error),
        }
    }
}
