//! Events as JSON for partners: as they are sent, and in lists with their delivery status.

use chrono::{DateTime, Utc};
use serde::Serialize;
use serde_json::value::RawValue;
use utoipa::{ToSchema, openapi::Ref};

use super::model::{DeliveryAttempt, DeliveryError, DeliveryStatus, Event, EventType};
use crate::values::{
    id::{EventId, OrderId},
    timestamp::Timestamp,
};

/// An event as it is sent to your endpoint.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Event, bound = "")]
// The schema is that of events with any data, so it does not depend on the type.
struct Payload<D = ()> {
    id: EventId,
    #[serde(rename = "type")]
    event_type: EventType,
    /// The number of the event among the order's events, counted from 1 without a gap.
    sequence: Option<i32>,
    occurred_at: Timestamp,
    #[schema(schema_with = data_schema)]
    data: D,
}

/// Returns the schema of the `data` of any event, which is declared where the orders are.
fn data_schema() -> Ref {
    Ref::from_schema_name("EventData")
}

/// Renders an event as it is sent.
pub(crate) fn render<D: Serialize>(
    id: EventId,
    event_type: EventType,
    sequence: Option<i32>,
    occurred_at: DateTime<Utc>,
    data: &D,
) -> serde_json::Result<String> {
    serde_json::to_string(&Payload {
        id,
        event_type,
        sequence,
        occurred_at: Timestamp::kst(occurred_at),
        data,
    })
}

/// An event and the status of its delivery.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = EventDelivery)]
pub(crate) struct EventView {
    pub id: EventId,
    #[serde(rename = "type")]
    pub event_type: EventType,
    /// The order that it is about.
    pub order_id: Option<OrderId>,
    /// The number of the event among the order's events, counted from 1 without a gap.
    pub sequence: Option<i32>,
    pub occurred_at: Timestamp,
    pub delivery_status: DeliveryStatus,
    /// Number of times it was sent.
    pub attempts: i32,
    /// When it was last sent.
    pub last_attempt_at: Option<Timestamp>,
    /// Status code of your endpoint's last response.
    pub last_response_code: Option<i32>,
    /// The cause if the last attempt failed; null if your endpoint accepted it or it was never sent.
    pub last_error: Option<DeliveryError>,
    /// When it is next sent.
    pub next_attempt_at: Option<Timestamp>,
    /// The event as it is sent.
    #[schema(value_type = Payload)]
    pub payload: Box<RawValue>,
}

impl From<Event> for EventView {
    fn from(event: Event) -> Self {
        Self {
            id: event.id,
            event_type: event.event_type,
            order_id: event.order,
            sequence: event.sequence,
            occurred_at: Timestamp::kst(event.occurred_at),
            delivery_status: event.delivery_status,
            attempts: event.attempts,
            last_attempt_at: event.last_attempt_at.map(Timestamp::kst),
            last_response_code: event.last_response_code,
            last_error: event.last_error,
            next_attempt_at: event.next_attempt_at.map(Timestamp::kst),
            payload: event.payload,
        }
    }
}

/// An attempt to deliver an event.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = DeliveryAttempt)]
pub(crate) struct AttemptView {
    /// When it began.
    pub attempted_at: Timestamp,
    /// Status code of your endpoint's response; null if there was none.
    pub status: Option<i32>,
    /// The cause if it failed; null if your endpoint accepted the event.
    pub error: Option<DeliveryError>,
    /// Its duration in milliseconds.
    pub duration_ms: i32,
}

impl From<DeliveryAttempt> for AttemptView {
    fn from(attempt: DeliveryAttempt) -> Self {
        Self {
            attempted_at: Timestamp::kst(attempt.at),
            status: attempt.response_code,
            error: attempt.error,
            duration_ms: attempt.duration_ms,
        }
    }
}
