//! The layer: read the key, take it or find what it did, and hand a [`Write`] inward.

use std::sync::Arc;

use axum::{
    extract::{Extension, Request, State},
    http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode},
    middleware::Next,
    response::{IntoResponse, Response},
};
use serde_json::{Map, Value};
use uuid::Uuid;

use super::{
    model::{self, Fingerprint, Outcome},
    write::{Claim, Handover, OutcomeCell, Write},
};
use crate::{
    app::App,
    error::{ApiError, Fault, Issue, IssueKind},
    gate::caller::Caller,
    http::{body, deadline::Deadline, extract::ParsedBody},
};

const STATUS: HeaderName = HeaderName::from_static("idempotency-status");
const REPLAYED: HeaderName = HeaderName::from_static("idempotent-replayed");

/// What a write asks for, read whole.
#[derive(Debug, Clone)]
struct Asked {
    claim: Claim,
    members: Arc<Map<String, Value>>,
}

/// Reads the key and the body of every POST and DELETE; other methods pass by.
///
/// It stands before the lane and before any connection is taken, so that a slow caller holds neither.
pub(crate) async fn read_whole(
    State(app): State<App>,
    Extension(deadline): Extension<Deadline>,
    caller: Caller,
    mut request: Request,
    next: Next,
) -> Result<Response, ApiError> {
    if !matches!(*request.method(), Method::POST | Method::DELETE) {
        return Ok(next.run(request).await);
    }
    let key = read_key(request.headers())?;
    let members = read_body(&app, &deadline, &mut request).await?;
    let (method, uri) = (request.method().as_str(), request.uri());
    let query = uri.query().unwrap_or_default();
    let fingerprint = Fingerprint::of(method, uri.path(), query, &members);
    let claim = Claim {
        partner: caller.partner(),
        key,
        fingerprint,
    };
    request.extensions_mut().insert(Asked {
        claim,
        members: Arc::new(members),
    });
    Ok(next.run(request).await)
}

/// Makes every POST and DELETE happen once under its key; other methods pass by.
pub(crate) async fn once(
    State(app): State<App>,
    mut request: Request,
    next: Next,
) -> Result<Response, ApiError> {
    let Some(Asked { claim, members }) = request.extensions_mut().remove() else {
        return Ok(next.run(request).await);
    };
    let mut tx = app.begin().await?;
    if let Some(recalled) = claim.bind(&mut tx).await? {
        return Ok(match claim.judge(recalled) {
            Ok(mut reply) => {
                reply.status = StatusCode::OK;
                marked(reply.into_response(), Outcome::Replayed)
            }
            Err(reuse) => marked(reuse.into_response(), Outcome::Conflict),
        });
    }
    let outcome = OutcomeCell::unbound();
    let write = Write::new(app, tx, claim, outcome.clone());
    request.extensions_mut().insert(Handover::new(write));
    request.extensions_mut().insert(ParsedBody(members));
    let response = next.run(request).await;
    let outcome = outcome.get();
    if outcome == Outcome::Unbound && response.status().is_success() {
        let bug = ApiError::internal("a write succeeded without a commit");
        return Ok(marked(bug.into_response(), outcome));
    }
    Ok(marked(response, outcome))
}

/// Says what became of the key, on every answer to a request that carried one.
///
/// It stands in the shell: whatever was refused before the look-up, or cut off after it, is unknown.
pub(crate) async fn tell_outcome(request: Request, next: Next) -> Response {
    let keyed = request
        .headers()
        .get(model::HEADER)
        .is_some_and(|key| !key.is_empty());
    let mutating = matches!(*request.method(), Method::POST | Method::DELETE);
    let response = next.run(request).await;
    if !(keyed && mutating) || response.headers().contains_key(STATUS) {
        return response;
    }
    marked(response, Outcome::Unknown)
}

fn marked(mut response: Response, outcome: Outcome) -> Response {
    let replayed = if outcome == Outcome::Replayed {
        "true"
    } else {
        "false"
    };
    let headers = response.headers_mut();
    headers.insert(STATUS, HeaderValue::from_static(outcome.as_str()));
    headers.insert(REPLAYED, HeaderValue::from_static(replayed));
    response
}

fn read_key(headers: &HeaderMap) -> Result<Uuid, ApiError> {
    let mut sent = headers.get_all(model::HEADER).iter();
    let Some(first) = sent.next().filter(|value| !value.is_empty()) else {
        return Err(ApiError::MissingIdempotencyKey);
    };
    let text = first.to_str().unwrap_or("?");
    let key = model::read_key(text).filter(|_| sent.all(|other| other == first));
    key.ok_or_else(|| not_a_key(text).into())
}

/// Reads and parses the body; a DELETE's is ignored.
async fn read_body(
    app: &App,
    deadline: &Deadline,
    request: &mut Request,
) -> Result<Map<String, Value>, ApiError> {
    if request.method() == Method::DELETE {
        return Ok(Map::new());
    }
    body::require_json(request.headers())?;
    let server = &app.settings().server;
    deadline.restart(server.body);
    let bytes = body::read(
        std::mem::take(request.body_mut()),
        server.body_bytes_max,
        server.body,
    )
    .await?;
    deadline.restart(std::time::Duration::ZERO);
    body::parse(&bytes)
}

/// Describes a header that is not a key.
fn not_a_key(received: &str) -> Issue {
    Fault::new(
        IssueKind::InvalidFormat,
        "`Idempotency-Key` must be a UUID v4 in its 36-character form",
    )
    .expected("UUID v4")
    .at("Idempotency-Key", Some(received))
}
