//! Events as JSON for partners: as they are sent, and in lists with their delivery status.

use serde::Serialize;
use serde_json::value::RawValue;
use utoipa::{
    PartialSchema, ToSchema,
    openapi::{ObjectBuilder, OneOfBuilder, Ref, RefOr, Schema, Type},
};

use super::model::{DeliveryStatus, Event, EventKind, EventType};
use crate::{
    orders::{
        state::{FulfillmentDetail, OrderStatus},
        view::OrderView,
    },
    values::{
        id::{EventId, OrderId, VehicleId},
        money::Usd,
        timestamp::Timestamp,
    },
};

/// An event as it is sent to your endpoint.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Event)]
pub(crate) struct Payload<'a> {
    pub id: EventId,
    #[serde(rename = "type")]
    pub event_type: EventType,
    /// The number of the event among the order's events, counted from 1 without a gap.
    pub sequence: Option<i32>,
    pub occurred_at: Timestamp,
    #[schema(value_type = EventData)]
    pub data: Data<'a>,
}

/// The order at the time of the event, and what changed.
#[derive(Debug, Serialize)]
pub(crate) struct Data<'a> {
    pub order: &'a RawValue,
    #[serde(flatten)]
    pub happening: &'a EventKind,
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
    /// When it is next sent.
    pub next_attempt_at: Option<Timestamp>,
    /// The event as it is sent.
    #[schema(value_type = Payload<'static>)]
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
            next_attempt_at: event.next_attempt_at.map(Timestamp::kst),
            payload: event.payload,
        }
    }
}

/// Declares the members of `data`, type by type, for the OpenAPI document.
macro_rules! data {
    ($($(#[$doc:meta])* $name:ident { $($member:ident: $type:ty,)* })*) => {
        $(
            $(#[$doc])*
            #[derive(ToSchema)]
            #[expect(dead_code, reason = "schema only, written by `Data`")]
            pub(crate) struct $name {
                /// The order at the time of the event, byte for byte as `GET /v1/orders/{id}` returned it.
                order: OrderView,
                $($member: $type,)*
            }
        )*

        /// The `data` of an event. Its members depend on the type.
        struct EventData;

        impl ToSchema for EventData {}

        impl PartialSchema for EventData {
            fn schema() -> RefOr<Schema> {
                let one = OneOfBuilder::new();
                $(let one = one.item(Ref::from_schema_name(stringify!($name)));)*
                one.item(Ref::from_schema_name("WebhookTest")).into()
            }
        }
    };
}

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

/// The `data` of `webhook.test`, in which `order` is null.
pub(crate) struct WebhookTest;

impl ToSchema for WebhookTest {}

impl PartialSchema for WebhookTest {
    fn schema() -> RefOr<Schema> {
        let null = ObjectBuilder::new().schema_type(Type::Null);
        let data = ObjectBuilder::new().description(Some("The `data` of `webhook.test`."));
        data.property("order", null).into()
    }
}
