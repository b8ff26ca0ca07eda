//! Events and their types. Pure.

use chrono::{DateTime, Utc};
use serde_json::value::RawValue;

use crate::values::{
    id::{EventId, OrderId, PartnerId, VehicleId},
    string_enum::string_enum,
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
