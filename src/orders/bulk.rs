//! Commands of LMN's staff on many vehicles and orders: each row is recorded by itself and has an outcome of its own.
//!
//! A row that is repeated changes nothing, so a request whose response was lost can be sent again.

use std::collections::BTreeMap;

use chrono::NaiveDate;

use super::{
    locked_order::LockedOrder,
    model::AuctionOutcome,
    operator::{AuctionError, settle},
    state_machine::{OrderStatus, Owner, ShipmentChange, Transition},
    store, transitions,
};
use crate::{
    audit::Actor,
    database::{Connection, Database},
    values::{
        id::{OrderId, VehicleId},
        timestamp::Timestamp,
    },
    vehicles::{self, model::Source},
};

/// The number of vehicles that are acquired in one transaction.
const BATCH: usize = 50;

/// The effect of a row.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Effect {
    /// The row was recorded.
    Done,
    /// Everything was as the row says.
    Unchanged,
}

/// The maximum number of vehicles of an auction day that are listed.
const LISTED_MAX: i64 = 2_000;

/// Lists the vehicles with active bids whose auction is on a day in Korea, those with orders in `proceed` first.
pub(crate) async fn list_auctioned(
    conn: &mut Connection,
    day: NaiveDate,
    source: Option<Source>,
) -> Result<Vec<VehicleId>, sqlx::Error> {
    let midnight = |day| Timestamp::midnight_in_korea(day).instant();
    let next = day.succ_opt().unwrap_or(day);
    let between = (midnight(day), midnight(next));
    store::list_auctioned(conn, between, source, LISTED_MAX).await
}

/// Begins to buy vehicles: their orders in `proceed` whose cutoff has passed become `acquiring`.
///
/// Returns the outcomes in the order of the vehicles. The error is that of the database; what was done before it stays.
pub async fn acquire(
    database: &Database,
    actor: &Actor,
    vehicles: &[VehicleId],
) -> Result<Vec<Result<Effect, AuctionError>>, AuctionError> {
    let mut outcomes = Vec::with_capacity(vehicles.len());
    for batch in vehicles.chunks(BATCH) {
        let mut tx = database.begin().await?;
        let locked = vehicles::store::lock(&mut tx, batch).await?;
        let mut orders = transitions::lock_open_orders(&mut tx, batch).await?;
        orders.retain(LockedOrder::is_bidding);
        for order in orders.iter_mut().filter(|it| cutoff_ahead(it).is_none()) {
            if order.order.state.status == OrderStatus::Proceed {
                order.apply(&Transition::Acquire, Owner::Operator)?;
            }
        }
        transitions::record(&mut tx, actor, &orders).await?;
        tx.commit().await?;
        let mut of_vehicles = BTreeMap::<_, Vec<_>>::new();
        for order in &orders {
            let of_vehicle = of_vehicles.entry(&order.order.vehicle_id).or_default();
            of_vehicle.push(order);
        }
        for vehicle in batch {
            outcomes.push(match of_vehicles.get(vehicle) {
                Some(orders) => acquired(orders),
                None if locked.iter().any(|it| it.id == *vehicle) => Err(AuctionError::NoBids),
                None => Err(AuctionError::NoSuchVehicle),
            });
        }
    }
    Ok(outcomes)
}

/// Returns the outcome of a vehicle with these bids.
fn acquired(orders: &[&LockedOrder]) -> Result<Effect, AuctionError> {
    if orders.iter().any(|it| it.is_touched()) {
        return Ok(Effect::Done);
    }
    match orders.iter().find_map(|it| cutoff_ahead(it)) {
        Some(cutoff) => Err(AuctionError::NotClosed(cutoff)),
        None => Ok(Effect::Unchanged),
    }
}

/// Returns the cutoff of an order in `proceed` if it is still ahead by the partner's clock.
fn cutoff_ahead(order: &LockedOrder) -> Option<Timestamp> {
    let is_waiting = order.order.state.status == OrderStatus::Proceed;
    let bid = order.order.bid.filter(|_| is_waiting)?;
    Some(bid.order_cutoff_at).filter(|cutoff| order.now < cutoff.instant())
}

/// Records the result of a vehicle's auction, unless it is recorded already.
pub async fn record_result(
    database: &Database,
    actor: &Actor,
    vehicle: &VehicleId,
    outcome: AuctionOutcome,
) -> Result<Effect, AuctionError> {
    match settle(database, actor, vehicle, outcome).await {
        Ok(_) => Ok(Effect::Done),
        Err(AuctionError::NoOpenAuction) => {
            let mut connection = database.acquire().await?;
            let recorded = store::find_result(&mut connection, vehicle).await?;
            match recorded {
                Some(recorded) if recorded.is(outcome) => Ok(Effect::Unchanged),
                Some(recorded) if recorded.is_known() => Err(AuctionError::OtherResult),
                _ => Err(AuctionError::NoOpenAuction),
            }
        }
        Err(error) => Err(error),
    }
}

/// Changes the shipment of an order. An order that is `secured` begins to ship first.
pub async fn ship(
    database: &Database,
    actor: &Actor,
    id: OrderId,
    change: ShipmentChange,
) -> Result<Effect, AuctionError> {
    let mut tx = database.begin().await?;
    let order = transitions::lock(&mut tx, None, id).await?;
    let mut order = order.ok_or(AuctionError::NoSuchOrder)?;
    if order.order.state.status == OrderStatus::Secured {
        order.apply(&Transition::Ship, Owner::Operator)?;
    }
    order.apply(&Transition::Shipment(change), Owner::Operator)?;
    if !order.is_touched() {
        return Ok(Effect::Unchanged);
    }
    transitions::record(&mut tx, actor, std::slice::from_ref(&order)).await?;
    tx.commit().await?;
    Ok(Effect::Done)
}
