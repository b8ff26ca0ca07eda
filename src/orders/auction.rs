//! LMN's changes of vehicles: auction results, new dates and prices, withdrawals.
//!
//! Each function locks the vehicles in the order of their ids, changes their rows, and applies the effects on their
//! orders ([`effects`]), all in the caller's transaction. It returns the affected orders.

use std::collections::HashMap;

use chrono::{DateTime, Utc};
use serde_json::json;

use super::{
    effects::{self, PriceChange, add_price_events, end, move_auctions, pass_through_acquiring},
    outcome::AuctionOutcome,
    state::{FailureReason, Owner},
    store,
    transition::{LockedOrder, Transition, TransitionError},
    transitions::{self, TransitionFailed},
};
use crate::{
    audit::{self, model::Actor, store::Change},
    database::Tx,
    values::{
        id::{OrderId, PartnerId, VehicleId},
        money::Usd,
    },
    vehicles::{
        self,
        model::{LockedVehicle, WithdrawnBy},
        render::render,
    },
};

/// The reason why a vehicle is not changed.
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
    /// LMN won the auction, but no order bids on the vehicle.
    #[error("no order bids on the vehicle")]
    NoBids,
    /// The vehicle is in the catalogue.
    #[error("the vehicle was not taken off the catalogue")]
    NotWithdrawn,
    /// LMN has bought the vehicle, so it cannot be listed again.
    #[error("LMN has bought the vehicle")]
    Bought,
    /// A transition of an order failed.
    #[error(transparent)]
    Progress(#[from] TransitionFailed),
}

impl From<sqlx::Error> for AuctionError {
    fn from(error: sqlx::Error) -> Self {
        Self::Progress(error.into())
    }
}

impl From<TransitionError> for AuctionError {
    fn from(error: TransitionError) -> Self {
        Self::Progress(error.into())
    }
}

