//! `GET`, `PUT` and `DELETE /v1/webhook_endpoint`, its secret and its test, and `POST /v1/events/{id}/redeliver`.

use std::sync::Arc;

use axum::{
    extract::State,
    http::{HeaderValue, StatusCode, header},
    response::{IntoResponse, Response},
};
use serde::Serialize;
use utoipa::ToSchema;

use super::{
    changes::{self, RedeliverError, TestError},
    client,
    model::{DESCRIPTION_CHARACTERS_MAX, DisabledReason, Endpoint, EndpointRequest},
    signature::Secret,
    store,
    target::{Malformed, Refused, Target},
};
use crate::{
    config::Settings,
    database::Database,
    errors::{ApiError, Fault, IssueKind, Issues},
    events::model::{EventType, EventView},
    http::{
        body::{Answer, Input},
        etag::Conditional,
        extract::{Id, Query},
        fields::{Fields, FromBody},
    },
    idempotency::{Reply, Write},
    request::Caller,
    values::{id::EventId, timestamp::Timestamp},
};

/// The path of the endpoint, for the `Location` header.
const LOCATION: &str = "/v1/webhook_endpoint";

/// Your webhook endpoint.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = WebhookEndpoint)]
pub(crate) struct EndpointView {
    /// The URL that events are sent to, as you wrote it.
    pub url: String,
    /// Whether events are sent. While it is `false`, events stay pending; they are sent in order once it is `true`.
    pub enabled: bool,
    /// The event types that are sent; null for all, including types added later. A test event is always sent.
    pub event_types: Option<Vec<EventType>>,
    /// Your description of the endpoint.
    pub description: Option<String>,
    /// The secret that signs deliveries: `whsec_` and 44 characters. Shown once when it is created, then null.
    pub secret: Option<String>,
    pub created_at: Timestamp,
    /// The time of the last change to any of these members.
    pub updated_at: Timestamp,
    /// The reason why LMN disabled the endpoint; null if LMN did not disable it.
    pub disabled_reason: Option<DisabledReason>,
}

impl EndpointView {
    /// Creates the view of an endpoint, with the secret if it was just created.
    pub(crate) fn new(endpoint: Endpoint, secret: Option<&Secret>) -> Self {
        Self {
            url: endpoint.url,
            enabled: endpoint.enabled,
            event_types: endpoint.event_types,
            description: endpoint.description,
            secret: secret.map(|it| it.expose().to_owned()),
            created_at: Timestamp::kst(endpoint.created_at),
            updated_at: Timestamp::kst(endpoint.updated_at),
            disabled_reason: endpoint.disabled_reason,
        }
    }
}

/// The complete webhook endpoint. A member that is left out counts as null. Unknown members are ignored.
#[derive(Debug, ToSchema)]
pub(crate) struct PutEndpoint {
    /// An https URL on port 443 without a user name or password, at most 2048 characters; in the sandbox also http. Its
    /// host must have public addresses only, which is checked again at every delivery.
    #[schema(max_length = 2048, value_type = String)]
    url: Target,
    /// Whether events are sent; null means `true`. While it is `false`, events stay pending.
    enabled: Option<bool>,
    /// The event types to send, at least one; null means all.
    #[schema(min_items = 1, max_items = 100)]
    event_types: Option<Vec<EventType>>,
    /// Your description of the endpoint, at most 256 characters.
    #[schema(max_length = 256)]
    description: Option<String>,
}

impl FromBody for PutEndpoint {
    fn from_body(fields: &mut Fields<'_>) -> Option<Self> {
        let url = fields.text("url").map(|text| Target::parse(&text));
        let enabled = fields.optional_bool("enabled");
        let event_types = fields.optional_words("event_types");
        let description = fields.optional_text("description", DESCRIPTION_CHARACTERS_MAX);
        let url = match url? {
            Ok(url) => url,
            Err(malformed) => {
                fields.complain("url", malformed.fault());
                return None;
            }
        };
        Some(Self {
            url,
            enabled,
            event_types,
            description,
        })
    }
}

