//! What a change of a car does to its orders: results, new dates and prices, withdrawals, re-listings.
//!
//! Each is one function that takes many cars at once, locks them in the order of their ids, changes their rows, lets
//! their orders go on, and tells the partners, all in the caller's transaction (contract, sections 7 and 8). Each returns the orders that it concerns.

use std::collections::{BTreeSet, HashMap};

use chrono::{DateTime, Utc};
use serde_json::json;

use super::{
    advance::{Advance, AdvanceError, Held, rank_bids},
    outcome::AuctionOutcome,
    progress::{self, ProgressError},
    state::{CancellationReason, FailureReason, OrderStatus, Owner},
    store,
};
use crate::{
    audit::{self, model::Author, store::Change},
    db::Tx,
    events::model::Happening,
    id::{OrderId, PartnerId, VehicleId},
    money::Usd,
    stamp::Stamp,
    vehicles::{self, model::HeldCar},
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

impl From<serde_json::Error> for AuctionError {
    fn from(error: serde_json::Error) -> Self {
        AdvanceError::from(error).into()
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
    let mut held = hold_open(tx, cars).await?;
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
        }
        AuctionOutcome::Cancelled | AuctionOutcome::Withdrawn => {
            vehicles::store::set_withdrawn(tx, cars, now).await?;
        }
    }
    progress::record(tx, author, &held).await?;
    Ok(held)
}

/// Brings one order to its end; orders on which LMN has not acted pass through `acquiring` where money was at stake.
fn end(held: &mut Held, outcome: AuctionOutcome, is_winner: bool) -> Result<(), AdvanceError> {
    let step = match (outcome, held.order.state.status) {
        (AuctionOutcome::Won { price, fee }, _) if is_winner => Advance::Secure {
            purchase_price: price,
            auction_fee: fee,
        },
        (AuctionOutcome::Won { .. }, _) => Advance::Fail(FailureReason::OutbidInternally),
        (AuctionOutcome::Outbid, _) => Advance::Fail(FailureReason::Outbid),
        (AuctionOutcome::Cancelled, OrderStatus::Proceed) => {
            Advance::Cancel(CancellationReason::AuctionCancelled)
        }
        (AuctionOutcome::Cancelled, _) => Advance::Fail(FailureReason::AuctionCancelled),
        (AuctionOutcome::Withdrawn, OrderStatus::Proceed) => {
            Advance::Cancel(CancellationReason::SellerWithdrew)
        }
        (AuctionOutcome::Withdrawn, _) => Advance::Fail(FailureReason::VehicleUnavailable),
    };
    pass_through_acquiring(held, &step)?;
    held.advance(&step, Owner::Operator)
}

fn pass_through_acquiring(held: &mut Held, step: &Advance) -> Result<(), AdvanceError> {
    let is_cancelled = matches!(step, Advance::Cancel(_));
    if held.order.state.status == OrderStatus::Proceed && !is_cancelled {
        held.advance(&Advance::Acquire, Owner::Operator)?;
    }
    Ok(())
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
    let mut held = hold_open(tx, cars).await?;
    for held in &mut held {
        end(held, AuctionOutcome::Withdrawn, false)?;
    }
    vehicles::store::set_withdrawn(tx, cars, now).await?;
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
    let mut held = hold_open(tx, &cars).await?;
    held.retain(Held::is_bidding);
    let mut moved = Vec::with_capacity(held.len());
    for held in &mut held {
        if let Some(date) = dates.get(&held.order.vehicle_id) {
            moved.push(move_auction(held, Stamp::kst(*date))?);
        }
    }
    // Who is still bidding is told last, and how it stands by the bids that are left.
    held.sort_by(|one, other| one.order.vehicle_id.cmp(&other.order.vehicle_id));
    held.chunk_by_mut(|one, other| one.order.vehicle_id == other.order.vehicle_id)
        .for_each(rank_bids);
    for (order, happening) in moved.into_iter().flatten() {
        if let Some(held) = held.iter_mut().find(|it| it.order.id == order) {
            held.happen(&happening)?;
        }
    }
    vehicles::store::set_auction_dates(tx, dates, now).await?;
    progress::record(tx, author, &held).await?;
    Ok(held)
}

