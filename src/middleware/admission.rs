//! [`Admission`]: a layer that admits or refuses requests by a [`Policy`].

use std::{
    convert::Infallible,
    pin::Pin,
    task::{Context, Poll},
};

use axum::{
    extract::Request,
    response::{IntoResponse, Response},
};
use pin_project_lite::pin_project;
use tower::{Layer, Service};

use crate::{errors::ApiError, request::RequestContext};

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