impl Malformed {
    fn fault(self) -> Fault {
        let kind = match self {
            Self::NotAUrl => IssueKind::InvalidFormat,
            Self::Scheme | Self::Credentials => IssueKind::InvalidValue,
            Self::TooLong => IssueKind::OutOfRange,
        };
        Fault::new(kind, self.to_string())
    }
}

/// Returns the error for a URL that must not be reached.
fn refuse(url: &str, refused: &[Refused]) -> ApiError {
    let mut issues = Issues::default();
    for it in refused {
        let fault = Fault::new(IssueKind::InvalidValue, it.to_string());
        issues.push(fault.at("url", Some(url)));
    }
    if refused.contains(&Refused::AddressNotPublic) {
        issues.give_reason("address_not_public");
    }
    issues.into()
}

/// Returns your webhook endpoint.
///
/// Its secret is not shown again: `secret` is null.
#[utoipa::path(get, path = "/v1/webhook_endpoint", tag = "webhooks", params(Conditional), responses(
    (status = 200, description = "The endpoint, without its secret.", body = EndpointView),
    (status = 404, description = "webhook_endpoint_not_found"),
))]
pub(crate) async fn get_webhook_endpoint(
    State(database): State<Database>,
    caller: Caller,
    conditional: Conditional,
    _: Query<()>,
) -> Result<Response, ApiError> {
    let mut connection = database.acquire().await?;
    let endpoint = store::find(&mut connection, caller.partner()).await?;
    let endpoint = endpoint.ok_or(ApiError::WebhookEndpointNotFound)?;
    conditional.answer(&EndpointView::new(endpoint, None))
}

/// Creates or updates your webhook endpoint.
///
/// A partner has one endpoint. The request needs no Idempotency-Key, because repeating it changes nothing. Only the
/// response that creates the endpoint contains its secret; if that response was lost, rotate the secret. Enabling the
/// endpoint or giving it another URL sends its pending events at once.
#[utoipa::path(put, path = "/v1/webhook_endpoint", tag = "webhooks", request_body = PutEndpoint, responses(
    (status = 201, description = "The new endpoint, with its secret.", body = EndpointView),
    (status = 200, description = "The updated endpoint.", body = EndpointView),
))]
pub(crate) async fn put_webhook_endpoint(
    State(database): State<Database>,
    State(settings): State<Arc<Settings>>,
    caller: Caller,
    Input((), body): Input<(), PutEndpoint>,
) -> Result<Response, ApiError> {
    let is_enabled = body.enabled.unwrap_or(true);
    // The DNS lookup happens before the transaction. Disabling an endpoint at the same URL needs no lookup.
    if is_enabled || !is_there(&database, &caller, &body.url).await? {
        let guard = &settings.webhooks.guard;
        let checked = client::check(guard, &body.url, settings.environment).await;
        checked.map_err(|refused| refuse(body.url.as_str(), &refused))?;
    }
    let wish = EndpointRequest {
        target: body.url,
        enabled: is_enabled,
        event_types: body.event_types,
        description: body.description,
    };
    let mut tx = database.begin().await?;
    let put = changes::put(&mut tx, &caller.actor(), caller.partner(), &wish).await;
    let (endpoint, secret) = put?;
    tx.commit().await?;
    let answer = Answer(EndpointView::new(endpoint, secret.as_ref()));
    Ok(match secret {
        Some(_) => {
            let location = [(header::LOCATION, HeaderValue::from_static(LOCATION))];
            (StatusCode::CREATED, location, answer).into_response()
        }
        None => answer.into_response(),
    })
}

/// Returns whether the caller's endpoint already has this URL.
async fn is_there(database: &Database, caller: &Caller, url: &Target) -> Result<bool, ApiError> {
    let mut connection = database.acquire().await?;
    let endpoint = store::find(&mut connection, caller.partner()).await?;
    Ok(endpoint.is_some_and(|it| it.url == url.as_str()))
}

