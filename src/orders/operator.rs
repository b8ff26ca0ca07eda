//! Commands of LMN's staff on orders: a transition of an order, and the result of an auction.
//!
//! A command is one transaction, and is called by the command line. The operator API and the sandbox make the same
//! changes in the transaction of a request.

use chrono::{DateTime, Utc};
use serde::Serialize;
use serde_json::json;

use super::{
    locked_order::LockedOrder,
    model::{AuctionOutcome, Order},
    state_machine::{FailureReason, OrderStatus, Owner, Transition, TransitionError},
    transitions::{self, TransitionFailed},
};
use crate::{
    audit::{self, Actor, store::Change},
    database::{Database, Tx, clock},
    values::{
        id::{OrderId, PartnerId, VehicleId},
        money::Usd,
        timestamp::Timestamp,
    },
    vehicles::{self, model::WithdrawnBy, render::render},
};

/// The action in the audit log of an auction whose result was recorded.
pub(crate) const SETTLED: &str = "vehicle.settled";

/// An order that a command changed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct AffectedOrder {
    /// The order.
    pub order_id: OrderId,
    /// The partner that placed it.
    pub partner_id: PartnerId,
    /// Its status after the command.
    pub status: OrderStatus,
}

impl AffectedOrder {
    /// Returns those of the locked orders that were changed.
    pub(crate) fn all(orders: &[LockedOrder]) -> Vec<Self> {
        let touched = orders.iter().filter(|it| it.is_touched());
        let affected = touched.map(|it| Self {
            order_id: it.order.id,
            partner_id: it.partner,
            status: it.order.state.status,
        });
        affected.collect()
    }
}

