//! Events, their types, and their JSON for partners: as they are sent, and in lists with their delivery status. Pure.

use chrono::{DateTime, Utc};
use serde::Serialize;
use serde_json::value::RawValue;
use utoipa::{ToSchema, openapi::Ref};

use crate::values::{
    id::{EventId, OrderId, PartnerId, VehicleId},
    string_enum::string_enum,
    timestamp::Timestamp,
};

string_enum! {
    /// The type of an event.
    EventType {
        /// The status of an order changed.
        StatusChanged = "order.status_changed",
        /// The sub-status or the shipment details of a shipping order changed.
        FulfillmentUpdated = "order.fulfillment_updated",
        /// The auction of an open order's vehicle was moved.
        AuctionRescheduled = "order.auction_rescheduled",
        /// The listing price of the vehicle of an order in `proceed` changed.
        PriceUpdated = "order.price_updated",
        /// The vehicle of a former order is listed again.
        ReAuctioned = "order.re_auctioned",
        /// LMN corrected the amounts of an order that is `secured` or later.
        AmountsCorrected = "order.amounts_corrected",
        /// A test of the endpoint, requested by the partner.
        WebhookTest = "webhook.test",
    }
}

string_enum! {
    /// The delivery status of an event.
    DeliveryStatus {
        /// Waiting to be sent, or to be sent again.
        Pending = "pending",
        /// Acknowledged by the partner's endpoint.
        Delivered = "delivered",
        /// Given up; it can be sent again on request.
        Failed = "failed",
        /// Not sent: there is no endpoint, or it does not select this type.
        DeliverySkipped = "delivery_skipped",
    }
}

string_enum! {
    /// The cause of a failed attempt to deliver an event.
    DeliveryError {
        /// Your endpoint did not respond in time, or did not accept the connection in time.
        Timeout = "timeout",
        /// The TLS handshake failed, for example because the certificate has expired or is for another host.
        Tls = "tls",
        /// The host name could not be resolved.
        Dns = "dns",
        /// The host refused the connection.
        Refused = "refused",
        /// LMN does not connect to the URL: the host has an address that is not public, or the scheme or the port is not
        /// allowed.
        AddressNotPublic = "address_not_public",
        /// The connection could not be opened for another reason, or it ended without a valid HTTP response.
        Connection = "connection",
        /// Your endpoint responded with a status other than 2xx.
        Status = "status",
    }
}

/// The number of attempts that are kept for each event.
pub(crate) const ATTEMPTS_KEPT: i32 = 20;

/// An attempt to deliver an event.
#[derive(Debug, Clone, Copy)]
pub(crate) struct DeliveryAttempt {
    /// When it began, by the partner's clock.
    pub at: DateTime<Utc>,
    /// Status code of the endpoint's response.
    pub response_code: Option<i32>,
    /// The cause if it failed.
    pub error: Option<DeliveryError>,
    /// Its duration, in milliseconds.
    pub duration_ms: i32,
}

/// An event to write.
#[derive(Debug, Clone)]
pub(crate) struct NewEvent {
    /// Its id.
    pub id: EventId,
    /// The partner that receives it.
    pub partner: PartnerId,
    /// The order, and the event's number among the order's events. A test has neither.
    pub of_order: Option<(OrderId, i32)>,
    /// Its type.
    pub event_type: EventType,
    /// The new id of an order's vehicle that is listed again.
    pub new_vehicle_id: Option<VehicleId>,
    /// When it happened.
    pub occurred_at: DateTime<Utc>,
    /// The event as it is sent.
    pub payload: String,
}

/// An event and the status of its delivery.
#[derive(Debug, Clone)]
pub(crate) struct Event {
    /// Its id.
    pub id: EventId,
    /// Its position among all of the partner's events.
    pub position: i64,
    /// Its type.
    pub event_type: EventType,
    /// The order; a test of the endpoint has none.
    pub order: Option<OrderId>,
    /// Its number among the order's events.
    pub sequence: Option<i32>,
    /// When it happened.
    pub occurred_at: DateTime<Utc>,
    /// Its delivery status.
    pub delivery_status: DeliveryStatus,
    /// Number of times it was sent.
    pub attempts: i32,
    /// When it was last sent.
    pub last_attempt_at: Option<DateTime<Utc>>,
    /// Status code of the endpoint's last response.
    pub last_response_code: Option<i32>,
    /// The cause if the last attempt failed.
    pub last_error: Option<DeliveryError>,
    /// When it is next sent.
    pub next_attempt_at: Option<DateTime<Utc>>,
    /// The event as it is sent.
    pub payload: Box<RawValue>,
}

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