/// Moves one order's auction, and cancels it if that leaves no time; else returns what its partner is to be told.
fn move_auction(
    held: &mut Held,
    date: Stamp,
) -> Result<Option<(OrderId, Happening)>, AuctionError> {
    let now = held.now;
    let Some(bid) = held
        .order
        .bid
        .as_mut()
        .filter(|bid| bid.auction_date != date)
    else {
        return Ok(None);
    };
    let happening = Happening::AuctionRescheduled {
        previous_auction_date: bid.auction_date,
    };
    let was_open = now < bid.order_cutoff_at.instant();
    bid.auction_date = date;
    bid.order_cutoff_at = date.midnight_of_the_day_before();
    let is_closed = now >= bid.order_cutoff_at.instant();
    held.order.updated_at = now;
    if was_open && is_closed && held.order.state.status == OrderStatus::Proceed {
        held.happen(&happening)?;
        let reason = CancellationReason::AuctionRescheduledTooSoon;
        held.advance(&Advance::Cancel(reason), Owner::Operator)?;
        return Ok(None);
    }
    Ok(Some((held.order.id, happening)))
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
    let before: HashMap<_, _> = found.iter().map(|car| (&car.id, car.listing_usd)).collect();
    let mut held = hold_open(tx, &cars).await?;
    held.retain(|it| it.order.state.status == OrderStatus::Proceed);
    for held in &mut held {
        let vehicle = &held.order.vehicle_id;
        if let (Some(previous), Some(now)) = (before.get(vehicle), prices.get(vehicle))
            && previous != now
        {
            let (previous_listing_usd, listing_usd) = (*previous, *now);
            held.happen(&Happening::PriceUpdated {
                previous_listing_usd,
                listing_usd,
            })?;
        }
    }
    vehicles::store::set_prices(tx, prices, now).await?;
    progress::record(tx, author, &held).await?;
    Ok(held)
}

/// Tells the partners that ordered them in vain, or once before, that cars are listed again.
pub(crate) async fn relist(
    tx: &mut Tx,
    author: &Author,
    cars: &[VehicleId],
) -> Result<Vec<Held>, AuctionError> {
    store::lock_relisting(tx).await?;
    let mut former = store::find_former(tx, cars).await?;
    let ids = loop {
        let ids = ids_of(&former);
        let listed: Vec<_> = ids.iter().copied().collect();
        store::lock_alone(tx, &listed).await?;
        // While the locks were waited for, a later order may have come to its end, and be the latest one now.
        former = store::find_former(tx, cars).await?;
        if ids_of(&former) == ids {
            break listed;
        }
    };
    let mut held = store::hold(tx, &ids).await?;
    for (order, new_vehicle_id) in former {
        if let Some(held) = held.iter_mut().find(|it| it.order.id == order) {
            held.happen(&Happening::ReAuctioned { new_vehicle_id })?;
        }
    }
    progress::record(tx, author, &held).await?;
    Ok(held)
}

fn ids_of(former: &[(OrderId, VehicleId)]) -> BTreeSet<OrderId> {
    former.iter().map(|(order, _)| *order).collect()
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
        all = hold_open(tx, cars).await?;
        all.retain(|it| it.order.id != order && it.order.bid.is_none());
        for other in &mut all {
            let step = Advance::Fail(FailureReason::VehicleUnavailable);
            pass_through_acquiring(other, &step)?;
            other.advance(&step, Owner::Operator)?;
        }
        vehicles::store::set_withdrawn(tx, cars, now).await?;
    }
    all.push(held);
    progress::record(tx, author, &all).await?;
    Ok(all)
}

/// Locks and reads the orders on locked cars that LMN has not bought yet.
async fn hold_open(tx: &mut Tx, cars: &[VehicleId]) -> Result<Vec<Held>, sqlx::Error> {
    let ids = store::lock_open(tx, cars).await?;
    store::hold(tx, &ids).await
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