/// The reason why an order or a vehicle is not changed.
#[derive(Debug, thiserror::Error)]
pub enum AuctionError {
    /// There is no such vehicle.
    #[error("there is no such vehicle")]
    NoSuchVehicle,
    /// There is no such order.
    #[error("there is no such order")]
    NoSuchOrder,
    /// The vehicle is not sold by auction, or its auction is over and no order waits for the result.
    #[error("the vehicle has no open auction")]
    NoOpenAuction,
    /// The auction is still to be held, at this time.
    #[error("the auction is held at {0} and has no result before")]
    NotHeld(Timestamp),
    /// The auction has another result already.
    #[error("the auction already has another result")]
    OtherResult,
    /// No order bids on the vehicle, for which LMN could win its auction or buy it.
    #[error("no order bids on the vehicle")]
    NoBids,
    /// Orders for the vehicle can still be placed and cancelled, until this time.
    #[error("orders for the vehicle close at {0}")]
    NotClosed(Timestamp),
    /// The vehicle is in the catalogue.
    #[error("the vehicle was not taken off the catalogue")]
    NotWithdrawn,
    /// LMN has bought the vehicle, so it cannot be listed again.
    #[error("LMN has bought the vehicle")]
    Bought,
    /// A transition of an order failed.
    #[error(transparent)]
    Transition(#[from] TransitionFailed),
}

impl From<sqlx::Error> for AuctionError {
    fn from(error: sqlx::Error) -> Self {
        Self::Transition(error.into())
    }
}

impl From<TransitionError> for AuctionError {
    fn from(error: TransitionError) -> Self {
        Self::Transition(error.into())
    }
}

/// Makes a transition of an order. Securing a buy-now vehicle withdraws it and fails its other open orders.
///
/// Other orders on an auction lot stay unchanged: [`settle`] ends them.
pub async fn change_order(
    database: &Database,
    actor: &Actor,
    id: OrderId,
    transition: &Transition,
) -> Result<Vec<AffectedOrder>, AuctionError> {
    let mut tx = database.begin().await?;
    let (_, orders) = make_step(&mut tx, actor, id, transition).await?;
    tx.commit().await?;
    Ok(orders)
}

/// Makes a transition of an order within a transaction, as [`change_order`] does. Returns the order, and all orders that
/// were changed.
pub(crate) async fn make_step(
    tx: &mut Tx,
    actor: &Actor,
    id: OrderId,
    transition: &Transition,
) -> Result<(Order, Vec<AffectedOrder>), AuctionError> {
    let now = clock::real_now(tx).await?;
    let order = transitions::lock(tx, None, id).await?;
    let mut order = order.ok_or(AuctionError::NoSuchOrder)?;
    order.apply(transition, Owner::Operator)?;
    let mut orders = Vec::new();
    if order.order.bid.is_none() && matches!(transition, Transition::Secure { .. }) {
        let vehicles = std::slice::from_ref(&order.order.vehicle_id);
        orders = transitions::lock_open_orders(tx, vehicles).await?;
        orders.retain(|it| it.order.id != id && it.order.bid.is_none());
        for other in &mut orders {
            let fail = Transition::Fail(FailureReason::VehicleUnavailable);
            other.apply_through_acquiring(&fail)?;
        }
        vehicles::store::set_withdrawn(tx, vehicles, WithdrawnBy::Operator, now).await?;
    }
    let changed = order.order.clone();
    orders.push(order);
    transitions::record(tx, actor, &orders).await?;
    Ok((changed, AffectedOrder::all(&orders)))
}

/// Corrects the amounts of an order that is `secured` or later, within a transaction. Returns the order.
pub(crate) async fn correct_amounts(
    tx: &mut Tx,
    actor: &Actor,
    id: OrderId,
    (purchase_price, auction_fee): (Usd, i32),
) -> Result<Order, AuctionError> {
    let order = transitions::lock(tx, None, id).await?;
    let mut order = order.ok_or(AuctionError::NoSuchOrder)?;
    let old = order.order.amounts();
    order.correct_amounts(purchase_price, auction_fee)?;
    if order.is_touched() {
        transitions::record(tx, actor, std::slice::from_ref(&order)).await?;
        let change = Change {
            actor,
            partner: Some(order.partner),
            action: "order.amounts_corrected",
            subject: &id.to_string(),
            details: json!({"old": old, "new": order.order.amounts()}),
        };
        let now = clock::real_now(tx).await?;
        audit::store::record(tx, &change, now).await?;
    }
    Ok(order.order)
}

/// Records the result of a vehicle's auction for every order that bids on it.
pub async fn settle(
    database: &Database,
    actor: &Actor,
    vehicle: &VehicleId,
    outcome: AuctionOutcome,
) -> Result<Vec<AffectedOrder>, AuctionError> {
    let mut tx = database.begin().await?;
    let now = clock::real_now(&mut tx).await?;
    let orders = record_result(&mut tx, actor, vehicle, outcome, now).await?;
    audit_vehicle(&mut tx, actor, None, SETTLED, vehicle, now).await?;
    tx.commit().await?;
    Ok(AffectedOrder::all(&orders))
}

/// Records the result of a vehicle's auction within a transaction: every order that bids on it ends, or is secured.
///
/// An auction has no result before its date. Partners may have different clocks, so the date must have passed by the
/// clock of each partner that bids, and without bids in real time.
pub(crate) async fn record_result(
    tx: &mut Tx,
    actor: &Actor,
    vehicle: &VehicleId,
    outcome: AuctionOutcome,
    now: DateTime<Utc>,
) -> Result<Vec<LockedOrder>, AuctionError> {
    let vehicles = std::slice::from_ref(vehicle);
    let locked = vehicles::store::lock(tx, vehicles).await?.pop();
    let locked = locked.ok_or(AuctionError::NoSuchVehicle)?;
    let mut orders = transitions::lock_open_orders(tx, vehicles).await?;
    orders.retain(LockedOrder::is_bidding);
    if !locked.is_auctioned() || (orders.is_empty() && !locked.is_upcoming()) {
        return Err(AuctionError::NoOpenAuction);
    }
    let clock = orders.iter().map(|it| it.now).min().unwrap_or(now);
    if let Some(date) = locked.auction_date.filter(|_| !locked.was_auctioned(clock)) {
        return Err(AuctionError::NotHeld(Timestamp::kst(date)));
    }
    let winner = orders.iter().find(|it| it.is_leading());
    let winner = winner.map(|it| it.order.id);
    if winner.is_none() && matches!(outcome, AuctionOutcome::Won { .. }) {
        return Err(AuctionError::NoBids);
    }
    for order in &mut orders {
        order.end(outcome, Some(order.order.id) == winner)?;
    }
    match outcome {
        AuctionOutcome::Won { .. } | AuctionOutcome::Outbid => {
            vehicles::store::set_sold(tx, vehicles, now).await?;
            render(tx, vehicles).await?;
        }
        AuctionOutcome::Cancelled | AuctionOutcome::Withdrawn => {
            vehicles::store::set_withdrawn(tx, vehicles, WithdrawnBy::Operator, now).await?;
        }
    }
    transitions::record(tx, actor, &orders).await?;
    Ok(orders)
}

/// Records the audit row of a changed vehicle. `partner` is the partner that made the change in the sandbox.
pub(crate) async fn audit_vehicle(
    tx: &mut Tx,
    actor: &Actor,
    partner: Option<PartnerId>,
    action: &str,
    vehicle: &VehicleId,
    now: DateTime<Utc>,
) -> Result<(), sqlx::Error> {
    let change = Change {
        actor,
        partner,
        action,
        subject: vehicle.as_str(),
        details: json!({}),
    };
    audit::store::record(tx, &change, now).await
}
