//! The layer: reads the key and body of a write, waits for the write limit, and passes on a [`PendingWrite`].

use std::{
    convert::Infallible,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
    time::Duration,
};

use axum::{
    extract::Request,
    http::{HeaderMap, Method},
    response::{IntoResponse, Response},
};
use futures_util::future::Either;
use serde_json::{Map, Value};
use tokio::{sync::OwnedSemaphorePermit, time::timeout};
use tower::{Layer, Service};
use uuid::Uuid;

use super::{
    model::{self, Claim, Fingerprint},
    store::{ReadReplies, RecentKeys},
    write::{Binding, Handover, PendingWrite},
};
use crate::{
    config::{Limits, Server, Settings},
    database::{Batcher, Database},
    errors::{ApiError, Fault, Issue, IssueKind},
    http::{
        body::{self, AcceptsCsv, ParsedBody},
        headers::read_user,
    },
    request::{CallerSemaphores, IdempotencyStatus, RequestContext},
    telemetry::metrics::Metrics,
    values::id::KeyScope,
};

/// The layer, with the write limits of all callers.
#[derive(Debug, Clone)]
pub(crate) struct IdempotencyLayer(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    database: Database,
    replies: Batcher<ReadReplies>,
    settings: Arc<Settings>,
    /// Body members that a mismatch names separately.
    named_members: [&'static str; 2],
    write_limit: WriteLimit,
    recent: RecentKeys,
}

impl IdempotencyLayer {
    /// Creates the layer, with no write in progress.
    pub(crate) fn new(
        database: Database,
        replies: Batcher<ReadReplies>,
        metrics: Metrics,
        settings: Arc<Settings>,
        named_members: [&'static str; 2],
    ) -> Self {
        Self(Arc::new(Inner {
            write_limit: WriteLimit::new(&settings.limits, metrics),
            recent: RecentKeys::new(),
            database,
            replies,
            settings,
            named_members,
        }))
    }
}

impl<S> Layer<S> for IdempotencyLayer {
    type Service = Idempotency<S>;

    fn layer(&self, inner: S) -> Self::Service {
        Idempotency {
            layer: self.clone(),
            inner,
        }
    }
}

/// A service that performs each write once per key.
#[derive(Debug, Clone)]
pub(crate) struct Idempotency<S> {
    layer: IdempotencyLayer,
    inner: S,
}

impl<S> Service<Request> for Idempotency<S>
where
    S: Service<Request, Response = Response, Error = Infallible> + Clone + Send + 'static,
    S::Future: Send,
{
    type Response = Response;
    type Error = Infallible;
    type Future =
        Either<S::Future, Pin<Box<dyn Future<Output = Result<Response, Infallible>> + Send>>>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        self.inner.poll_ready(context)
    }

    fn call(&mut self, request: Request) -> Self::Future {
        if matches!(*request.method(), Method::GET | Method::HEAD) {
            return Either::Left(self.inner.call(request));
        }
        let (layer, inner) = (self.layer.clone(), self.inner.clone());
        Either::Right(Box::pin(async move {
            let written = layer.write(request, inner).await;
            Ok(written.unwrap_or_else(ApiError::into_response))
        }))
    }
}

impl IdempotencyLayer {
    /// Passes a write on once its key and body are read and the write limit has a permit.
    ///
    /// Key and body are read first, so that a slow caller holds neither a permit nor a connection.
    async fn write<S>(&self, mut request: Request, mut service: S) -> Result<Response, ApiError>
    where
        S: Service<Request, Response = Response, Error = Infallible>,
    {
        let inner = &self.0;
        let context = RequestContext::of(request.extensions())?.clone();
        let scope = context.key_scope()?;
        let key = match takes_key(request.method()) {
            true => Some(read_key(request.headers())?),
            false => None,
        };
        let members = Arc::new(read_body(&inner.settings.server, &context, &mut request).await?);
        let claim = key.map(|key| Claim {
            scope,
            key,
            fingerprint: {
                let (method, uri) = (request.method(), request.uri());
                Fingerprint::of(method, uri, &members, inner.named_members)
            },
            user_issue: read_user(request.headers()).err(),
        });
        if let Some(claim) = claim.as_ref().filter(|it| inner.recent.contains(it))
            && let Some(stored) = inner.replies.read((scope, claim.key)).await?
        {
            return claim.answer(stored, &context);
        }
        let pending = |claim| PendingWrite::new(inner.database.clone(), claim, context.clone());
        let handover = claim.clone().map(|claim| Handover::new(pending(claim)));
        request.extensions_mut().insert(ParsedBody(members));
        if let Some(handover) = &handover {
            request.extensions_mut().insert(handover.clone());
        }
        let _permit = inner.write_limit.acquire(scope).await?;
        let Ok(response) = service.call(request).await;
        let Some((handover, claim)) = handover.zip(claim) else {
            return Ok(response);
        };
        let response = conclude(response, &handover, &context).await;
        if matches!(
            context.idempotency(),
            IdempotencyStatus::Bound | IdempotencyStatus::Replayed
        ) {
            inner.recent.insert(&claim);
        }
        response
    }
}

/// Checks the response to a write: a success must have committed, and a refusal is returned only if the key is free.
async fn conclude(
    response: Response,
    handover: &Handover,
    context: &RequestContext,
) -> Result<Response, ApiError> {
    let pending = handover.take();
    if response.status().is_success() {
        return match (pending, context.idempotency()) {
            (Some(_), _) | (None, IdempotencyStatus::Unbound) => {
                Err(ApiError::internal("a write succeeded without a commit"))
            }
            _ => Ok(response),
        };
    }
    // Refused for its query or body before the key was looked up. A replay or a reuse of the key takes precedence.
    match pending {
        Some(pending) => match pending.bind(None).await? {
            Binding::Bound(_) => Ok(response),
            Binding::Answered(answer) => Ok(answer),
        },
        None => Ok(response),
    }
}

/// Returns whether a request carries a key and has a method that takes one.
pub(crate) fn carries_key(request: &Request) -> bool {
    let key = request.headers().get(model::HEADER);
    key.is_some_and(|key| !key.is_empty()) && takes_key(request.method())
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
            "`Idempotency-Key` was sent more than once, with different values",
        );
        return Err(fault.at("Idempotency-Key", None).into());
    }
    model::read_key(text).ok_or_else(|| not_a_key(text).into())
}

