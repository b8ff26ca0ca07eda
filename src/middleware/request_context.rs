//! The outermost layer, on every route: creates the [`RequestContext`] and completes the response.
//!
//! Exceeded deadlines, panics and every [`ApiError`] from inside are rendered here, and only here. Every response gets
//! its common headers, its log line and its metrics here.

use std::{
    convert::Infallible,
    panic::{AssertUnwindSafe, catch_unwind},
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
};

use axum::{
    body::Body,
    extract::Request,
    http::{HeaderMap, HeaderName, HeaderValue, Method, header},
    response::{IntoResponse, Response},
};
use pin_project_lite::pin_project;
use tokio::time::{Instant, Sleep, sleep_until};
use tower::{Layer, Service};

use super::access_log::{self, Access, Recording};
use crate::{
    config::Settings,
    database::Heartbeat,
    errors::{ApiError, ErrorContext, render},
    http::{
        accept::{error_representation, joined_accept},
        body,
        client_ip::{self, Peer},
        headers::{self, PublicPath, Trace},
    },
    idempotency,
    request::{IdempotencyStatus, RequestContext},
    request_log::RequestLog,
    telemetry::{
        self,
        export::Spans,
        metrics::Metrics,
        requests::{Answered, InFlight},
    },
};

const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");
const NO_STORE: HeaderValue = HeaderValue::from_static("no-store");
const NO_SNIFF: HeaderValue = HeaderValue::from_static("nosniff");

/// Marks a response that is a page of the console: an error has its body already.
#[derive(Debug, Clone, Copy)]
pub(crate) struct IsPage;

/// The layer that adds the context.
#[derive(Debug, Clone)]
pub(crate) struct RequestContextLayer(Arc<Parts>);

/// The parts of a replica that begin and complete its requests.
#[derive(Debug)]
struct Parts {
    heartbeat: Heartbeat,
    metrics: Metrics,
    request_log: RequestLog,
    /// The queue of spans, if they are exported.
    spans: Option<Spans>,
    public_path: PublicPath,
    settings: Arc<Settings>,
}

impl RequestContextLayer {
    /// Creates the layer of a listener whose URL has this path. Without `spans`, no span is exported.
    pub(crate) fn new(
        heartbeat: Heartbeat,
        metrics: Metrics,
        request_log: RequestLog,
        spans: Option<Spans>,
        public_path: PublicPath,
        settings: Arc<Settings>,
    ) -> Self {
        Self(Arc::new(Parts {
            heartbeat,
            metrics,
            request_log,
            spans,
            public_path,
            settings,
        }))
    }
}

impl<S> Layer<S> for RequestContextLayer {
    type Service = Contextual<S>;

    fn layer(&self, inner: S) -> Self::Service {
        Contextual {
            parts: self.0.clone(),
            inner,
        }
    }
}

/// A service that adds a context to its requests and completes the responses.
#[derive(Debug, Clone)]
pub struct Contextual<S> {
    parts: Arc<Parts>,
    inner: S,
}

impl<S> Service<Request> for Contextual<S>
where
    S: Service<Request, Response = Response, Error = Infallible>,
{
    type Response = Response;
    type Error = Infallible;
    type Future = Responding<S::Future>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        self.inner.poll_ready(context)
    }

    fn call(&mut self, mut request: Request) -> Self::Future {
        let settings = &self.parts.settings;
        let client = client_ip::of(&request, &settings.gate);
        let peer = request.extensions().get::<Peer>().cloned();
        let context = RequestContext::new(client, settings.server.deadline);
        if idempotency::carries_key(&request) {
            context.set_idempotency(IdempotencyStatus::Unknown);
        }
        request.extensions_mut().insert(context.clone());
        let spans = self.parts.spans.as_ref();
        let trace = Trace::of(request.headers(), spans);
        let completion = Completion {
            in_flight: self.parts.metrics.begin(),
            method: request.method().clone(),
            accept: joined_accept(request.headers()),
            recording: Recording::begin(trace, spans),
            trace,
            closes: headers::ends_connection(&request),
            parts: self.parts.clone(),
            context,
            peer,
        };
        let result =
            headers::require_one_host(&request).and_then(|()| guarded(|| self.inner.call(request)));
        let (inner, refused) = match result {
            Ok(future) => (Some(future), None),
            Err(error) => (None, Some(error.into_response())),
        };
        let due = completion.context.deadline();
        Responding {
            inner,
            refused,
            deadline: sleep_until(due),
            completion: Some(completion),
        }
    }
}

/// Runs `work` and turns a panic into an error.
fn guarded<T>(work: impl FnOnce() -> T) -> Result<T, ApiError> {
    let done = catch_unwind(AssertUnwindSafe(work));
    done.map_err(|_| ApiError::internal(telemetry::take_panic()))
}

pin_project! {
    /// The future of the completed response, within the deadline.
    pub struct Responding<F> {
        #[pin]
        inner: Option<F>,
        refused: Option<Response>,
        #[pin]
        deadline: Sleep,
        completion: Option<Completion>,
    }
}

impl<F: Future<Output = Result<Response, Infallible>>> Future for Responding<F> {
    type Output = Result<Response, Infallible>;

