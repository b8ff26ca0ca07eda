//! Events of orders: the changes that make them, and the members of their `data`. Pure.

use serde::Serialize;
use utoipa::{
    OpenApi, PartialSchema, ToSchema,
    openapi::{OneOfBuilder, Ref, RefOr, Schema},
};

use super::{
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
        }
    }

    /// Returns the new id of an order's vehicle that is listed again.
    pub fn new_vehicle_id(&self) -> Option<&VehicleId> {
        match self {
            Self::ReAuctioned { new_vehicle_id } => Some(new_vehicle_id),
            Self::StatusChanged { .. }
            | Self::FulfillmentUpdated { .. }
            | Self::AuctionRescheduled { .. }
            | Self::PriceUpdated { .. } => None,
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

/// Declares the members of `data`, type by type, for the OpenAPI document.
macro_rules! data {
    ($($(#[$doc:meta])* $name:ident { $($member:ident: $type:ty,)* })*) => {
        $(
            $(#[$doc])*
            #[derive(ToSchema)]
            #[expect(dead_code, reason = "schema only, written by `EventData`")]
            struct $name {
                /// The order at the time of the event, byte for byte as `GET /v1/orders/{id}` returned it.
                order: OrderView,
                $($member: $type,)*
            }
        )*

        impl PartialSchema for EventData<'_> {
            fn schema() -> RefOr<Schema> {
                let one = OneOfBuilder::new();
                $(let one = one.item(Ref::from_schema_name(stringify!($name)));)*
                one.item(Ref::from_schema_name("WebhookTest")).into()
            }
        }
    };
}

impl ToSchema for EventData<'_> {}

data! {
    /// The `data` of `order.status_changed`.
    StatusChanged { previous_status: OrderStatus, }
    /// The `data` of `order.fulfillment_updated`.
    FulfillmentUpdated { previous_fulfillment_detail: Option<FulfillmentDetail>, }
    /// The `data` of `order.auction_rescheduled`.
    AuctionRescheduled { previous_auction_date: Timestamp, }
    /// The `data` of `order.price_updated`.
    PriceUpdated { previous_listing_usd: Usd, listing_usd: Usd, }
    /// The `data` of `order.re_auctioned`.
    ReAuctioned { new_vehicle_id: VehicleId, }
}

/// Schemas that the OpenAPI document does not find through the routes: the `data` of an event, type by type.
#[derive(OpenApi)]
#[openapi(components(schemas(
    EventData,
    StatusChanged,
    FulfillmentUpdated,
    AuctionRescheduled,
    PriceUpdated,
    ReAuctioned
)))]
pub(crate) struct DataSchemas;