/// Deletes your webhook endpoint.
///
/// Its pending events are skipped. An endpoint that you create later has another secret. A body is ignored.
#[utoipa::path(delete, path = "/v1/webhook_endpoint", tag = "webhooks", responses(
    (status = 200, description = "The deleted endpoint.", body = EndpointView),
    (status = 404, description = "webhook_endpoint_not_found"),
))]
pub(crate) async fn delete_webhook_endpoint(
    caller: Caller,
    mut write: Write,
    _: Query<()>,
) -> Result<Response, ApiError> {
    let endpoint = changes::delete(write.tx(), &caller.actor(), caller.partner()).await?;
    let endpoint = endpoint.ok_or(ApiError::WebhookEndpointNotFound)?;
    let reply = Reply::json(StatusCode::OK, &EndpointView::new(endpoint, None))?;
    write.commit(reply).await
}

/// Replaces the secret of your webhook endpoint.
///
/// For 24 hours deliveries are also signed with the former secret; another rotation ends that secret at once. The new
/// secret is shown only in this response: a replay has null in its place, the one exception to byte-identical replays.
#[utoipa::path(post, path = "/v1/webhook_endpoint/rotate_secret", tag = "webhooks", responses(
    (status = 200, description = "The endpoint, with its new secret.", body = EndpointView),
    (status = 404, description = "webhook_endpoint_not_found"),
))]
pub(crate) async fn rotate_webhook_secret(
    caller: Caller,
    mut write: Write,
    _: Query<()>,
) -> Result<Response, ApiError> {
    let rotated = changes::rotate(write.tx(), &caller.actor(), caller.partner()).await?;
    let (endpoint, secret) = rotated.ok_or(ApiError::WebhookEndpointNotFound)?;
    let stored = EndpointView::new(endpoint.clone(), None);
    let shown = EndpointView::new(endpoint, Some(&secret));
    write
        .commit(Reply::json(StatusCode::OK, &stored)?.showing(&shown)?)
        .await
}

/// Sends a test event to your webhook endpoint.
///
/// Its type is `webhook.test`, and it belongs to no order. It is sent even if `event_types` does not list its type, and
/// stays pending while the endpoint is disabled.
#[utoipa::path(post, path = "/v1/webhook_endpoint/test", tag = "webhooks", responses(
    (status = 202, description = "The event. Read it again to see the state of its delivery.", body = EventView),
    (status = 404, description = "webhook_endpoint_not_found"),
))]
pub(crate) async fn test_webhook_endpoint(
    caller: Caller,
    mut write: Write,
    _: Query<()>,
) -> Result<Response, ApiError> {
    let event = changes::test(write.tx(), caller.partner()).await?;
    let event = event.ok_or(ApiError::WebhookEndpointNotFound)?;
    let reply = Reply::json(StatusCode::ACCEPTED, &EventView::from(event))?;
    write.commit(reply).await
}

/// Sends an event again.
///
/// The event keeps its id, and is sent outside its order's sequence, even if `event_types` does not list its type. An
/// event that is still pending is sent as soon as its sequence allows; one that is being sent is sent again after that.
#[utoipa::path(post, path = "/v1/events/{id}/redeliver", tag = "webhooks", params(Id::<EventId>), responses(
    (status = 202, description = "The event. Read it again to see the state of its delivery.", body = EventView),
    (status = 404, description = "event_not_found webhook_endpoint_not_found"),
))]
pub(crate) async fn redeliver_event(
    caller: Caller,
    mut write: Write,
    _: Query<()>,
    Id(id): Id<EventId>,
) -> Result<Response, ApiError> {
    let event = changes::redeliver(write.tx(), &caller.actor(), caller.partner(), id).await?;
    let reply = Reply::json(StatusCode::ACCEPTED, &EventView::from(event))?;
    write.commit(reply).await
}

impl From<TestError> for ApiError {
    #[track_caller]
    fn from(error: TestError) -> Self {
        match error {
            TestError::Unwritable(error) => Self::internal(error),
            TestError::Database(error) => error.into(),
        }
    }
}

impl From<RedeliverError> for ApiError {
    #[track_caller]
    fn from(error: RedeliverError) -> Self {
        match error {
            RedeliverError::NoEvent(id) => Self::no_event(id),
            RedeliverError::NoEndpoint => Self::WebhookEndpointNotFound,
            RedeliverError::Database(error) => error.into(),
        }
    }
}
