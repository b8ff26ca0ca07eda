//! What LMN's people do to orders and cars: each act is one transaction, which the command line calls.

use std::collections::HashMap;

use chrono::{DateTime, Utc};
use serde::Serialize;

use super::{
    advance::{Advance, Held},
    auction::{self, AuctionError},
    effects,
    outcome::AuctionOutcome,
    progress,
    state::OrderStatus,
};
use crate::{
    audit::model::Author,
    clock,
    database::{Database, Tx},
    id::{OrderId, PartnerId, VehicleId},
    money::Usd,
};

/// An order that an act concerned, as it is now.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Concerned {
    /// The order.
    pub order_id: OrderId,
    /// Whose it is.
    pub partner_id: PartnerId,
    /// Where it is.
    pub status: OrderStatus,
}

impl Concerned {
    fn all(held: &[Held]) -> Vec<Self> {
        let touched = held.iter().filter(|it| it.is_touched());
        let concerned = touched.map(|it| Self {
            order_id: it.order.id,
            partner_id: it.partner,
            status: it.order.state.status,
        });
        concerned.collect()
    }
}

/// Makes a step of an order. A buy-now car that is secured for one order is gone for all others.
pub async fn advance(
    database: &Database,
    author: &Author,
    order: OrderId,
    step: &Advance,
) -> Result<Vec<Concerned>, AuctionError> {
    let mut tx = database.begin().await?;
    let now = clock::store::real_now(&mut tx).await?;
    let held = auction::advance(&mut tx, author, order, step, now).await?;
    tx.commit().await?;
    Ok(Concerned::all(&held))
}

/// Settles the auction of a car for every order that bids on it.
pub async fn settle(
    database: &Database,
    author: &Author,
    vehicle: &VehicleId,
    outcome: AuctionOutcome,
) -> Result<Vec<Concerned>, AuctionError> {
    act(
        database,
        author,
        "vehicle.settled",
        vehicle,
        async |tx, now| auction::settle(tx, author, vehicle, outcome, now).await,
    )
    .await
}

/// Moves the auction of a car.
pub async fn reschedule(
    database: &Database,
    author: &Author,
    vehicle: &VehicleId,
    date: DateTime<Utc>,
) -> Result<Vec<Concerned>, AuctionError> {
    let dates = HashMap::from([(vehicle.clone(), date)]);
    act(
        database,
        author,
        "vehicle.rescheduled",
        vehicle,
        async |tx, now| auction::reschedule(tx, author, &dates, now).await,
    )
    .await
}

/// Lists a car at another price.
pub async fn reprice(
    database: &Database,
    author: &Author,
    vehicle: &VehicleId,
    price: Usd,
) -> Result<Vec<Concerned>, AuctionError> {
    let prices = HashMap::from([(vehicle.clone(), price)]);
    act(
        database,
        author,
        "vehicle.repriced",
        vehicle,
        async |tx, now| auction::reprice(tx, author, &prices, now).await,
    )
    .await
}

/// Takes a car off the catalogue, and its orders off the car.
pub async fn withdraw(
    database: &Database,
    author: &Author,
    vehicle: &VehicleId,
) -> Result<Vec<Concerned>, AuctionError> {
    let cars = std::slice::from_ref(vehicle);
    act(
        database,
        author,
        "vehicle.withdrawn",
        vehicle,
        async |tx, now| auction::withdraw(tx, author, cars, now).await,
    )
    .await
}

/// Puts a car back that was taken off the catalogue.
pub async fn restore(
    database: &Database,
    author: &Author,
    vehicle: &VehicleId,
) -> Result<Vec<Concerned>, AuctionError> {
    act(
        database,
        author,
        "vehicle.restored",
        vehicle,
        async |tx, now| auction::restore(tx, author, vehicle, now).await,
    )
    .await
}

/// Tells partners that a car which they once ordered is listed again.
pub async fn relist(
    database: &Database,
    author: &Author,
    vehicle: &VehicleId,
) -> Result<Vec<Concerned>, AuctionError> {
    let mut tx = database.begin().await?;
    let held = effects::relist(&mut tx, std::slice::from_ref(vehicle)).await?;
    progress::record(&mut tx, author, &held).await?;
    tx.commit().await?;
    Ok(Concerned::all(&held))
}

/// Changes a car in one transaction, with its audit row; those of its orders are left where the orders go on.
async fn act(
    database: &Database,
    author: &Author,
    action: &str,
    vehicle: &VehicleId,
    change: impl AsyncFnOnce(&mut Tx, DateTime<Utc>) -> Result<Vec<Held>, AuctionError>,
) -> Result<Vec<Concerned>, AuctionError> {
    let mut tx = database.begin().await?;
    let now = clock::store::real_now(&mut tx).await?;
    let held = change(&mut tx, now).await?;
    auction::record(&mut tx, author, None, action, vehicle, now).await?;
    tx.commit().await?;
    Ok(Concerned::all(&held))
}
