//! The JSON form of a webhook endpoint in the partner API.

use serde::Serialize;
use utoipa::ToSchema;

use super::{
    model::{DisabledReason, Endpoint},
    signature::Secret,
};
use crate::{events::model::EventType, values::timestamp::Timestamp};

/// Your webhook endpoint.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = WebhookEndpoint)]
pub(crate) struct EndpointView {
    /// The URL that events are sent to.
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
