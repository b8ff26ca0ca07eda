//! An order as partners read it. The shape stands apart from the routes because events carry it too.

use serde::Serialize;

use super::{
    model::{HistoryStep, Order, Shipment},
    state::{Action, CancellationReason, FailureReason, FulfillmentDetail, OrderStatus, Owner},
};
use crate::{
    id::{OrderId, VehicleId},
    money::Usd,
    stamp::Stamp,
};

/// The contract's `Order`.
#[derive(Debug, Serialize)]
pub(crate) struct OrderView {
    /// Null in the answer to a dry run only.
    pub id: Option<OrderId>,
    pub vehicle_id: VehicleId,
    pub vin: Option<String>,
    pub license_plate: Option<String>,
    pub status: OrderStatus,
    pub fulfillment_detail: Option<FulfillmentDetail>,
    pub max_bid_amount_usd: Option<Usd>,
    pub is_highest_bid: Option<bool>,
    pub current_max_bid_usd: Option<Usd>,
    pub amounts: Amounts,
    pub auction_date: Option<Stamp>,
    pub order_cutoff_at: Option<Stamp>,
    pub failure_reason: Option<FailureReason>,
    pub cancellation_reason: Option<CancellationReason>,
    pub shipment: Option<ShipmentView>,
    pub allowed_actions: Vec<Action>,
    pub created_at: Stamp,
    pub updated_at: Stamp,
}

/// What the car cost.
#[derive(Debug, Serialize)]
pub(crate) struct Amounts {
    pub purchase_price_usd: Option<Usd>,
    pub auction_fee_usd: Option<i32>,
}

/// How the car travels.
#[derive(Debug, Serialize)]
pub(crate) struct ShipmentView {
    pub vessel_name: Option<String>,
    pub bl_number: Option<String>,
    pub port_of_loading: Option<String>,
    pub port_of_discharge: Option<String>,
    pub etd: Option<Stamp>,
    pub eta: Option<Stamp>,
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
#[derive(Debug, Serialize)]
pub(crate) struct HistoryView {
    pub(crate) n: i32,
    pub(crate) status: OrderStatus,
    pub(crate) fulfillment_detail: Option<FulfillmentDetail>,
    pub(crate) by: Owner,
    pub(crate) occurred_at: Stamp,
    pub(crate) recorded_at: Stamp,
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
