//! `POST /operator/v1/vehicles/{id}/…`: the result or the time of an auction, the price of a vehicle, its withdrawal and
//! its return.

use std::collections::HashMap;

use axum::{extract::State, response::Response};

use super::refusals::refuse;
use crate::{
    catalogue_import::effects,
    database::clock,
    errors::ApiError,
    http::{body::Input, extract::Id},
    idempotency::Write,
    orders::{
        locked_order::LockedOrder,
        model::AuctionOutcome,
        operator::{self, AuctionError},
    },
    request::OperatorCaller,
    sandbox::vehicles::{
        Act, Nothing, Price, REPRICE, RESCHEDULE, Reschedule, SETTLE, SettleAuction, WITHDRAW, show,
    },
    values::id::VehicleId,
    vehicles::{search::Catalogue, view::VehicleView},
};

const RESTORE: Act = Act {
    asked: "restore",
    done: "vehicle.restored",
};

/// Records the audit row of a changed vehicle, commits, and returns the vehicle as it is now.
async fn conclude(
    catalogue: &Catalogue,
    caller: &OperatorCaller,
    mut write: Write,
    (id, act): (&VehicleId, Act),
    changed: Result<Vec<LockedOrder>, AuctionError>,
) -> Result<Response, ApiError> {
    changed.map_err(|error| refuse(error, id.as_str(), "price_usd").requesting(act.asked))?;
    let tx = write.tx();
    let now = clock::real_now(tx).await?;
    operator::audit_vehicle(tx, &caller.actor(), None, act.done, id, now).await?;
    show(catalogue, write, id, None).await
}

/// Records the result of a vehicle's auction for every order that bids on it. Before its date it has none.
#[utoipa::path(post, path = "/operator/v1/vehicles/{id}/auction-result", tag = "vehicles", params(Id::<VehicleId>),
    request_body = SettleAuction, responses(
        (status = 200, description = "The vehicle after the change.", body = VehicleView),
        (status = 404, description = "vehicle_not_found"),
        (status = 409, description = "invalid_status_transition"),
    ))]
pub(crate) async fn settle_auction(
    State(catalogue): State<Catalogue>,
    caller: OperatorCaller,
    mut write: Write,
    Input((), outcome): Input<(), AuctionOutcome>,
    Id(id): Id<VehicleId>,
) -> Result<Response, ApiError> {
    let (tx, actor) = (write.tx(), caller.actor());
    let now = clock::real_now(tx).await?;
    let changed = operator::record_result(tx, &actor, &id, outcome, now).await;
    conclude(&catalogue, &caller, write, (&id, SETTLE), changed).await
}

/// Moves the auction of a vehicle. Orders in `proceed` whose new cutoff has already passed are cancelled.
#[utoipa::path(post, path = "/operator/v1/vehicles/{id}/reschedule", tag = "vehicles", params(Id::<VehicleId>),
    request_body = Reschedule, responses(
        (status = 200, description = "The vehicle after the change.", body = VehicleView),
        (status = 404, description = "vehicle_not_found"),
        (status = 409, description = "invalid_status_transition"),
    ))]
pub(crate) async fn reschedule_auction(
    State(catalogue): State<Catalogue>,
    caller: OperatorCaller,
    mut write: Write,
    Input((), body): Input<(), Reschedule>,
    Id(id): Id<VehicleId>,
) -> Result<Response, ApiError> {
    let (tx, actor) = (write.tx(), caller.actor());
    let now = clock::real_now(tx).await?;
    let dates = HashMap::from([(id.clone(), body.auction_date.instant())]);
    let changed = effects::reschedule_vehicles(tx, &actor, &dates, now).await;
    conclude(&catalogue, &caller, write, (&id, RESCHEDULE), changed).await
}

/// Changes the listing price of a vehicle.
#[utoipa::path(post, path = "/operator/v1/vehicles/{id}/price", tag = "vehicles", params(Id::<VehicleId>),
    request_body = Price, responses(
        (status = 200, description = "The vehicle after the change.", body = VehicleView),
        (status = 404, description = "vehicle_not_found"),
    ))]
pub(crate) async fn reprice_vehicle(
    State(catalogue): State<Catalogue>,
    caller: OperatorCaller,
    mut write: Write,
    Input((), body): Input<(), Price>,
    Id(id): Id<VehicleId>,
) -> Result<Response, ApiError> {
    let (tx, actor) = (write.tx(), caller.actor());
    let now = clock::real_now(tx).await?;
    let prices = HashMap::from([(id.clone(), body.listing_usd)]);
    let changed = effects::reprice_vehicles(tx, &actor, &prices, now).await;
    conclude(&catalogue, &caller, write, (&id, REPRICE), changed).await
}

/// Withdraws a vehicle from the catalogue, and ends its open orders.
#[utoipa::path(post, path = "/operator/v1/vehicles/{id}/withdraw", tag = "vehicles", params(Id::<VehicleId>),
    request_body = Nothing, responses(
        (status = 200, description = "The vehicle after the change.", body = VehicleView),
        (status = 404, description = "vehicle_not_found"),
    ))]
pub(crate) async fn withdraw_vehicle(
    State(catalogue): State<Catalogue>,
    caller: OperatorCaller,
    mut write: Write,
    Input((), Nothing {}): Input<(), Nothing>,
    Id(id): Id<VehicleId>,
) -> Result<Response, ApiError> {
    let (tx, actor) = (write.tx(), caller.actor());
    let now = clock::real_now(tx).await?;
    let vehicles = std::slice::from_ref(&id);
    let changed = effects::withdraw_vehicles(tx, &actor, vehicles, now).await;
    conclude(&catalogue, &caller, write, (&id, WITHDRAW), changed).await
}

/// Puts a withdrawn vehicle back into the catalogue. A vehicle that LMN has bought stays withdrawn.
#[utoipa::path(post, path = "/operator/v1/vehicles/{id}/restore", tag = "vehicles", params(Id::<VehicleId>),
    request_body = Nothing, responses(
        (status = 200, description = "The vehicle after the change.", body = VehicleView),
        (status = 404, description = "vehicle_not_found"),
        (status = 409, description = "invalid_status_transition"),
    ))]
pub(crate) async fn restore_vehicle(
    State(catalogue): State<Catalogue>,
    caller: OperatorCaller,
    mut write: Write,
    Input((), Nothing {}): Input<(), Nothing>,
    Id(id): Id<VehicleId>,
) -> Result<Response, ApiError> {
    let (tx, actor) = (write.tx(), caller.actor());
    let now = clock::real_now(tx).await?;
    let changed = effects::restore_vehicle(tx, &actor, &id, now).await;
    conclude(&catalogue, &caller, write, (&id, RESTORE), changed).await
}