    fn poll(self: Pin<&mut Self>, task: &mut Context<'_>) -> Poll<Self::Output> {
        let mut this = self.project();
        let response = match this.refused.take() {
            Some(response) => response,
            None => {
                let completion = this.completion.as_ref();
                ready!(poll_within(
                    this.inner.as_mut(),
                    this.deadline,
                    completion,
                    task
                ))
            }
        };
        // Drops the handler's future, with all that it holds, before the response is sent.
        this.inner.set(None);
        let completion = this.completion.take();
        Poll::Ready(Ok(match completion {
            Some(completion) => completion.finish(response),
            None => response,
        }))
    }
}

/// Polls the handler; returns an error response if it panics or the deadline has passed.
fn poll_within<F: Future<Output = Result<Response, Infallible>>>(
    inner: Pin<&mut Option<F>>,
    mut deadline: Pin<&mut Sleep>,
    completion: Option<&Completion>,
    task: &mut Context<'_>,
) -> Poll<Response> {
    let Some(inner) = inner.as_pin_mut() else {
        return Poll::Ready(
            ApiError::internal("the future was polled after its response").into_response(),
        );
    };
    let recording = completion.and_then(|it| it.recording.as_ref());
    match guarded(|| access_log::within(recording, || inner.poll(task))) {
        Ok(Poll::Ready(Ok(response))) => return Poll::Ready(response),
        Ok(Poll::Pending) => {}
        Err(error) => return Poll::Ready(error.into_response()),
    }
    // Reading a body extends the deadline.
    let due = completion.map(|it| it.context.deadline());
    loop {
        if let Some(due) = due.filter(|due| *due != deadline.deadline()) {
            deadline.as_mut().reset(due);
        }
        ready!(deadline.as_mut().poll(task));
        if due.is_none_or(|due| due <= Instant::now()) {
            return Poll::Ready(ApiError::unavailable("the deadline has passed").into_response());
        }
    }
}

/// The values that complete a response.
struct Completion {
    parts: Arc<Parts>,
    context: RequestContext,
    /// The other end of the connection, if there is one.
    peer: Option<Peer>,
    method: Method,
    accept: Option<HeaderValue>,
    trace: Option<Trace>,
    /// The recording of the trace, if it is exported.
    recording: Option<Recording>,
    /// Whether the connection closes after this response.
    closes: bool,
    in_flight: InFlight,
}

impl Completion {
    /// Completes a response.
    ///
    /// The response to a partner is in progress until it is taken. An error is small, and a document without a key is
    /// shared by all callers, so neither keeps a permit: callers without a key cannot use up the permits.
    fn finish(self, mut response: Response) -> Response {
        let error = response.extensions_mut().remove::<Arc<ApiError>>();
        let is_page = response.extensions().get::<IsPage>().is_some();
        if let Some(error) = error.as_ref().filter(|_| !is_page) {
            self.render(&mut response, error);
        }
        let id = self.context.id().to_string();
        self.parts.public_path.add_to(response.headers_mut());
        self.add_headers(&id, response.headers_mut());
        let took = self.context.elapsed();
        access_log::write(&Access {
            request_id: &id,
            method: &self.method,
            context: &self.context,
            trace: self.trace.as_ref(),
            status: response.status(),
            error: error.as_deref(),
            took,
        });
        let answered = Answered {
            route: self.context.matched_route(),
            method: &self.method,
            status: response.status(),
            code: error.as_ref().map(|error| error.code().as_str()),
            by_our_fault: matches!(error.as_deref(), Some(ApiError::Internal { .. })),
            partner: self.context.grant().map(|it| it.partner),
            deprecated: self.context.deprecated_operation(),
            took,
        };
        let log = &self.parts.request_log;
        log.note(&self.context, &answered, error.as_deref());
        if let Some(recording) = self.recording {
            recording.end(self.parts.heartbeat.time(), self.context.id(), &answered);
        }
        let in_flight = self.in_flight.answer(&answered);
        let permits = self.context.take_permits();
        if self.context.grant().is_none() {
            return response;
        }
        if let Some(peer) = &self.peer {
            peer.note_key();
        }
        match error {
            Some(_) => response,
            None => response.map(|body| body::hold(body, (in_flight, permits))),
        }
    }

    /// Renders an error in the representation that the client accepts.
    fn render(&self, response: &mut Response, error: &ApiError) {
        let representation = error_representation(self.accept.as_ref());
        let allow = response.headers().get(header::ALLOW);
        let body = render(
            &ErrorContext {
                error,
                request_id: self.context.id(),
                allow: allow.and_then(|it| it.to_str().ok()),
                now: self.parts.heartbeat.time(),
                public_url: &self.parts.settings.public_url,
            },
            representation,
        );
        *response.body_mut() = Body::from(body);
        let headers = response.headers_mut();
        // The router has set the length of the empty body that the error came with.
        headers.remove(header::CONTENT_LENGTH);
        let media_type = HeaderValue::from_static(representation.media_type());
        headers.insert(header::CONTENT_TYPE, media_type);
        headers.insert(header::VARY, HeaderValue::from_static("Accept"));
    }

    fn add_headers(&self, id: &str, headers: &mut HeaderMap) {
        self.context.add_headers(headers);
        if let Ok(id) = HeaderValue::from_str(id) {
            headers.insert(REQUEST_ID, id);
        }
        if let Some(trace) = &self.trace {
            trace.add_header(headers);
        }
        if self.closes {
            headers.insert(header::CONNECTION, HeaderValue::from_static("close"));
        }
        headers.entry(header::CACHE_CONTROL).or_insert(NO_STORE);
        headers
            .entry(header::X_CONTENT_TYPE_OPTIONS)
            .or_insert(NO_SNIFF);
    }
}