/// Reads and parses the body. The body of a DELETE is ignored; an empty body is an empty object.
async fn read_body(
    server: &Server,
    context: &RequestContext,
    request: &mut Request,
) -> Result<Map<String, Value>, ApiError> {
    if request.method() == Method::DELETE {
        return Ok(Map::new());
    }
    context.restart_deadline(server.body);
    let accepts_csv = request.extensions().get::<AcceptsCsv>().is_some();
    let body = std::mem::take(request.body_mut());
    let read = body::read(
        request.headers(),
        body,
        server.body_bytes_max,
        server.body,
        accepts_csv,
    );
    let members = read.await;
    context.restart_deadline(Duration::ZERO);
    members
}

/// Returns the issue of a header that is not a key.
fn not_a_key(received: &str) -> Issue {
    Fault::new(
        IssueKind::InvalidFormat,
        "`Idempotency-Key` must be a UUID v4 in its 36-character form",
    )
    .expected("UUID v4")
    .at("Idempotency-Key", Some(received))
}

/// The write limit: the number of writes of one partner or operator that run at once on one replica.
///
/// It prevents the retries of one caller from occupying the whole connection pool. Further writes wait in order, and
/// are refused with 503 after the maximum wait.
#[derive(Debug)]
struct WriteLimit {
    callers: CallerSemaphores,
    /// The maximum wait.
    wait: Duration,
    metrics: Metrics,
}

impl WriteLimit {
    /// Creates the limits, with no write in progress.
    fn new(settings: &Limits, metrics: Metrics) -> Self {
        Self {
            callers: CallerSemaphores::new(settings.partner_writes_max),
            wait: settings.partner_write_wait,
            metrics,
        }
    }

    /// Waits for a permit of the caller's limit. The write holds the permit until its response is ready.
    async fn acquire(&self, caller: KeyScope) -> Result<OwnedSemaphorePermit, ApiError> {
        let semaphore = self.callers.of(caller);
        if let Ok(permit) = semaphore.clone().try_acquire_owned() {
            return Ok(permit);
        }
        let waiting = self.metrics.begin_write_wait();
        let permit = timeout(self.wait, semaphore.acquire_owned()).await;
        drop(waiting);
        match permit {
            Ok(Ok(permit)) => Ok(permit),
            Ok(Err(closed)) => Err(ApiError::internal(closed)),
            Err(waited) => {
                self.metrics.count_write_wait_timeout();
                Err(ApiError::unavailable(waited))
            }
        }
    }
}
