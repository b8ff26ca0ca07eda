//! What LMN's people do to orders and cars: each act is one transaction, which the command line calls.

use std::collections::HashMap;

use chrono::{DateTime, Utc};
use sqlx::PgPool;

use super::{
    advance::Advance,
    auction::{self, AuctionError, AuctionOutcome},
};
use crate::{
    audit::model::Author,
    clock, db,
    id::{OrderId, VehicleId},
    money::Usd,
};

/// Makes a step of an order. A buy-now car that is secured for one order is gone for all others.
pub async fn advance(
    pool: &PgPool,
    author: &Author,
    order: OrderId,
    step: &Advance,
) -> Result<(), AuctionError> {
    let mut tx = db::begin(pool).await?;
    let now = clock::store::real_now(&mut tx).await?;
    auction::advance(&mut tx, author, order, step, now).await?;
    Ok(tx.commit().await?)
}

/// Settles the auction of a car for every order that bids on it.
pub async fn settle(
    pool: &PgPool,
    author: &Author,
    vehicle: &VehicleId,
    outcome: AuctionOutcome,
) -> Result<(), AuctionError> {
    let mut tx = db::begin(pool).await?;
    let now = clock::store::real_now(&mut tx).await?;
    auction::settle(&mut tx, author, vehicle, outcome, now).await?;
    Ok(tx.commit().await?)
}

/// Moves the auction of a car.
pub async fn reschedule(
    pool: &PgPool,
    author: &Author,
    vehicle: &VehicleId,
    date: DateTime<Utc>,
) -> Result<(), AuctionError> {
    let mut tx = db::begin(pool).await?;
    let now = clock::store::real_now(&mut tx).await?;
    let dates = HashMap::from([(vehicle.clone(), date)]);
    auction::reschedule(&mut tx, author, &dates, now).await?;
    Ok(tx.commit().await?)
}

/// Lists a car at another price.
pub async fn reprice(
    pool: &PgPool,
    author: &Author,
    vehicle: &VehicleId,
    price: Usd,
) -> Result<(), AuctionError> {
    let mut tx = db::begin(pool).await?;
    let now = clock::store::real_now(&mut tx).await?;
    let prices = HashMap::from([(vehicle.clone(), price)]);
    auction::reprice(&mut tx, author, &prices, now).await?;
    Ok(tx.commit().await?)
}

/// Takes a car off the catalogue, and its orders off the car.
pub async fn withdraw(
    pool: &PgPool,
    author: &Author,
    vehicle: &VehicleId,
) -> Result<(), AuctionError> {
    let mut tx = db::begin(pool).await?;
    let now = clock::store::real_now(&mut tx).await?;
    auction::withdraw(&mut tx, author, std::slice::from_ref(vehicle), now).await?;
    Ok(tx.commit().await?)
}

/// Tells partners that a car which they once ordered is listed again.
pub async fn relist(
    pool: &PgPool,
    author: &Author,
    vehicle: &VehicleId,
) -> Result<(), AuctionError> {
    let mut tx = db::begin(pool).await?;
    auction::relist(&mut tx, author, std::slice::from_ref(vehicle)).await?;
    Ok(tx.commit().await?)
}
