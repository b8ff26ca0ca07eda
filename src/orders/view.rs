//! An order as partners read it. The shape stands apart from the routes because events carry it too.

use serde::Serialize;
use utoipa::{
    PartialSchema, ToSchema,
    openapi::{ObjectBuilder, RefOr, Schema, Type},
};

use super::{
    model::{HistoryStep, Order, Shipment},
    state::{Action, CancellationReason, FailureReason, FulfillmentDetail, OrderStatus, Owner},
};
use crate::{
    id::{OrderId, VehicleId},
    money::Usd,
    stamp::Stamp,
};

/// An order: a bid ceiling for an auction lot, a purchase of a buy-now car.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Order)]
pub(crate) struct OrderView {
    /// Null in the answer to a dry run only.
    #[schema(value_type = OrderId)]
    pub id: Option<OrderId>,
    /// The car.
    pub vehicle_id: VehicleId,
    /// Its vehicle identification number, as it was when it was ordered.
    pub vin: Option<String>,
    /// Its Korean plate, as it was when it was ordered.
    pub license_plate: Option<String>,
    pub status: OrderStatus,
    /// There from `shipping` on.
    pub fulfillment_detail: Option<FulfillmentDetail>,
    /// The most that the partner pays for the car; null for a buy-now car.
    pub max_bid_amount_usd: Option<Usd>,
    /// Whether this is the highest of all partners' bids on the car. It changes while the order is `proceed` or
    /// `acquiring`, and then stays; null for a buy-now car.
    pub is_highest_bid: Option<bool>,
    /// The highest of all partners' bids on the car. It changes while the order is `proceed` or `acquiring`, and then
    /// stays; null for a buy-now car.
    pub current_max_bid_usd: Option<Usd>,
    pub amounts: Amounts,
    /// When the auction is held; null for a buy-now car.
    pub auction_date: Option<Stamp>,
    /// When orders close: midnight in Korea at the start of the day before the auction's; null for a buy-now car.
    pub order_cutoff_at: Option<Stamp>,
    /// There exactly when the order is `failed`.
    pub failure_reason: Option<FailureReason>,
    /// There exactly when the order is `cancelled`.
    pub cancellation_reason: Option<CancellationReason>,
    /// Null until something is known about it.
    pub shipment: Option<ShipmentView>,
    /// What can be done now: each one that is listed succeeds, each other one is refused.
    pub allowed_actions: Vec<Action>,
    /// When the order was accepted.
    pub created_at: Stamp,
    /// When anything but the standing of its bid last changed.
    pub updated_at: Stamp,
}

/// What the car cost. Both are there from `secured` on.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = OrderAmounts)]
pub(crate) struct Amounts {
    /// The price of the car.
    pub purchase_price_usd: Option<Usd>,
    /// The auction's fee, in whole US dollars.
    #[schema(minimum = 0, maximum = 10_000_000)]
    pub auction_fee_usd: Option<i32>,
}

/// How the car travels.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Shipment)]
pub(crate) struct ShipmentView {
    pub vessel_name: Option<String>,
    /// The number of the bill of lading.
    pub bl_number: Option<String>,
    pub port_of_loading: Option<String>,
    pub port_of_discharge: Option<String>,
    /// Estimated time of departure.
    pub etd: Option<Stamp>,
    /// Estimated time of arrival.
    pub eta: Option<Stamp>,
}

/// An order as a dry run shows it: it has no id, and rivals' bids are not shown.
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
        let what = "An order as it would be: a dry run's. It has no id, and the standing of its bid is not shown.";
        order.description = Some(what.to_owned());
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
            created_at: Stamp::kst(order.created_at),
            updated_at: Stamp::kst(order.updated_at),
        }
    }
}

impl OrderView {
    /// Shows an order as it would be: it has no name, and rivals' bids are not shown.
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
    /// Shows a shipment of which anything is known.
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
    /// Counts the steps of an order from 1, without a gap.
    #[schema(minimum = 1)]
    pub(crate) n: i32,
    pub(crate) status: OrderStatus,
    /// There from `shipping` on.
    pub(crate) fulfillment_detail: Option<FulfillmentDetail>,
    pub(crate) by: Owner,
    /// When it happened, told in the time of its place.
    pub(crate) occurred_at: Stamp,
    /// When LMN heard of it.
    pub(crate) recorded_at: Stamp,
    /// The words of who made the step.
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
            recorded_at: Stamp::kst(step.recorded_at),
            notes: step.notes,
        }
    }
}
