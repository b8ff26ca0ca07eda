//! Parameters of the statement that records changes: locked orders as JSON rows.

use chrono::{DateTime, Utc};
use serde::Serialize;
use serde_json::{Value, json};
use uuid::Uuid;

use super::super::{
    rendered::Rendered,
    state::{CancellationReason, FailureReason, FulfillmentDetail, OrderStatus, Owner},
    transition::LockedOrder,
};
use crate::values::timestamp::Timestamp;

/// The new values of an order's row, and of its audit row.
#[derive(Debug, Serialize)]
pub(super) struct OrderChange<'a> {
    id: Uuid,
    partner_id: Uuid,
    before: OrderStatus,
    status: OrderStatus,
    fulfillment_detail: Option<FulfillmentDetail>,
    final_is_highest: Option<bool>,
    final_highest_bid_usd: Option<i32>,
    purchase_price_usd: Option<i32>,
    auction_fee_usd: Option<i32>,
    auction_date: Option<DateTime<Utc>>,
    order_cutoff_at: Option<DateTime<Utc>>,
    failure_reason: Option<FailureReason>,
    cancellation_reason: Option<CancellationReason>,
    vessel_name: Option<&'a str>,
    bl_number: Option<&'a str>,
    port_of_loading: Option<&'a str>,
    port_of_discharge: Option<&'a str>,
    etd: Option<DateTime<Utc>>,
    etd_offset_minutes: Option<i16>,
    eta: Option<DateTime<Utc>>,
    eta_offset_minutes: Option<i16>,
    shipping_since: Option<DateTime<Utc>>,
    updated_at: DateTime<Utc>,
    last_sequence: i32,
    rendered: Rendered,
    subject: String,
    /// Details of the audit entry. Only a change without a step has one: a step is audited by its own row.
    details: Option<Value>,
}

impl<'a> OrderChange<'a> {
    /// Converts a locked order. The standing of its bid is stored only once the bid is no longer active.
    pub(super) fn of(held: &'a LockedOrder) -> serde_json::Result<Self> {
        let order = &held.order;
        let final_standing = order
            .bid
            .map(|bid| bid.standing)
            .filter(|_| !held.is_bidding());
        let shipment = &order.shipment;
        Ok(Self {
            id: order.id.uuid(),
            partner_id: held.partner.uuid(),
            before: held.before.status,
            status: order.state.status,
            fulfillment_detail: order.state.fulfillment,
            final_is_highest: final_standing.map(|it| it.is_highest),
            final_highest_bid_usd: final_standing.map(|it| it.highest_bid.dollars()),
            purchase_price_usd: order.purchase_price_usd.map(|it| it.dollars()),
            auction_fee_usd: order.auction_fee_usd,
            auction_date: order.bid.map(|it| it.auction_date.instant()),
            order_cutoff_at: order.bid.map(|it| it.order_cutoff_at.instant()),
            failure_reason: order.failure_reason,
            cancellation_reason: order.cancellation_reason,
            vessel_name: shipment.vessel_name.as_deref(),
            bl_number: shipment.bl_number.as_deref(),
            port_of_loading: shipment.port_of_loading.as_deref(),
            port_of_discharge: shipment.port_of_discharge.as_deref(),
            etd: shipment.etd.map(Timestamp::instant),
            etd_offset_minutes: shipment.etd.map(Timestamp::offset_minutes),
            eta: shipment.eta.map(Timestamp::instant),
            eta_offset_minutes: shipment.eta.map(Timestamp::offset_minutes),
            shipping_since: begins_to_ship(held).then_some(held.now),
            updated_at: order.updated_at,
            last_sequence: held.last_sequence,
            subject: order.id.to_string(),
            rendered: Rendered::of(order)?,
            details: details(held),
        })
    }
}

/// Returns whether the order has begun to ship since it was locked.
fn begins_to_ship(held: &LockedOrder) -> bool {
    let is_shipping = |status| status == OrderStatus::Shipping;
    !is_shipping(held.before.status) && is_shipping(held.order.state.status)
}

/// Returns the details of the audit entry of a change without a step, which lists the events.
fn details(held: &LockedOrder) -> Option<Value> {
    let events: Vec<_> = held.events.iter().map(|it| it.event_type).collect();
    let is_step = !held.steps.is_empty();
    (!is_step).then(|| {
        json!({
            "from": held.before.status,
            "fulfillment_detail": held.order.state.fulfillment,
            "events": events,
        })
    })
}

/// A new step of an order's history. `n` counts from 1 after the last recorded step.
#[derive(Debug, Serialize)]
pub(super) struct StepChange<'a> {
    order_id: Uuid,
    n: usize,
    status: OrderStatus,
    fulfillment_detail: Option<FulfillmentDetail>,
    by: Owner,
    occurred_at: DateTime<Utc>,
    occurred_offset_minutes: i16,
    recorded_at: DateTime<Utc>,
    notes: Option<&'a str>,
}

impl<'a> StepChange<'a> {
    /// Converts every new step of a locked order.
    pub(super) fn all_of(held: &'a LockedOrder) -> impl Iterator<Item = Self> {
        held.steps.iter().zip(1..).map(|(step, n)| Self {
            order_id: held.order.id.uuid(),
            n,
            status: step.state.status,
            fulfillment_detail: step.state.fulfillment,
            by: step.by,
            occurred_at: step.report.occurred_at.instant(),
            occurred_offset_minutes: step.report.occurred_at.offset_minutes(),
            recorded_at: held.now,
            notes: step.report.notes.as_deref(),
        })
    }
}
