//! The one rescue point: a request's id, its errors as envelopes, and its one log line.

use std::{
    error::Error,
    fmt::Write,
    sync::{Arc, OnceLock},
    time::Instant,
};

use axum::{
    body::Body,
    extract::{MatchedPath, Request, State},
    http::{HeaderValue, Response, header},
    middleware::Next,
};
use tracing::{Instrument, Span, field::Empty};

use super::trace::Trace;
use crate::{
    app::App,
    error::{ApiError, Representation, Told, render},
    id::{PartnerId, RequestId},
    telemetry::{self, metrics::Answered},
};

/// What is found out inside and told outside, also when a handler is cut off.
#[derive(Debug, Clone, Default)]
pub(crate) struct Findings(Arc<Facts>);

#[derive(Debug, Default)]
struct Facts {
    /// The route that answers, known inside the router.
    route: OnceLock<MatchedPath>,
    /// Who asks, known inside the gate.
    partner: OnceLock<PartnerId>,
}

impl Findings {
    /// Tells whose request it is.
    pub(crate) fn partner(&self, partner: PartnerId) {
        // Only the gate writes it, and once a request.
        let _ = self.0.partner.set(partner);
    }
}

/// Gives the request its id and a span, renders its error if there is one, logs and counts it once.
///
/// It stands outside the fallbacks, the panic catcher and the deadline, so every answer comes by here.
pub(crate) async fn observe(
    State(app): State<App>,
    mut request: Request,
    next: Next,
) -> Response<Body> {
    let started = Instant::now();
    let in_flight = app.metrics().begin();
    let request_id = RequestId::random();
    let (findings, method) = (Findings::default(), request.method().clone());
    let representation = Representation::asked(request.headers());
    request.extensions_mut().insert(request_id);
    request.extensions_mut().insert(findings.clone());
    let span = tracing::info_span!(
        "request",
        request_id = %request_id,
        method = %request.method(),
        route = Empty,
        client_ip = Empty,
        partner = Empty,
        key = Empty,
        user = Empty,
        trace_id = Empty,
        parent_id = Empty,
        span_id = Empty,
    );
    let trace = Trace::of(request.headers(), app.spans());
    if let Some(trace) = &trace {
        trace.record(&span);
    }
    let mut response = next.run(request).instrument(span.clone()).await;
    let error = response.extensions_mut().remove::<Arc<ApiError>>();
    if let Some(error) = &error {
        rescue(&mut response, &app, (error, request_id), representation);
    }
    if let Ok(value) = HeaderValue::from_str(&request_id.to_string()) {
        response.headers_mut().insert("x-request-id", value);
    }
    if let Some(trace) = &trace {
        trace.tell(response.headers_mut());
    }
    log(&span, &response, error.as_deref(), started);
    let answered = Answered {
        route: findings.0.route.get().map(MatchedPath::as_str),
        method: &method,
        status: response.status(),
        code: error.as_ref().map(|error| error.code().as_str()),
        by_our_fault: matches!(error.as_deref(), Some(ApiError::Internal { .. })),
        partner: findings.0.partner.get().copied(),
        took: started.elapsed(),
    };
    in_flight.end(&answered);
    if let Some((trace, spans)) = trace.filter(Trace::is_sampled).zip(app.spans()) {
        spans.leave(finished(trace, &answered, request_id, &app));
    }
    response
}

/// Names the route on the request's span and for the metrics; it stands inside the router, where the route is known.
pub(crate) async fn name_route(
    route: Option<MatchedPath>,
    request: Request,
    next: Next,
) -> Response<Body> {
    if let Some(route) = route {
        Span::current().record("route", route.as_str());
        if let Some(Findings(facts)) = request.extensions().get() {
            // Only this writes it, and once a request.
            let _ = facts.route.set(route);
        }
    }
    next.run(request).await
}

/// Returns the span of an answered request.
fn finished(
    trace: Trace,
    answered: &Answered<'_>,
    request: RequestId,
    app: &App,
) -> telemetry::span::Span {
    telemetry::span::Span {
        trace: trace.id,
        id: trace.span,
        parent: trace.parent,
        ended_at: app.heartbeat().time(),
        took_nanoseconds: i64::try_from(answered.took.as_nanos()).unwrap_or(i64::MAX),
        route: answered.route.map(str::to_owned),
        method: answered.method.clone(),
        status: answered.status,
        code: answered.code,
        request,
        partner: answered.partner,
    }
}

/// Gives an error its body, in the form that is asked for.
fn rescue(
    response: &mut Response<Body>,
    app: &App,
    (error, request_id): (&ApiError, RequestId),
    representation: Representation,
) {
    let allow = response
        .headers()
        .get(header::ALLOW)
        .and_then(|it| it.to_str().ok());
    let told = Told {
        error,
        request_id,
        allow,
        now: app.heartbeat().time(),
        public_url: &app.settings().public_url,
    };
    *response.body_mut() = Body::from(render(&told, representation));
    let headers = response.headers_mut();
    // The router has counted the empty body that the error came with.
    headers.remove(header::CONTENT_LENGTH);
    let media_type = HeaderValue::from_static(representation.media_type());
    headers.insert(header::CONTENT_TYPE, media_type);
    headers.insert(header::VARY, HeaderValue::from_static("Accept"));
}

/// Writes the one line: at info for what the caller sees as an answer, at warn and error for what is ours.
fn log(span: &Span, response: &Response<Body>, error: Option<&ApiError>, started: Instant) {
    let _in_span = span.enter();
    let status = response.status().as_u16();
    let code = error.map_or("", |error| error.code().as_str());
    let duration_ms = started.elapsed().as_secs_f64() * 1000.0;
    match error {
        Some(ApiError::Internal { source, at }) => {
            let cause = chain(source.as_ref());
            tracing::error!(status, code, duration_ms, cause, at = %at, "request failed by our fault");
        }
        Some(ApiError::Unavailable { source, .. }) => {
            let cause = chain(source.as_ref());
            tracing::warn!(
                status,
                code,
                duration_ms,
                cause,
                "request could not be served"
            );
        }
        Some(_) => tracing::info!(status, code, duration_ms, "request refused"),
        None => tracing::info!(status, duration_ms, "request served"),
    }
}

/// Returns an error's message and those of all its causes.
fn chain(error: &dyn Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        // Writing to a string cannot fail.
        let _ = write!(text, ": {error}");
        cause = error.source();
    }
    text
}
