//! LMN's acts on cars: results, new dates and prices, withdrawals.
//!
//! Each is one function that locks the cars in the order of their ids, changes their rows, and lets their orders go on
//! as [`effects`] says, all in the caller's transaction (contract, sections 7 and 8). It returns the orders concerned.

use std::collections::HashMap;

use chrono::{DateTime, Utc};
use serde_json::json;

use super::{
    advance::{Advance, AdvanceError, Held},
    effects::{self, PriceMove, end, move_auctions, pass_through_acquiring, tell_prices},
    outcome::AuctionOutcome,
    progress::{self, ProgressError},
    state::{FailureReason, Owner},
    store,
};
use crate::{
    audit::{self, model::Author, store::Change},
    database::Tx,
    id::{OrderId, PartnerId, VehicleId},
    money::Usd,
    vehicles::{
        self,
        model::{HeldCar, WithdrawnBy},
        render::render,
    },
};

/// Why a car is not changed.
#[derive(Debug, thiserror::Error)]
pub enum AuctionError {
    /// There is no such car.
    #[error("there is no such vehicle")]
    NoSuchVehicle,
    /// There is no such order.
    #[error("there is no such order")]
    NoSuchOrder,
    /// The car is not sold by auction, or its auction is over and nobody waits for it.
    #[error("the vehicle has no auction that is still open")]
    NoOpenAuction,
    /// Nothing can be won for nobody.
    #[error("no order bids on the vehicle")]
    NobodyBids,
    /// It stands in the catalogue.
    #[error("the vehicle was not taken off the catalogue")]
    NotWithdrawn,
    /// It is LMN's, and nobody else's any more.
    #[error("LMN has bought the vehicle")]
    Bought,
    /// An order does not go on.
    #[error(transparent)]
    Progress(#[from] ProgressError),
}

impl From<sqlx::Error> for AuctionError {
    fn from(error: sqlx::Error) -> Self {
        Self::Progress(error.into())
    }
}

impl From<AdvanceError> for AuctionError {
    fn from(error: AdvanceError) -> Self {
        Self::Progress(error.into())
    }
}

/// Settles the auction of a car: every order that bids on it comes to its end, or is secured.
pub(crate) async fn settle(
    tx: &mut Tx,
    author: &Author,
    vehicle: &VehicleId,
    outcome: AuctionOutcome,
    now: DateTime<Utc>,
) -> Result<Vec<Held>, AuctionError> {
    let cars = std::slice::from_ref(vehicle);
    let car = vehicles::store::hold(tx, cars).await?.pop();
    let car = car.ok_or(AuctionError::NoSuchVehicle)?;
    let mut held = effects::hold_open(tx, cars).await?;
    held.retain(Held::is_bidding);
    if !car.is_auctioned() || (held.is_empty() && !car.is_upcoming()) {
        return Err(AuctionError::NoOpenAuction);
    }
    let winner = held.iter().find(|it| leads(it)).map(|it| it.order.id);
    if winner.is_none() && matches!(outcome, AuctionOutcome::Won { .. }) {
        return Err(AuctionError::NobodyBids);
    }
    for held in &mut held {
        end(held, outcome, Some(held.order.id) == winner)?;
    }
    match outcome {
        AuctionOutcome::Won { .. } | AuctionOutcome::Outbid => {
            vehicles::store::set_sold(tx, cars, now).await?;
            render(tx, cars).await?;
        }
        AuctionOutcome::Cancelled | AuctionOutcome::Withdrawn => {
            vehicles::store::set_withdrawn(tx, cars, WithdrawnBy::Operator, now).await?;
        }
    }
    progress::record(tx, author, &held).await?;
    Ok(held)
}

fn leads(held: &Held) -> bool {
    held.order.bid.is_some_and(|bid| bid.standing.is_highest)
}

/// Takes cars off the catalogue, and their orders off the cars, those without a bid included.
pub(crate) async fn withdraw(
    tx: &mut Tx,
    author: &Author,
    cars: &[VehicleId],
    now: DateTime<Utc>,
) -> Result<Vec<Held>, AuctionError> {
    if vehicles::store::hold(tx, cars).await?.len() < cars.len() {
        return Err(AuctionError::NoSuchVehicle);
    }
    let mut held = effects::hold_open(tx, cars).await?;
    for held in &mut held {
        end(held, AuctionOutcome::Withdrawn, false)?;
    }
    vehicles::store::set_withdrawn(tx, cars, WithdrawnBy::Operator, now).await?;
    progress::record(tx, author, &held).await?;
    Ok(held)
}

/// Puts a car back that was taken off the catalogue, and tells the partners that once ordered it.
pub(crate) async fn restore(
    tx: &mut Tx,
    author: &Author,
    vehicle: &VehicleId,
    now: DateTime<Utc>,
) -> Result<Vec<Held>, AuctionError> {
    let cars = std::slice::from_ref(vehicle);
    let car = vehicles::store::hold(tx, cars).await?.pop();
    let car = car.ok_or(AuctionError::NoSuchVehicle)?;
    if car.withdrawn_at.is_none() {
        return Err(AuctionError::NotWithdrawn);
    }
    if !store::find_bought(tx, &[vehicle.as_str()])
        .await?
        .is_empty()
    {
        return Err(AuctionError::Bought);
    }
    vehicles::store::set_restored(tx, vehicle, now).await?;
    render(tx, cars).await?;
    let mut held = Vec::new();
    if car.is_on_offer() {
        held = effects::relist(tx, cars).await?;
    }
    progress::record(tx, author, &held).await?;
    Ok(held)
}

/// Moves auctions to other dates, and the orders that bid with them.
///
/// Where this moves a cutoff from the future into the past, orders on which LMN has not acted are cancelled.
pub(crate) async fn reschedule(
    tx: &mut Tx,
    author: &Author,
    dates: &HashMap<VehicleId, DateTime<Utc>>,
    now: DateTime<Utc>,
) -> Result<Vec<Held>, AuctionError> {
    let cars: Vec<_> = dates.keys().cloned().collect();
    let found = vehicles::store::hold(tx, &cars).await?;
    if found.len() < dates.len() {
        return Err(AuctionError::NoSuchVehicle);
    }
    if !found.iter().all(HeldCar::is_upcoming) {
        return Err(AuctionError::NoOpenAuction);
    }
    let mut held = effects::hold_open(tx, &cars).await?;
    move_auctions(&mut held, dates)?;
    vehicles::store::set_auction_dates(tx, dates, now).await?;
    render(tx, &cars).await?;
    progress::record(tx, author, &held).await?;
    Ok(held)
}

/// Lists cars at other prices, and tells those whose orders LMN has not acted on.
pub(crate) async fn reprice(
    tx: &mut Tx,
    author: &Author,
    prices: &HashMap<VehicleId, Usd>,
    now: DateTime<Utc>,
) -> Result<Vec<Held>, AuctionError> {
    let cars: Vec<_> = prices.keys().cloned().collect();
    let found = vehicles::store::hold(tx, &cars).await?;
    if found.len() < prices.len() {
        return Err(AuctionError::NoSuchVehicle);
    }
    let moves = found.into_iter().filter_map(|car| {
        let now = *prices.get(&car.id)?;
        let before = car.listing_usd;
        Some((car.id, PriceMove { before, now }))
    });
    let mut held = effects::hold_open(tx, &cars).await?;
    tell_prices(&mut held, &moves.collect())?;
    vehicles::store::set_prices(tx, prices, now).await?;
    render(tx, &cars).await?;
    progress::record(tx, author, &held).await?;
    Ok(held)
}

/// Makes LMN's step of one order, with what it does to others: a buy-now car that is secured for one is gone for all.
///
/// A lot is left to [`settle`]: other orders may still bid on it as far as the table goes.
pub(crate) async fn advance(
    tx: &mut Tx,
    author: &Author,
    order: OrderId,
    step: &Advance,
    now: DateTime<Utc>,
) -> Result<Vec<Held>, AuctionError> {
    let held = progress::hold(tx, None, order).await?;
    let mut held = held.ok_or(AuctionError::NoSuchOrder)?;
    held.advance(step, Owner::Operator)?;
    let mut all = Vec::new();
    let cars = std::slice::from_ref(&held.order.vehicle_id);
    if held.order.bid.is_none() && matches!(step, Advance::Secure { .. }) {
        all = effects::hold_open(tx, cars).await?;
        all.retain(|it| it.order.id != order && it.order.bid.is_none());
        for other in &mut all {
            let step = Advance::Fail(FailureReason::VehicleUnavailable);
            pass_through_acquiring(other, &step)?;
            other.advance(&step, Owner::Operator)?;
        }
        vehicles::store::set_withdrawn(tx, cars, WithdrawnBy::Operator, now).await?;
    }
    all.push(held);
    progress::record(tx, author, &all).await?;
    Ok(all)
}

/// Leaves a row in the audit log about a car that was changed; `partner` is who played the operator in the sandbox.
pub(crate) async fn record(
    tx: &mut Tx,
    author: &Author,
    partner: Option<PartnerId>,
    action: &str,
    vehicle: &VehicleId,
    now: DateTime<Utc>,
) -> Result<(), sqlx::Error> {
    let change = Change {
        author,
        partner,
        action,
        subject: vehicle.as_str(),
        details: json!({}),
    };
    audit::store::record(tx, &change, now).await
}
