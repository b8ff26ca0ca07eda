//! What a change of cars does to their orders: results, new dates and prices, withdrawals, re-listings.
//!
//! Whoever changes cars comes by here, one at a time ([`auction`](super::auction)) or by the thousand (the import of a
//! catalogue). The cars are locked already; their rows are none of these functions' business.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use chrono::{DateTime, Utc};

use super::{
    advance::{Advance, AdvanceError, Held, rank_bids},
    outcome::AuctionOutcome,
    progress::ProgressError,
    state::{CancellationReason, FailureReason, OrderStatus, Owner},
    store,
};
use crate::{
    database::Tx,
    events::model::Happening,
    id::{OrderId, VehicleId},
    money::Usd,
    stamp::Stamp,
};

/// A car's price, and what it was until now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct PriceMove {
    /// Until now.
    pub before: Usd,
    /// From now on.
    pub now: Usd,
}

/// Locks and reads the orders on locked cars that LMN has not bought yet.
pub(crate) async fn hold_open(tx: &mut Tx, cars: &[VehicleId]) -> Result<Vec<Held>, sqlx::Error> {
    let ids = store::lock_open(tx, cars).await?;
    store::hold(tx, &ids).await
}

/// Brings one order to its end; orders on which LMN has not acted pass through `acquiring` where money was at stake.
pub(crate) fn end(
    held: &mut Held,
    outcome: AuctionOutcome,
    is_winner: bool,
) -> Result<(), AdvanceError> {
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

/// Takes an order to where it can fail, as far as it is not there yet.
pub(crate) fn pass_through_acquiring(held: &mut Held, step: &Advance) -> Result<(), AdvanceError> {
    let is_cancelled = matches!(step, Advance::Cancel(_));
    if held.order.state.status == OrderStatus::Proceed && !is_cancelled {
        held.advance(&Advance::Acquire, Owner::Operator)?;
    }
    Ok(())
}

/// Moves the auctions of held orders, and tells their partners.
///
/// Where this moves a cutoff from the future into the past, orders on which LMN has not acted are cancelled.
pub(crate) fn move_auctions(
    held: &mut [Held],
    dates: &HashMap<VehicleId, DateTime<Utc>>,
) -> Result<(), AdvanceError> {
    let mut moved = BTreeMap::new();
    for held in held.iter_mut() {
        if let Some(date) = dates.get(&held.order.vehicle_id)
            && let Some(happening) = move_auction(held, Stamp::kst(*date))?
        {
            moved.insert(held.order.id, happening);
        }
    }
    // Who is still bidding is told last, and how it stands by the bids that are left.
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

/// Moves one order's auction, and cancels it if that leaves no time; else returns what its partner is to be told.
fn move_auction(held: &mut Held, date: Stamp) -> Result<Option<Happening>, AdvanceError> {
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
    Ok(Some(happening))
}

/// Tells those whose orders LMN has not acted on that their cars have other prices.
pub(crate) fn tell_prices(
    held: &mut [Held],
    moves: &HashMap<VehicleId, PriceMove>,
) -> Result<(), AdvanceError> {
    for held in held {
        let moved = moves.get(&held.order.vehicle_id);
        let moved = moved.filter(|it| it.before != it.now);
        if let Some(PriceMove { before, now }) = moved.copied()
            && held.order.state.status == OrderStatus::Proceed
        {
            held.happen(&Happening::PriceUpdated {
                previous_listing_usd: before,
                listing_usd: now,
            })?;
        }
    }
    Ok(())
}

/// Tells the partners that ordered them in vain, or once before, that cars are listed again.
///
/// What is told is recorded by the caller.
pub(crate) async fn relist(tx: &mut Tx, cars: &[VehicleId]) -> Result<Vec<Held>, ProgressError> {
    if store::find_former(tx, cars).await?.is_empty() {
        return Ok(Vec::new());
    }
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
    let mut told = BTreeMap::<_, Vec<_>>::new();
    for (order, new_vehicle_id) in former {
        told.entry(order).or_default().push(new_vehicle_id);
    }
    let mut held = store::hold(tx, &ids).await?;
    for held in &mut held {
        for new_vehicle_id in told.remove(&held.order.id).unwrap_or_default() {
            let told = held.happen(&Happening::ReAuctioned { new_vehicle_id });
            told.map_err(AdvanceError::from)?;
        }
    }
    Ok(held)
}

fn ids_of(former: &[(OrderId, VehicleId)]) -> BTreeSet<OrderId> {
    former.iter().map(|(order, _)| *order).collect()
}
