//! [`Admission`]: the layer of a policy that admits a request or refuses it.

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

use crate::{error::ApiError, request::RequestContext};

/// A decision that has to wait for somebody else's answer.
pub(crate) type Waiting = Pin<Box<dyn Future<Output = Result<(), ApiError>> + Send>>;

/// What a policy says of a request.
pub(crate) enum Verdict {
    /// It may go on.
    Admit,
    /// It is answered with an error.
    Refuse(ApiError),
    /// That is not known yet.
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

/// A rule about which requests go on.
pub(crate) trait Policy: Clone + Send + Sync + 'static {
    /// Looks at a request, and notes what it finds out in the context.
    fn admit(&self, request: &Request, context: &RequestContext) -> Verdict;
}

/// The layer that applies a policy.
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

/// A service behind a policy.
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
    /// The response of a layer: the inner service's, or its own.
    #[project = Projection]
    pub enum ResponseFuture<F> {
        /// The inner service's.
        Inner { #[pin] future: F },
        /// Known already.
        Ready { response: Option<Response> },
        /// What follows a wait.
        Boxed { future: Pin<Box<dyn Future<Output = Result<Response, Infallible>> + Send>> },
    }
}

impl<F> ResponseFuture<F> {
    /// Answers with an error.
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
            // A future is not polled again after its response.
            Projection::Ready { response } => Poll::Ready(Ok(response.take().unwrap_or_default())),
        }
    }
}
