//! The layer: read the key, take it or find what it did, and hand a [`Write`] inward.

use std::sync::Arc;

use axum::{
    extract::{Extension, MatchedPath, Request, State},
    http::{HeaderMap, Method},
    middleware::Next,
    response::Response,
};
use serde_json::{Map, Value};
use uuid::Uuid;

use super::{
    model::{self, Fingerprint, Outcome},
    write::{Claim, Fate, Handover, Taken, Write, answer},
};
use crate::{
    app::App,
    error::{ApiError, Fault, Issue, IssueKind},
    gate::caller::Caller,
    http::{body, deadline::Deadline, extract::ParsedBody, remarks::Remarks},
    id::VehicleId,
};

/// The one route whose writes lock a car along with their key.
const ORDERS: &str = "/v1/orders";

/// What a write asks for, read whole.
#[derive(Debug, Clone)]
struct Asked {
    claim: Claim,
    members: Arc<Map<String, Value>>,
    fate: Fate,
}

/// Reads the key and the body of every POST and DELETE, and the body of a PUT, which needs no key; other methods pass by.
///
/// It stands before the lane and before any connection is taken, so that a slow caller holds neither.
pub(crate) async fn read_whole(
    State(app): State<App>,
    Extension(deadline): Extension<Deadline>,
    caller: Caller,
    mut request: Request,
    next: Next,
) -> Result<Response, ApiError> {
    if request.method() == Method::PUT {
        let members = read_body(&app, &deadline, &mut request).await?;
        request
            .extensions_mut()
            .insert(ParsedBody(Arc::new(members)));
        return Ok(next.run(request).await);
    }
    if !takes_key(request.method()) {
        return Ok(next.run(request).await);
    }
    let key = read_key(request.headers())?;
    let fate = request.extensions().get::<Fate>().cloned();
    let fate = fate.ok_or_else(|| ApiError::internal("the route stands outside the shell"))?;
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
        fate,
    });
    Ok(next.run(request).await)
}

/// Makes every POST and DELETE happen once under its key; other methods pass by.
pub(crate) async fn once(
    State(app): State<App>,
    mut request: Request,
    next: Next,
) -> Result<Response, ApiError> {
    let Some(Asked {
        claim,
        members,
        fate,
    }) = request.extensions_mut().remove()
    else {
        return Ok(next.run(request).await);
    };
    let car = car_to_order(&request, &members);
    let mut tx = app.begin().await?;
    let is_car_locked = match claim.bind(&mut tx, car.as_ref()).await? {
        Taken::New { is_car_locked } => is_car_locked,
        Taken::Before(recalled) => return answer(claim.judge(recalled)?, &fate),
    };
    let car = car.filter(|_| is_car_locked);
    let write = Write::new(app, tx, claim, car, fate.clone());
    request.extensions_mut().insert(Handover::new(write));
    request.extensions_mut().insert(ParsedBody(members));
    let response = next.run(request).await;
    if fate.get() == Outcome::Unbound && response.status().is_success() {
        return Err(ApiError::internal("a write succeeded without a commit"));
    }
    Ok(response)
}

/// Returns the car that a request orders. A body may name cars elsewhere, too; there it means nothing.
fn car_to_order(request: &Request, members: &Map<String, Value>) -> Option<VehicleId> {
    let route = request.extensions().get::<MatchedPath>();
    let orders = route.is_some_and(|it| it.as_str() == ORDERS) && request.method() == Method::POST;
    let car = members.get("vehicle_id").filter(|_| orders)?;
    VehicleId::parse(car.as_str()?)
}

/// Remarks that the key's fate is unknown, on every POST and DELETE that carries one, until more is known.
///
/// It stands in the shell, so that it also holds for what is refused before the look-up.
pub(crate) async fn foretell(
    Extension(remarks): Extension<Remarks>,
    mut request: Request,
    next: Next,
) -> Response {
    let keyed = request
        .headers()
        .get(model::HEADER)
        .is_some_and(|key| !key.is_empty());
    if keyed && takes_key(request.method()) {
        request.extensions_mut().insert(Fate::unknown(remarks));
    }
    next.run(request).await
}

fn takes_key(method: &Method) -> bool {
    matches!(*method, Method::POST | Method::DELETE)
}

fn read_key(headers: &HeaderMap) -> Result<Uuid, ApiError> {
    let mut sent = headers.get_all(model::HEADER).iter();
    let Some(first) = sent.next().filter(|value| !value.is_empty()) else {
        return Err(ApiError::MissingIdempotencyKey);
    };
    let text = first.to_str().unwrap_or("?");
    if sent.any(|other| other != first) {
        let fault = Fault::new(
            IssueKind::Duplicate,
            "`Idempotency-Key` was sent twice, with different values",
        );
        return Err(fault.at("Idempotency-Key", None).into());
    }
    model::read_key(text).ok_or_else(|| not_a_key(text).into())
}

/// Reads and parses the body; a DELETE's is ignored, and none at all is an empty object.
async fn read_body(
    app: &App,
    deadline: &Deadline,
    request: &mut Request,
) -> Result<Map<String, Value>, ApiError> {
    if request.method() == Method::DELETE {
        return Ok(Map::new());
    }
    if body::is_absent(request.headers(), request.body()) {
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
