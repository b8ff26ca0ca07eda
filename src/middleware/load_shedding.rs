//! Load shedding: the server does so many requests at once and no more. The next one is answered 503 at once, before
//! anything is looked up for it, instead of making all of them late.
//!
//! It lies inside the request context, so a request that is shed has its envelope, its log line and its count like any
//! other. Connections are bounded apart, and so is what one partner may have in progress ([`super::concurrency`]).

use std::{
    convert::Infallible,
    sync::Arc,
    task::{Context, Poll},
};

use axum::{extract::Request, response::Response};
use tokio::sync::Semaphore;
use tower::{Layer, Service};

use super::{admission::ResponseFuture, held::Held};
use crate::{app::App, error::ApiError, telemetry::load::Shed};

/// The layer, with the permits of one replica.
#[derive(Debug, Clone)]
pub(crate) struct LoadSheddingLayer {
    app: App,
    permits: Arc<Semaphore>,
}

impl LoadSheddingLayer {
    /// Makes the permits that the settings allow.
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

/// A service that takes so many requests at once.
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
    type Future = ResponseFuture<Held<S::Future>>;

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
            future: Held::new(self.inner.call(request), permit),
        }
    }
}
