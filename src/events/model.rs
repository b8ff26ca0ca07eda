//! Events: what partners are told of (contract, section 8). Pure.

use chrono::{DateTime, Utc};
use serde::Serialize;
use serde_json::value::RawValue;

use crate::{
    id::{EventId, OrderId, PartnerId, VehicleId},
    money::Usd,
    orders::state::{FulfillmentDetail, OrderStatus},
    stamp::Stamp,
    word::words,
};

words! {
    /// The type of an event.
    EventType {
        /// An order went on to another status.
        StatusChanged = "order.status_changed",
        /// A shipping order went on, or its shipment became known better.
        FulfillmentUpdated = "order.fulfillment_updated",
        /// The auction of an open order's car was moved.
        AuctionRescheduled = "order.auction_rescheduled",
        /// The car of an order on which LMN has not acted yet has another price.
        PriceUpdated = "order.price_updated",
        /// The car of a former order is listed again.
        ReAuctioned = "order.re_auctioned",
        /// The partner tests its endpoint.
        WebhookTest = "webhook.test",
    }
}

words! {
    /// How far the delivery of an event is.
    DeliveryStatus {
        /// To be sent, or to be sent again.
        Pending = "pending",
        /// Acknowledged by the partner's endpoint.
        Delivered = "delivered",
        /// Given up; it can be sent again by hand.
        Failed = "failed",
        /// Not to be sent: there is no endpoint, or it does not want this type.
        DeliverySkipped = "delivery_skipped",
    }
}

/// What happened to an order, with what is told of it beside the order itself.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(untagged)]
#[expect(
    missing_docs,
    reason = "the fields are the members of `data` in the contract"
)]
pub enum Happening {
    /// It went on to another status.
    StatusChanged { previous_status: OrderStatus },
    /// It went on while shipping, or its shipment became known better.
    FulfillmentUpdated {
        previous_fulfillment_detail: Option<FulfillmentDetail>,
    },
    /// Its auction was moved.
    AuctionRescheduled { previous_auction_date: Stamp },
    /// Its car has another price.
    PriceUpdated {
        previous_listing_usd: Usd,
        listing_usd: Usd,
    },
    /// Its car is listed again.
    ReAuctioned { new_vehicle_id: VehicleId },
    /// Nothing: the partner tests its endpoint.
    Tested {},
}

impl Happening {
    /// Returns the type of its event.
    pub fn event_type(&self) -> EventType {
        match self {
            Self::StatusChanged { .. } => EventType::StatusChanged,
            Self::FulfillmentUpdated { .. } => EventType::FulfillmentUpdated,
            Self::AuctionRescheduled { .. } => EventType::AuctionRescheduled,
            Self::PriceUpdated { .. } => EventType::PriceUpdated,
            Self::ReAuctioned { .. } => EventType::ReAuctioned,
            Self::Tested {} => EventType::WebhookTest,
        }
    }

    /// Returns the listing under which the order's car came back.
    pub fn new_vehicle_id(&self) -> Option<&VehicleId> {
        match self {
            Self::ReAuctioned { new_vehicle_id } => Some(new_vehicle_id),
            Self::StatusChanged { .. }
            | Self::FulfillmentUpdated { .. }
            | Self::AuctionRescheduled { .. }
            | Self::PriceUpdated { .. }
            | Self::Tested {} => None,
        }
    }
}

/// An event that is about to be written.
#[derive(Debug, Clone)]
pub(crate) struct NewEvent {
    /// Its name.
    pub id: EventId,
    /// Whom it concerns.
    pub partner: PartnerId,
    /// The order, and the event's number among the order's; a test has neither.
    pub of_order: Option<(OrderId, i32)>,
    /// Its type.
    pub event_type: EventType,
    /// The listing under which the order's car came back.
    pub new_vehicle_id: Option<VehicleId>,
    /// When it happened.
    pub occurred_at: DateTime<Utc>,
    /// The event as it is sent.
    pub payload: String,
}

/// An event and what became of it.
#[derive(Debug, Clone)]
pub(crate) struct Event {
    /// Its name.
    pub id: EventId,
    /// Its place among all of the partner's events.
    pub position: i64,
    /// Its type.
    pub event_type: EventType,
    /// The order; a test of the endpoint has none.
    pub order: Option<OrderId>,
    /// Its number among the order's events.
    pub sequence: Option<i32>,
    /// When it happened.
    pub occurred_at: DateTime<Utc>,
    /// How far its delivery is.
    pub delivery_status: DeliveryStatus,
    /// How often it was sent.
    pub attempts: i32,
    /// When it was last sent.
    pub last_attempt_at: Option<DateTime<Utc>>,
    /// What the endpoint last answered.
    pub last_response_code: Option<i32>,
    /// When it is sent next.
    pub next_attempt_at: Option<DateTime<Utc>>,
    /// The event as it is sent.
    pub payload: Box<RawValue>,
}
