//! `POST /operator/v1/bid-sheet/acquire`: begins to buy the vehicles of an auction day.

use axum::{extract::State, response::Response};
use chrono::NaiveDate;
use utoipa::ToSchema;

use super::{
    refusals::refuse,
    rows::{BulkReply, ROWS_MAX, RowReply, answer},
};
use crate::{
    audit::Actor,
    database::Database,
    errors::{ApiError, Fault, IssueKind},
    http::{
        body::Input,
        fields::{Fields, FromBody},
        text::FromText,
    },
    idempotency::PendingWrite,
    orders::{bulk, operator::AuctionError},
    request::OperatorCaller,
    values::id::VehicleId,
    vehicles::model::Source,
};

/// The vehicles to acquire.
#[derive(Debug)]
pub(crate) enum Selection {
    /// Those with an auction on a day in Korea, of one source or all.
    Day(NaiveDate, Option<Source>),
    /// Those with these ids.
    Vehicles(Vec<String>),
}

impl FromBody for Selection {
    fn from_body(fields: &mut Fields<'_>) -> Option<Self> {
        fields.exactly_one(&["date", "vehicle_ids"]);
        if !fields.has("date") {
            fields.none_of(&["source"], "is allowed only with `date`");
            return fields
                .has("vehicle_ids")
                .then(|| read_ids(fields))
                .flatten()
                .map(Self::Vehicles);
        }
        let source = fields.optional_word("source");
        let date = NaiveDate::from_text(&fields.text("date")?);
        let date = date.map_err(|fault| fields.complain("date", fault)).ok();
        Some(Self::Day(date?, source))
    }
}

fn read_ids(fields: &mut Fields<'_>) -> Option<Vec<String>> {
    let items = fields.items("vehicle_ids", ROWS_MAX)?;
    let ids = items.iter().map(|it| it.as_str().map(str::to_owned));
    let ids: Option<Vec<String>> = ids.collect();
    if ids.is_none() {
        let fault = Fault::new(IssueKind::InvalidType, "`vehicle_ids` lists strings");
        fields.complain("vehicle_ids", fault.expected("array of strings"));
    }
    ids
}

/// The vehicles to acquire: those of an auction day, or those with these ids. Unknown members are ignored.
#[derive(ToSchema)]
#[expect(dead_code, reason = "schema only, read by `Selection`")]
struct Acquire {
    /// The day of the auctions in Korea. At most 2,000 vehicles, those with orders in `proceed` first.
    date: Option<NaiveDate>,
    /// The source of the vehicles; allowed only with `date`.
    source: Option<Source>,
    #[schema(min_items = 1, max_items = 500)]
    vehicle_ids: Option<Vec<VehicleId>>,
}

/// Begins to buy vehicles: their orders in `proceed` whose cutoff has passed become `acquiring`.
///
/// A vehicle without such orders is `unchanged` if its orders are `acquiring`, and otherwise refused.
#[utoipa::path(post, path = "/operator/v1/bid-sheet/acquire", tag = "auctions", request_body = Acquire, responses(
    (status = 200, description = "The outcome of each vehicle.", body = BulkReply),
))]
pub(crate) async fn acquire_vehicles(
    State(database): State<Database>,
    caller: OperatorCaller,
    Input((), selection): Input<(), Selection>,
    pending: PendingWrite,
) -> Result<Response, ApiError> {
    if let Some(answer) = pending.find_answer().await? {
        return Ok(answer);
    }
    let ids = match selection {
        Selection::Vehicles(ids) => ids,
        Selection::Day(day, source) => {
            let mut connection = database.acquire().await?;
            let vehicles = bulk::list_auctioned(&mut connection, day, source).await?;
            vehicles.iter().map(ToString::to_string).collect()
        }
    };
    let data = acquire(&database, &caller.actor(), ids).await?;
    answer(pending, BulkReply { data }).await
}

/// Begins to buy the vehicles with these ids. Returns their outcomes.
pub(crate) async fn acquire(
    database: &Database,
    actor: &Actor,
    ids: Vec<String>,
) -> Result<Vec<RowReply>, ApiError> {
    let known: Vec<_> = ids.iter().filter_map(|id| VehicleId::parse(id)).collect();
    let acquired = bulk::acquire(database, actor, &known).await;
    let acquired = acquired.map_err(|error| refuse(error, "", "price_usd"))?;
    let mut acquired = acquired.into_iter();
    let outcomes = ids.into_iter().map(|id| {
        let known = VehicleId::parse(&id).and_then(|_| acquired.next());
        let effect = known.unwrap_or(Err(AuctionError::NoSuchVehicle));
        let effect = effect.map_err(|error| refuse(error, &id, "price_usd"));
        RowReply::of(Some(id), effect)
    });
    outcomes.collect()
}