/// Records the result of a vehicle's auction: every order that bids on it ends, or is secured.
pub(crate) async fn settle(
    tx: &mut Tx,
    actor: &Actor,
    vehicle: &VehicleId,
    outcome: AuctionOutcome,
    now: DateTime<Utc>,
) -> Result<Vec<LockedOrder>, AuctionError> {
    let vehicles = std::slice::from_ref(vehicle);
    let locked = vehicles::store::hold(tx, vehicles).await?.pop();
    let locked = locked.ok_or(AuctionError::NoSuchVehicle)?;
    let mut held = effects::lock_open_orders(tx, vehicles).await?;
    held.retain(LockedOrder::is_bidding);
    if !locked.is_auctioned() || (held.is_empty() && !locked.is_upcoming()) {
        return Err(AuctionError::NoOpenAuction);
    }
    let winner = held.iter().find(|it| leads(it)).map(|it| it.order.id);
    if winner.is_none() && matches!(outcome, AuctionOutcome::Won { .. }) {
        return Err(AuctionError::NoBids);
    }
    for held in &mut held {
        end(held, outcome, Some(held.order.id) == winner)?;
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
    transitions::record(tx, actor, &held).await?;
    Ok(held)
}

fn leads(held: &LockedOrder) -> bool {
    held.order.bid.is_some_and(|bid| bid.standing.is_highest)
}

/// Withdraws vehicles from the catalogue, and ends their open orders, including those without a bid.
pub(crate) async fn withdraw(
    tx: &mut Tx,
    actor: &Actor,
    vehicles: &[VehicleId],
    now: DateTime<Utc>,
) -> Result<Vec<LockedOrder>, AuctionError> {
    if vehicles::store::hold(tx, vehicles).await?.len() < vehicles.len() {
        return Err(AuctionError::NoSuchVehicle);
    }
    let mut held = effects::lock_open_orders(tx, vehicles).await?;
    for held in &mut held {
        end(held, AuctionOutcome::Withdrawn, false)?;
    }
    vehicles::store::set_withdrawn(tx, vehicles, WithdrawnBy::Operator, now).await?;
    transitions::record(tx, actor, &held).await?;
    Ok(held)
}

/// Puts a withdrawn vehicle back into the catalogue, and adds events for the partners that ordered it before.
pub(crate) async fn restore(
    tx: &mut Tx,
    actor: &Actor,
    vehicle: &VehicleId,
    now: DateTime<Utc>,
) -> Result<Vec<LockedOrder>, AuctionError> {
    let vehicles = std::slice::from_ref(vehicle);
    let locked = vehicles::store::hold(tx, vehicles).await?.pop();
    let locked = locked.ok_or(AuctionError::NoSuchVehicle)?;
    if locked.withdrawn_at.is_none() {
        return Err(AuctionError::NotWithdrawn);
    }
    if !store::find_bought(tx, &[vehicle.as_str()])
        .await?
        .is_empty()
    {
        return Err(AuctionError::Bought);
    }
    vehicles::store::set_restored(tx, vehicle, now).await?;
    render(tx, vehicles).await?;
    let mut held = Vec::new();
    if locked.is_on_offer() {
        held = effects::relist(tx, vehicles).await?;
    }
    transitions::record(tx, actor, &held).await?;
    Ok(held)
}

/// Moves auctions to other dates, and updates the orders that bid on the vehicles.
///
/// If this moves a cutoff from the future into the past, orders in `proceed` are cancelled.
pub(crate) async fn reschedule(
    tx: &mut Tx,
    actor: &Actor,
    dates: &HashMap<VehicleId, DateTime<Utc>>,
    now: DateTime<Utc>,
) -> Result<Vec<LockedOrder>, AuctionError> {
    let vehicles: Vec<_> = dates.keys().cloned().collect();
    let found = vehicles::store::hold(tx, &vehicles).await?;
    if found.len() < dates.len() {
        return Err(AuctionError::NoSuchVehicle);
    }
    if !found.iter().all(LockedVehicle::is_upcoming) {
        return Err(AuctionError::NoOpenAuction);
    }
    let mut held = effects::lock_open_orders(tx, &vehicles).await?;
    move_auctions(&mut held, dates)?;
    vehicles::store::set_auction_dates(tx, dates, now).await?;
    render(tx, &vehicles).await?;
    transitions::record(tx, actor, &held).await?;
    Ok(held)
}

/// Changes the listing prices of vehicles, and adds events to their orders in `proceed`.
pub(crate) async fn reprice(
    tx: &mut Tx,
    actor: &Actor,
    prices: &HashMap<VehicleId, Usd>,
    now: DateTime<Utc>,
) -> Result<Vec<LockedOrder>, AuctionError> {
    let vehicles: Vec<_> = prices.keys().cloned().collect();
    let found = vehicles::store::hold(tx, &vehicles).await?;
    if found.len() < prices.len() {
        return Err(AuctionError::NoSuchVehicle);
    }
    let moves = found.into_iter().filter_map(|vehicle| {
        let now = *prices.get(&vehicle.id)?;
        let before = vehicle.listing_usd;
        Some((vehicle.id, PriceChange { before, now }))
    });
    let mut held = effects::lock_open_orders(tx, &vehicles).await?;
    add_price_events(&mut held, &moves.collect())?;
    vehicles::store::set_prices(tx, prices, now).await?;
    render(tx, &vehicles).await?;
    transitions::record(tx, actor, &held).await?;
    Ok(held)
}

/// Makes the operator's step of one order. Securing a buy-now vehicle withdraws it and fails its other open orders.
///
/// Other orders on an auction lot stay unchanged: [`settle`] ends them.
pub(crate) async fn advance(
    tx: &mut Tx,
    actor: &Actor,
    order: OrderId,
    step: &Transition,
    now: DateTime<Utc>,
) -> Result<Vec<LockedOrder>, AuctionError> {
    let held = transitions::hold(tx, None, order).await?;
    let mut held = held.ok_or(AuctionError::NoSuchOrder)?;
    held.advance(step, Owner::Operator)?;
    let mut all = Vec::new();
    let vehicles = std::slice::from_ref(&held.order.vehicle_id);
    if held.order.bid.is_none() && matches!(step, Transition::Secure { .. }) {
        all = effects::lock_open_orders(tx, vehicles).await?;
        all.retain(|it| it.order.id != order && it.order.bid.is_none());
        for other in &mut all {
            let step = Transition::Fail(FailureReason::VehicleUnavailable);
            pass_through_acquiring(other, &step)?;
            other.advance(&step, Owner::Operator)?;
        }
        vehicles::store::set_withdrawn(tx, vehicles, WithdrawnBy::Operator, now).await?;
    }
    all.push(held);
    transitions::record(tx, actor, &all).await?;
    Ok(all)
}

/// Records the audit row of a changed vehicle. `partner` is the partner that made the change in the sandbox.
pub(crate) async fn record(
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
