//! `POST /operator/v1/vehicles/{id}/…`: the result or the time of an auction, the price of a vehicle, its withdrawal and
//! its return.

use axum::{extract::State, response::Response};

use super::refusals::refuse;
use crate::{
    catalogue_import::vehicle_change::VehicleChange,
    errors::ApiError,
    http::{body::Input, extract::Id},
    idempotency::Write,
    orders::model::AuctionOutcome,
    request::OperatorCaller,
    sandbox::vehicles::{Nothing, Price, Reschedule, SettleAuction, show},
    values::id::VehicleId,
    vehicles::{search::Catalogue, view::VehicleView},
};

/// Changes a vehicle, and returns it as it is now.
async fn change(
    catalogue: &Catalogue,
    caller: &OperatorCaller,
    mut write: Write,
    id: &VehicleId,
    change: VehicleChange,
) -> Result<Response, ApiError> {
    let made = change.make(write.tx(), &caller.actor(), None, id).await;
    made.map_err(|error| refuse(error, id.as_str(), "price_usd").requesting(change.requested()))?;
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
    write: Write,
    Input((), outcome): Input<(), AuctionOutcome>,
    Id(id): Id<VehicleId>,
) -> Result<Response, ApiError> {
    let settle = VehicleChange::Settle(outcome);
    change(&catalogue, &caller, write, &id, settle).await
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
    write: Write,
    Input((), body): Input<(), Reschedule>,
    Id(id): Id<VehicleId>,
) -> Result<Response, ApiError> {
    let reschedule = VehicleChange::Reschedule(body.auction_date.instant());
    change(&catalogue, &caller, write, &id, reschedule).await
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
    write: Write,
    Input((), body): Input<(), Price>,
    Id(id): Id<VehicleId>,
) -> Result<Response, ApiError> {
    let reprice = VehicleChange::Reprice(body.listing_usd);
    change(&catalogue, &caller, write, &id, reprice).await
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
    write: Write,
    Input((), Nothing {}): Input<(), Nothing>,
    Id(id): Id<VehicleId>,
) -> Result<Response, ApiError> {
    change(&catalogue, &caller, write, &id, VehicleChange::Withdraw).await
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
    write: Write,
    Input((), Nothing {}): Input<(), Nothing>,
    Id(id): Id<VehicleId>,
) -> Result<Response, ApiError> {
    change(&catalogue, &caller, write, &id, VehicleChange::Restore).await
}
