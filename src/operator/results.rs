//! `POST /operator/v1/auction-results`: records the results of many auctions.

use axum::{extract::State, response::Response};
use utoipa::ToSchema;

use super::{
    refusals::refuse,
    rows::{BulkReply, BulkRow, Rows, record_rows},
};
use crate::{
    audit::Actor,
    database::Database,
    errors::ApiError,
    http::{
        body::Input,
        fields::{Fields, FromBody},
    },
    idempotency::PendingWrite,
    orders::{
        bulk::{self, Effect},
        model::{AuctionEnd, AuctionOutcome},
        operator::AuctionError,
    },
    request::OperatorCaller,
    values::{id::VehicleId, money::Usd},
    vehicles::search::Catalogue,
};

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
