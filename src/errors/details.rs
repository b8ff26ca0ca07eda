//! The `details` of an error.

use serde_json::{Map, Value, json};

use super::ApiError;

/// The state of an order that refused an action, and the actions that it allows.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Refusal {
    /// The order's status, if there is an order.
    pub current_status: Option<&'static str>,
    /// The order's fulfillment detail, once it ships.
    pub current_fulfillment_detail: Option<&'static str>,
    /// The action that was requested.
    pub requested_action: Option<&'static str>,
    /// The actions that the partner can take now.
    pub allowed_actions: Vec<&'static str>,
}

impl ApiError {
    /// Returns the members of `error.details`.
    pub fn details(&self) -> Map<String, Value> {
        let details = match self {
            Self::Validation(issues) => {
                let mut details = json!({"issues": issues.all()});
                let more = [("field", issues.field()), ("reason", issues.reason())];
                let more = more
                    .into_iter()
                    .filter_map(|(name, it)| Some((name.to_owned(), it?.into())));
                if let Some(members) = details.as_object_mut() {
                    members.extend(more);
                }
                details
            }
            Self::InvalidCursor { reason } | Self::InvalidApiKey { reason } => {
                json!({"reason": reason})
            }
            Self::MissingMaxBid {
                listing_usd,
                received,
            } => json!({"listing_usd": listing_usd, "received": received}),
            Self::IpNotAllowed { client_ip } => json!({"client_ip": client_ip}),
            Self::NotThePartnersStep(refusal) => refusal.details("partner_not_authorized"),
            Self::OutOfSequence(refusal) => refusal.details("out_of_sequence"),
            Self::VehicleShared(refusal) => refusal.details("vehicle_shared"),
            Self::Forced(error) => return error.details(),
            Self::PastOrderCutoff { cutoff_at, now } => json!({"cutoff_at": cutoff_at, "now": now}),
            Self::DuplicateOrder { existing_order_id } => {
                json!({"existing_order_id": existing_order_id})
            }
            Self::VehicleUnavailable { vehicle_id } => json!({"vehicle_id": vehicle_id}),
            Self::IdempotencyKeyReused {
                original_vehicle_id,
                mismatch,
            } => {
                json!({"original_vehicle_id": original_vehicle_id, "mismatch": mismatch})
            }
            Self::RateLimited(throttled) => throttled.details(),
            Self::Unavailable { .. } => json!({"retry_after": self.retry_after_seconds()}),
            Self::MissingIdempotencyKey
            | Self::MissingApiKey
            | Self::VehicleNotFound(_)
            | Self::OrderNotFound(_)
            | Self::EventNotFound(_)
            | Self::WebhookEndpointNotFound
            | Self::OrderVehicleSnapshotNotFound(_)
            | Self::NotFound(_)
            | Self::MethodNotAllowed
            | Self::PayloadTooLarge { .. }
            | Self::UnsupportedMediaType
            | Self::RequestTimeout
            | Self::Internal { .. } => Value::Null,
        };
        let Value::Object(members) = details else {
            return Map::new();
        };
        members
    }
}

impl Refusal {
    fn details(&self, reason: &str) -> Value {
        json!({
            "reason": reason,
            "current_status": self.current_status,
            "current_fulfillment_detail": self.current_fulfillment_detail,
            "allowed_actions": self.allowed_actions,
        })
    }
}
