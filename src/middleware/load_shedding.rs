//! Load shedding: bounds the requests in progress on one replica. A request above the limit gets 503 at once, before
//! any look-up, so that the others are not delayed.
//!
//! The layer is inside the request context, so a refused request is rendered, logged and counted like any other.
//! Connections have a limit of their own, and so has each partner ([`super::concurrency`]).

use std::{
    convert::Infallible,
    sync::Arc,
    task::{Context, Poll},
};

use axum::{extract::Request, response::Response};
use tokio::sync::Semaphore;
use tower::{Layer, Service};

use super::{admission::ResponseFuture, with_permit::WithPermit};
use crate::{app::App, errors::ApiError, telemetry::load::Shed};

/// The layer, with the permits of one replica.
#[derive(Debug, Clone)]
pub(crate) struct LoadSheddingLayer {
    app: App,
    permits: Arc<Semaphore>,
}

impl LoadSheddingLayer {
    /// Creates the permits that the settings allow.
    pub(crate) fn new(app: App) -> Self {
        let permits = Arc::new(Semaphore::new(app.settings().server.requests_max));
        Self { app, permits }
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
        let Ok(permit) = self.layer.permits.clone().try_acquire_owned() else {
            self.layer.app.metrics().count_shed(Shed::Replica);
            let error = ApiError::unavailable("too many requests are in progress");
            return ResponseFuture::refused(error);
        };
        ResponseFuture::Inner {
            future: WithPermit::new(self.inner.call(request), permit),
        }
    }
}
