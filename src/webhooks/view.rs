//! An endpoint as its partner reads it.

use serde::Serialize;
use utoipa::ToSchema;

use super::{
    model::{DisabledReason, Endpoint},
    signature::Secret,
};
use crate::{events::model::EventType, stamp::Stamp};

/// Where your events go.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = WebhookEndpoint)]
pub(crate) struct EndpointView {
    /// Where events are sent to.
    pub url: String,
    /// Whether they are. While they are not they wait, and follow in their order once they are again.
    pub enabled: bool,
    /// Which types are sent; null for all of them, those that are still to come included. A test is always sent.
    pub event_types: Option<Vec<EventType>>,
    /// Your own words.
    pub description: Option<String>,
    /// What deliveries are signed with: `whsec_` and 44 characters. Shown when it is made, and null ever after.
    pub secret: Option<String>,
    pub created_at: Stamp,
    /// When anything of this was last changed.
    pub updated_at: Stamp,
    /// Why LMN disabled the endpoint; null if it did not.
    pub disabled_reason: Option<DisabledReason>,
}

impl EndpointView {
    /// Shows an endpoint, with the secret that was just made, if there is one.
    pub(crate) fn new(endpoint: Endpoint, secret: Option<&Secret>) -> Self {
        Self {
            url: endpoint.url,
            enabled: endpoint.enabled,
            event_types: endpoint.event_types,
            description: endpoint.description,
            secret: secret.map(|it| it.expose().to_owned()),
            created_at: Stamp::kst(endpoint.created_at),
            updated_at: Stamp::kst(endpoint.updated_at),
            disabled_reason: endpoint.disabled_reason,
        }
    }
}
