//! Effects of changed vehicles on their orders: auction results, new dates and prices, withdrawals, re-listings.
//!
//! Used for changes of single vehicles ([`auction`](super::auction)) and by the catalogue import, which changes
//! thousands at a time. The caller has locked the vehicles, and changes their rows itself.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use chrono::{DateTime, Utc};

use super::{
    outcome::AuctionOutcome,
    state::{CancellationReason, FailureReason, OrderStatus, Owner},
    store,
    transition::{LockedOrder, Transition, TransitionError, rank_bids},
    transitions::TransitionFailed,
};
use crate::{
    database::Tx,
    events::model::EventKind,
    values::{
        id::{OrderId, VehicleId},
        money::Usd,
        timestamp::Timestamp,
    },
};

/// A change of a vehicle's listing price.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct PriceChange {
    /// The old price.
    pub before: Usd,
    /// The new price.
    pub now: Usd,
}

/// Locks and reads the orders on locked vehicles that are `proceed` or `acquiring`.
pub(crate) async fn lock_open_orders(
    tx: &mut Tx,
    vehicles: &[VehicleId],
) -> Result<Vec<LockedOrder>, sqlx::Error> {
    let ids = store::lock_open(tx, vehicles).await?;
    store::hold(tx, &ids).await
}

/// Applies the outcome of an auction to one order. An order in `proceed` is cancelled, or passes through `acquiring`.
pub(crate) fn end(
    held: &mut LockedOrder,
    outcome: AuctionOutcome,
    is_winner: bool,
) -> Result<(), TransitionError> {
    let step = match (outcome, held.order.state.status) {
        (AuctionOutcome::Won { price, fee }, _) if is_winner => Transition::Secure {
            purchase_price: price,
            auction_fee: fee,
        },
        (AuctionOutcome::Won { .. }, _) => Transition::Fail(FailureReason::OutbidInternally),
        (AuctionOutcome::Outbid, _) => Transition::Fail(FailureReason::Outbid),
        (AuctionOutcome::Cancelled, OrderStatus::Proceed) => {
            Transition::Cancel(CancellationReason::AuctionCancelled)
        }
        (AuctionOutcome::Cancelled, _) => Transition::Fail(FailureReason::AuctionCancelled),
        (AuctionOutcome::Withdrawn, OrderStatus::Proceed) => {
            Transition::Cancel(CancellationReason::SellerWithdrew)
        }
        (AuctionOutcome::Withdrawn, _) => Transition::Fail(FailureReason::VehicleUnavailable),
    };
    pass_through_acquiring(held, &step)?;
    held.advance(&step, Owner::Operator)
}

/// Moves an order in `proceed` to `acquiring`, unless the step to come is a cancellation.
pub(crate) fn pass_through_acquiring(
    held: &mut LockedOrder,
    step: &Transition,
) -> Result<(), TransitionError> {
    let is_cancelled = matches!(step, Transition::Cancel(_));
    if held.order.state.status == OrderStatus::Proceed && !is_cancelled {
        held.advance(&Transition::Acquire, Owner::Operator)?;
    }
    Ok(())
}

/// Moves the auctions of locked orders, and adds an event to each order.
///
/// If this moves a cutoff from the future into the past, orders in `proceed` are cancelled.
pub(crate) fn move_auctions(
    held: &mut [LockedOrder],
    dates: &HashMap<VehicleId, DateTime<Utc>>,
) -> Result<(), TransitionError> {
    let mut moved = BTreeMap::new();
    for held in held.iter_mut() {
        if let Some(date) = dates.get(&held.order.vehicle_id)
            && let Some(happening) = move_auction(held, Timestamp::kst(*date))?
        {
            moved.insert(held.order.id, happening);
        }
    }
    // The other events come after the cancellations, so that they show the standing among the remaining bids.
    held.sort_by(|one, other| one.order.vehicle_id.cmp(&other.order.vehicle_id));
    held.chunk_by_mut(|one, other| one.order.vehicle_id == other.order.vehicle_id)
        .for_each(rank_bids);
    for held in held {
        if let Some(happening) = moved.get(&held.order.id) {
            held.happen(happening)?;
        }
    }
    Ok(())
}

/// Moves the auction of one order. Cancels the order if its cutoff is now past, else returns the event to add to it.
fn move_auction(
    held: &mut LockedOrder,
    date: Timestamp,
) -> Result<Option<EventKind>, TransitionError> {
    let now = held.now;
    let Some(bid) = held
        .order
        .bid
        .as_mut()
        .filter(|bid| bid.auction_date != date)
    else {
        return Ok(None);
    };
    let happening = EventKind::AuctionRescheduled {
        previous_auction_date: bid.auction_date,
    };
    let was_open = now < bid.order_cutoff_at.instant();
    bid.auction_date = date;
    bid.order_cutoff_at = date.order_cutoff();
    let is_closed = now >= bid.order_cutoff_at.instant();
    held.order.updated_at = now;
    if was_open && is_closed && held.order.state.status == OrderStatus::Proceed {
        held.happen(&happening)?;
        let reason = CancellationReason::AuctionRescheduledTooSoon;
        held.advance(&Transition::Cancel(reason), Owner::Operator)?;
        return Ok(None);
    }
    Ok(Some(happening))
}

/// Adds an event to the orders in `proceed` whose vehicles have new prices.
pub(crate) fn add_price_events(
    held: &mut [LockedOrder],
    moves: &HashMap<VehicleId, PriceChange>,
) -> Result<(), TransitionError> {
    for held in held {
        let moved = moves.get(&held.order.vehicle_id);
        let moved = moved.filter(|it| it.before != it.now);
        if let Some(PriceChange { before, now }) = moved.copied()
            && held.order.state.status == OrderStatus::Proceed
        {
            held.happen(&EventKind::PriceUpdated {
                previous_listing_usd: before,
                listing_usd: now,
            })?;
        }
    }
    Ok(())
}

/// Adds an event to former orders of vehicles that are listed again: to the latest one of each partner.
///
/// Returns these orders, locked. The caller records the events.
pub(crate) async fn relist(
    tx: &mut Tx,
    vehicles: &[VehicleId],
) -> Result<Vec<LockedOrder>, TransitionFailed> {
    if store::find_former(tx, vehicles).await?.is_empty() {
        return Ok(Vec::new());
    }
    store::lock_relisting(tx).await?;
    let mut former = store::find_former(tx, vehicles).await?;
    let ids = loop {
        let ids = ids_of(&former);
        let listed: Vec<_> = ids.iter().copied().collect();
        store::lock_alone(tx, &listed).await?;
        // While this waited for the locks, a later order may have ended, which is then the latest one.
        former = store::find_former(tx, vehicles).await?;
        if ids_of(&former) == ids {
            break listed;
        }
    };
    let mut relisted = BTreeMap::<_, Vec<_>>::new();
    for (order, new_vehicle_id) in former {
        relisted.entry(order).or_default().push(new_vehicle_id);
    }
    let mut held = store::hold(tx, &ids).await?;
    for held in &mut held {
        for new_vehicle_id in relisted.remove(&held.order.id).unwrap_or_default() {
            let added = held.happen(&EventKind::ReAuctioned { new_vehicle_id });
            added.map_err(TransitionError::from)?;
        }
    }
    Ok(held)
}

fn ids_of(former: &[(OrderId, VehicleId)]) -> BTreeSet<OrderId> {
    former.iter().map(|(order, _)| *order).collect()
}
