//! An order as JSON for partners. It is separate from the routes because events contain it too.

use serde::Serialize;
use utoipa::{
    PartialSchema, ToSchema,
    openapi::{ObjectBuilder, RefOr, Schema, Type},
};

use super::{
    model::{HistoryStep, Order, Shipment},
    state::{Action, CancellationReason, FailureReason, FulfillmentDetail, OrderStatus, Owner},
};
use crate::values::{
    id::{OrderId, VehicleId},
    money::Usd,
    timestamp::Timestamp,
};

/// An order: a maximum bid for an auction lot, or the purchase of a buy-now vehicle.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Order)]
pub(crate) struct OrderView {
    /// Null only in the response to a dry run.
    #[schema(value_type = OrderId)]
    pub id: Option<OrderId>,
    /// The ordered vehicle.
    pub vehicle_id: VehicleId,
    /// The vehicle identification number at the time of the order.
    pub vin: Option<String>,
    /// The Korean license plate at the time of the order.
    pub license_plate: Option<String>,
    pub status: OrderStatus,
    /// Set once the order is `shipping`.
    pub fulfillment_detail: Option<FulfillmentDetail>,
    /// The maximum amount that the partner pays for the vehicle; null for a buy-now vehicle.
    pub max_bid_amount_usd: Option<Usd>,
    /// Whether this is the highest of all partners' bids on the vehicle. It can change while the order is `proceed` or
    /// `acquiring`, and is fixed afterwards; null for a buy-now vehicle.
    pub is_highest_bid: Option<bool>,
    /// The highest of all partners' bids on the vehicle. It can change while the order is `proceed` or `acquiring`, and
    /// is fixed afterwards; null for a buy-now vehicle.
    pub current_max_bid_usd: Option<Usd>,
    pub amounts: Amounts,
    /// When the auction is held; null for a buy-now vehicle.
    pub auction_date: Option<Timestamp>,
    /// The order cutoff: midnight in Korea at the start of the day before the auction; null for a buy-now vehicle.
    pub order_cutoff_at: Option<Timestamp>,
    /// Set if and only if the order is `failed`.
    pub failure_reason: Option<FailureReason>,
    /// Set if and only if the order is `cancelled`.
    pub cancellation_reason: Option<CancellationReason>,
    /// Null until a detail of the shipment is known.
    pub shipment: Option<ShipmentView>,
    /// The actions that the partner can take now. Every listed action succeeds, every other action is refused.
    pub allowed_actions: Vec<Action>,
    /// When the order was accepted.
    pub created_at: Timestamp,
    /// When the order last changed. Changes of `is_highest_bid` and `current_max_bid_usd` do not count.
    pub updated_at: Timestamp,
}

/// The cost of the vehicle. Both amounts are set once the order is `secured`.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = OrderAmounts)]
pub(crate) struct Amounts {
    /// The price of the vehicle.
    pub purchase_price_usd: Option<Usd>,
    /// The fee of the auction house, in whole US dollars.
    #[schema(minimum = 0, maximum = 10_000_000)]
    pub auction_fee_usd: Option<i32>,
}

/// The shipment of the vehicle.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Shipment)]
pub(crate) struct ShipmentView {
    pub vessel_name: Option<String>,
    /// The number of the bill of lading.
    pub bl_number: Option<String>,
    pub port_of_loading: Option<String>,
    pub port_of_discharge: Option<String>,
    /// Estimated time of departure.
    pub etd: Option<Timestamp>,
    /// Estimated time of arrival.
    pub eta: Option<Timestamp>,
}

/// An order in the response to a dry run: without an id, and without other partners' bids.
pub(crate) struct OrderPreview;

impl ToSchema for OrderPreview {}

impl PartialSchema for OrderPreview {
    fn schema() -> RefOr<Schema> {
        let RefOr::T(Schema::Object(mut order)) = OrderView::schema() else {
            return OrderView::schema();
        };
        for hidden in ["id", "is_highest_bid", "current_max_bid_usd"] {
            let null = ObjectBuilder::new().schema_type(Type::Null);
            order.properties.insert(hidden.to_owned(), null.into());
        }
        let text = "An order as a dry run returns it: `id`, `is_highest_bid` and `current_max_bid_usd` are null.";
        order.description = Some(text.to_owned());
        Schema::Object(order).into()
    }
}

impl From<Order> for OrderView {
    fn from(order: Order) -> Self {
        Self {
            id: Some(order.id),
            vehicle_id: order.vehicle_id,
            vin: order.vin,
            license_plate: order.license_plate,
            status: order.state.status,
            fulfillment_detail: order.state.fulfillment,
            max_bid_amount_usd: order.bid.map(|it| it.max_bid),
            is_highest_bid: order.bid.map(|it| it.standing.is_highest),
            current_max_bid_usd: order.bid.map(|it| it.standing.highest_bid),
            amounts: Amounts {
                purchase_price_usd: order.purchase_price_usd,
                auction_fee_usd: order.auction_fee_usd,
            },
            auction_date: order.bid.map(|it| it.auction_date),
            order_cutoff_at: order.bid.map(|it| it.order_cutoff_at),
            failure_reason: order.failure_reason,
            cancellation_reason: order.cancellation_reason,
            shipment: ShipmentView::of(order.shipment),
            allowed_actions: order.state.allowed_actions(),
            created_at: Timestamp::kst(order.created_at),
            updated_at: Timestamp::kst(order.updated_at),
        }
    }
}

impl OrderView {
    /// Returns the view for a dry run: without an id, and without other partners' bids.
    pub(crate) fn trial(order: Order) -> Self {
        Self {
            id: None,
            is_highest_bid: None,
            current_max_bid_usd: None,
            ..Self::from(order)
        }
    }
}

impl ShipmentView {
    /// Returns the view of a shipment, or `None` if nothing is known about it.
    fn of(shipment: Shipment) -> Option<Self> {
        if shipment == Shipment::default() {
            return None;
        }
        Some(Self {
            vessel_name: shipment.vessel_name,
            bl_number: shipment.bl_number,
            port_of_loading: shipment.port_of_loading,
            port_of_discharge: shipment.port_of_discharge,
            etd: shipment.etd,
            eta: shipment.eta,
        })
    }
}

/// One step of an order's history.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = OrderStep)]
pub(crate) struct HistoryView {
    /// The number of the step within its order, counted from 1 without a gap.
    #[schema(minimum = 1)]
    pub(crate) n: i32,
    pub(crate) status: OrderStatus,
    /// Set once the order is `shipping`.
    pub(crate) fulfillment_detail: Option<FulfillmentDetail>,
    pub(crate) by: Owner,
    /// When it happened, with the UTC offset of the place.
    pub(crate) occurred_at: Timestamp,
    /// When LMN recorded it.
    pub(crate) recorded_at: Timestamp,
    /// Notes given with the step.
    #[schema(max_length = 2000)]
    pub(crate) notes: Option<String>,
}

impl From<HistoryStep> for HistoryView {
    fn from(step: HistoryStep) -> Self {
        Self {
            n: step.n,
            status: step.state.status,
            fulfillment_detail: step.state.fulfillment,
            by: step.by,
            occurred_at: step.occurred_at,
            recorded_at: Timestamp::kst(step.recorded_at),
            notes: step.notes,
        }
    }
}
