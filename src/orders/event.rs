//! Events of orders: the changes that make them, and the members of their `data`. Pure.

use serde::Serialize;
use utoipa::{OpenApi, ToSchema};

use super::{
    model::Amounts,
    state_machine::{FulfillmentDetail, OrderStatus},
    view::OrderView,
};
use crate::{
    events::model::EventType,
    values::{id::VehicleId, money::Usd, timestamp::Timestamp},
};

/// A change of an order, with the members of its event's `data` besides the order.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(untagged)]
#[expect(
    missing_docs,
    reason = "the fields are the members of an event's `data`"
)]
pub enum EventKind {
    /// Its status changed.
    StatusChanged { previous_status: OrderStatus },
    /// Its sub-status or shipment details changed.
    FulfillmentUpdated {
        previous_fulfillment_detail: Option<FulfillmentDetail>,
    },
    /// Its auction was moved.
    AuctionRescheduled { previous_auction_date: Timestamp },
    /// The listing price of its vehicle changed.
    PriceUpdated {
        previous_listing_usd: Usd,
        listing_usd: Usd,
    },
    /// Its vehicle is listed again.
    ReAuctioned { new_vehicle_id: VehicleId },
    /// Its amounts were corrected.
    AmountsCorrected { previous_amounts: Amounts },
}

impl EventKind {
    /// Returns the type of the event.
    pub fn event_type(&self) -> EventType {
        match self {
            Self::StatusChanged { .. } => EventType::StatusChanged,
            Self::FulfillmentUpdated { .. } => EventType::FulfillmentUpdated,
            Self::AuctionRescheduled { .. } => EventType::AuctionRescheduled,
            Self::PriceUpdated { .. } => EventType::PriceUpdated,
            Self::ReAuctioned { .. } => EventType::ReAuctioned,
            Self::AmountsCorrected { .. } => EventType::AmountsCorrected,
        }
    }

    /// Returns the new id of an order's vehicle that is listed again.
    pub fn new_vehicle_id(&self) -> Option<&VehicleId> {
        match self {
            Self::ReAuctioned { new_vehicle_id } => Some(new_vehicle_id),
            Self::StatusChanged { .. }
            | Self::FulfillmentUpdated { .. }
            | Self::AuctionRescheduled { .. }
            | Self::PriceUpdated { .. }
            | Self::AmountsCorrected { .. } => None,
        }
    }
}

/// The `data` of an event: the order at the time of the event, and what changed.
#[derive(Debug, Serialize)]
pub(super) struct EventData<'a> {
    pub(super) order: OrderView,
    #[serde(flatten)]
    pub(super) kind: &'a EventKind,
}

/// The `data` of an event: the order, and the members that belong to the event's type.
// One schema for all types, so that a client reads an event of a type that it does not know.
#[derive(ToSchema)]
#[schema(as = EventData)]
#[expect(dead_code, reason = "schema only, written by `EventData`")]
struct DataSchema {
    /// The order at the time of the event, byte for byte as `GET /v1/orders/{id}` returned it; null in `webhook.test`.
    #[schema(required = true)]
    order: Option<OrderView>,
    /// In `order.status_changed`: the former status.
    #[schema(required = false)]
    previous_status: OrderStatus,
    /// In `order.fulfillment_updated`: the former sub-status.
    #[schema(required = false)]
    previous_fulfillment_detail: Option<FulfillmentDetail>,
    /// In `order.auction_rescheduled`: the former time of the auction.
    #[schema(required = false)]
    previous_auction_date: Timestamp,
    /// In `order.price_updated`: the former listing price.
    #[schema(required = false)]
    previous_listing_usd: Usd,
    /// In `order.price_updated`: the listing price.
    #[schema(required = false)]
    listing_usd: Usd,
    /// In `order.re_auctioned`: the id under which the vehicle is listed again.
    #[schema(required = false)]
    new_vehicle_id: VehicleId,
    /// In `order.amounts_corrected`: the former amounts.
    #[schema(required = false)]
    previous_amounts: Amounts,
}

/// The schema that the OpenAPI document does not find through the routes.
#[derive(OpenApi)]
#[openapi(components(schemas(DataSchema)))]
pub(crate) struct DataSchemas;
