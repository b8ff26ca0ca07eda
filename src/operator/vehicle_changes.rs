//! `POST /operator/v1/vehicles/{id}/…` and `POST /operator/v1/auction-results`: the result or the time of an auction, the
//! price of a vehicle, its withdrawal and its return, and the results of many auctions.

use axum::{extract::State, response::Response};
use utoipa::ToSchema;

use super::rows::{BulkReply, BulkRow, Rows, record_rows};
use crate::{
    audit::Actor,
    catalogue_import::effects::VehicleChange,
    database::Database,
    errors::ApiError,
    http::{
        body::Input,
        extract::Id,
        fields::{Fields, FromBody},
    },
    idempotency::{PendingWrite, Write},
    orders::{
        bulk::{self, Effect},
        model::{AuctionEnd, AuctionOutcome},
        operator::AuctionError,
        refusals::refuse,
    },
    request::OperatorCaller,
    sandbox::vehicles::{Nothing, Price, Reschedule, SettleAuction, show},
    values::{id::VehicleId, money::Usd},
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

/// The result of one auction.
#[derive(Debug)]
pub(crate) struct ResultRow {
    vehicle_id: String,
    outcome: AuctionOutcome,
}

impl FromBody for ResultRow {
    fn from_body(fields: &mut Fields<'_>) -> Option<Self> {
        let vehicle_id = fields.text("vehicle_id");
        let outcome = AuctionOutcome::from_body(fields);
        Some(Self {
            vehicle_id: vehicle_id?,
            outcome: outcome?,
        })
    }
}

impl BulkRow for ResultRow {
    const LIST: &'static str = "results";
    const ID: &'static str = "vehicle_id";
    const MEMBERS: &'static [&'static str] = &["result", "price_usd", "fee_usd"];
    const NUMBERS: &'static [&'static str] = &["price_usd", "fee_usd"];

    async fn record(self, database: &Database, actor: &Actor) -> Result<Effect, ApiError> {
        let recorded = match VehicleId::parse(&self.vehicle_id) {
            Some(id) => bulk::record_result(database, actor, &id, self.outcome).await,
            None => Err(AuctionError::NoSuchVehicle),
        };
        recorded.map_err(|error| refuse(error, &self.vehicle_id, "price_usd"))
    }
}

/// The results of up to 500 auctions. Unknown members are ignored.
#[derive(ToSchema)]
#[expect(dead_code, reason = "schema only, read by `Rows`")]
struct AuctionResults {
    #[schema(min_items = 1, max_items = 500)]
    results: Vec<VehicleResult>,
}

/// The result of the auction of a vehicle.
#[derive(ToSchema)]
#[expect(dead_code, reason = "schema only, read by `ResultRow`")]
struct VehicleResult {
    vehicle_id: VehicleId,
    result: AuctionEnd,
    /// The price that LMN paid, at most the highest bid. Required with `won`, not allowed otherwise.
    price_usd: Option<Usd>,
    /// The fee of the auction house. Required with `won`, not allowed otherwise.
    #[schema(minimum = 0, maximum = 10_000_000)]
    fee_usd: Option<i32>,
}

/// Records the results of auctions, each by itself.
///
/// A row that is refused does not affect the others. A result that is recorded already is `unchanged`. As CSV, the first
/// line is `vehicle_id,result,price_usd,fee_usd`.
#[utoipa::path(post, path = "/operator/v1/auction-results", tag = "auctions",
    request_body(content((AuctionResults = "application/json"), (String = "text/csv"))), responses(
        (status = 200, description = "The outcome of each row.", body = BulkReply),
    ))]
pub(crate) async fn record_auction_results(
    State(database): State<Database>,
    State(catalogue): State<Catalogue>,
    caller: OperatorCaller,
    Input((), rows): Input<(), Rows<ResultRow>>,
    pending: PendingWrite,
) -> Result<Response, ApiError> {
    let answer = record_rows(&database, &caller.actor(), rows, pending).await;
    // From here on, this replica shows no older version of the vehicles.
    catalogue.note_own_change();
    answer
}
