//! Commands of LMN's staff on orders and vehicles. Each is one transaction, and is called by the command line.

use std::collections::HashMap;

use chrono::{DateTime, Utc};
use serde::Serialize;

use super::{
    auction::{self, AuctionError},
    effects,
    outcome::AuctionOutcome,
    state::OrderStatus,
    transition::{LockedOrder, Transition},
    transitions,
};
use crate::{
    audit::model::Actor,
    clock,
    database::{Database, Tx},
    values::{
        id::{OrderId, PartnerId, VehicleId},
        money::Usd,
    },
};

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
    fn all(held: &[LockedOrder]) -> Vec<Self> {
        let touched = held.iter().filter(|it| it.is_touched());
        let concerned = touched.map(|it| Self {
            order_id: it.order.id,
            partner_id: it.partner,
            status: it.order.state.status,
        });
        concerned.collect()
    }
}

/// Makes a step of an order. Securing a buy-now vehicle for one order fails all its other open orders.
pub async fn advance(
    database: &Database,
    actor: &Actor,
    order: OrderId,
    step: &Transition,
) -> Result<Vec<AffectedOrder>, AuctionError> {
    let mut tx = database.begin().await?;
    let now = clock::store::real_now(&mut tx).await?;
    let held = auction::advance(&mut tx, actor, order, step, now).await?;
    tx.commit().await?;
    Ok(AffectedOrder::all(&held))
}

/// Records the result of a vehicle's auction for every order that bids on it.
pub async fn settle(
    database: &Database,
    actor: &Actor,
    vehicle: &VehicleId,
    outcome: AuctionOutcome,
) -> Result<Vec<AffectedOrder>, AuctionError> {
    act(
        database,
        actor,
        "vehicle.settled",
        vehicle,
        async |tx, now| auction::settle(tx, actor, vehicle, outcome, now).await,
    )
    .await
}

/// Moves the auction of a vehicle to another date.
pub async fn reschedule(
    database: &Database,
    actor: &Actor,
    vehicle: &VehicleId,
    date: DateTime<Utc>,
) -> Result<Vec<AffectedOrder>, AuctionError> {
    let dates = HashMap::from([(vehicle.clone(), date)]);
    act(
        database,
        actor,
        "vehicle.rescheduled",
        vehicle,
        async |tx, now| auction::reschedule(tx, actor, &dates, now).await,
    )
    .await
}

/// Changes the listing price of a vehicle.
pub async fn reprice(
    database: &Database,
    actor: &Actor,
    vehicle: &VehicleId,
    price: Usd,
) -> Result<Vec<AffectedOrder>, AuctionError> {
    let prices = HashMap::from([(vehicle.clone(), price)]);
    act(
        database,
        actor,
        "vehicle.repriced",
        vehicle,
        async |tx, now| auction::reprice(tx, actor, &prices, now).await,
    )
    .await
}

/// Withdraws a vehicle from the catalogue, and ends its open orders.
pub async fn withdraw(
    database: &Database,
    actor: &Actor,
    vehicle: &VehicleId,
) -> Result<Vec<AffectedOrder>, AuctionError> {
    let vehicles = std::slice::from_ref(vehicle);
    act(
        database,
        actor,
        "vehicle.withdrawn",
        vehicle,
        async |tx, now| auction::withdraw(tx, actor, vehicles, now).await,
    )
    .await
}

/// Puts a withdrawn vehicle back into the catalogue.
pub async fn restore(
    database: &Database,
    actor: &Actor,
    vehicle: &VehicleId,
) -> Result<Vec<AffectedOrder>, AuctionError> {
    act(
        database,
        actor,
        "vehicle.restored",
        vehicle,
        async |tx, now| auction::restore(tx, actor, vehicle, now).await,
    )
    .await
}

/// Records an event for partners that ordered a vehicle before it was listed again.
pub async fn relist(
    database: &Database,
    actor: &Actor,
    vehicle: &VehicleId,
) -> Result<Vec<AffectedOrder>, AuctionError> {
    let mut tx = database.begin().await?;
    let held = effects::relist(&mut tx, std::slice::from_ref(vehicle)).await?;
    transitions::record(&mut tx, actor, &held).await?;
    tx.commit().await?;
    Ok(AffectedOrder::all(&held))
}

/// Changes a vehicle in one transaction, with its audit row. The change of its orders records their audit rows.
async fn act(
    database: &Database,
    actor: &Actor,
    action: &str,
    vehicle: &VehicleId,
    change: impl AsyncFnOnce(&mut Tx, DateTime<Utc>) -> Result<Vec<LockedOrder>, AuctionError>,
) -> Result<Vec<AffectedOrder>, AuctionError> {
    let mut tx = database.begin().await?;
    let now = clock::store::real_now(&mut tx).await?;
    let held = change(&mut tx, now).await?;
    auction::record(&mut tx, actor, None, action, vehicle, now).await?;
    tx.commit().await?;
    Ok(AffectedOrder::all(&held))
}
