//! `GET /operator/v1/bid-sheet` and `POST /operator/v1/bid-sheet/acquire`: what to bid on at the auctions of a day, up to
//! how much, and the beginning of buying.

use std::collections::HashMap;

use axum::{
    extract::State,
    http::{HeaderMap, Uri},
    response::Response,
};
use chrono::{DateTime, NaiveDate, TimeDelta, Utc};
use serde::Serialize;
use utoipa::{
    IntoParams, ToSchema,
    openapi::{
        Required,
        path::{Parameter, ParameterIn},
    },
};

use super::{
    csv::{self, Column},
    rows::{BulkReply, ROWS_MAX, RowReply, answer},
    view::{PartnerRef, SheetVehicle},
};
use crate::{
    audit::Actor,
    database::{Connection, Database, clock},
    errors::{ApiError, Fault, IssueKind},
    http::{
        body::Input,
        describe,
        extract::{FromQuery, Params, Query},
        fields::{Fields, FromBody},
        page::Page,
        text::FromText,
    },
    idempotency::PendingWrite,
    orders::{
        bulk,
        operator::AuctionError,
        refusals::refuse,
        store::{VehicleBids, list_bids},
    },
    request::OperatorCaller,
    values::{
        id::{OrderId, VehicleId},
        money::Usd,
        string_enum::StringEnum,
        timestamp::Timestamp,
    },
    vehicles::{self, model::Source},
};

/// The most vehicles of one sheet.
const VEHICLES_MAX: usize = 10_000;

/// The columns of the sheet as CSV.
const COLUMNS: &[Column] = &[
    ("source", "/vehicle/source"),
    ("auction_date", "/vehicle/auction_date"),
    ("lot_number", "/vehicle/lot_number"),
    ("vehicle_id", "/vehicle/id"),
    ("make", "/vehicle/make"),
    ("model", "/vehicle/model"),
    ("trim", "/vehicle/trim"),
    ("year", "/vehicle/year"),
    ("mileage_km", "/vehicle/mileage_km"),
    ("location", "/vehicle/location"),
    ("listing_usd", "/vehicle/pricing/listing_usd"),
    ("orders", "/orders"),
    ("highest_bid_usd", "/highest_bid_usd"),
    ("second_bid_usd", "/second_bid_usd"),
    ("leader_order_id", "/leader/order_id"),
    ("leader_partner", "/leader/partner/name"),
    ("order_cutoff_at", "/order_cutoff_at"),
    ("is_closed", "/is_closed"),
];

/// A vehicle with orders in `proceed` or `acquiring`.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct BidSheetRow {
    pub vehicle: SheetVehicle,
    /// The number of orders that bid on it.
    #[schema(minimum = 1)]
    pub orders: i64,
    /// The most that LMN may pay.
    pub highest_bid_usd: Usd,
    /// The second highest bid; null if there is one bid.
    pub second_bid_usd: Option<Usd>,
    pub leader: BidLeader,
    pub order_cutoff_at: Timestamp,
    /// Whether the cutoff has passed, so that the bids are final.
    pub is_closed: bool,
}

/// The order for which the vehicle is bought: the highest bid, and of equal ones the one accepted first.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct BidLeader {
    pub order_id: OrderId,
    pub partner: PartnerRef,
}

impl BidSheetRow {
    /// Returns the row of a vehicle at `now`.
    fn new(bids: VehicleBids, vehicle: SheetVehicle, now: DateTime<Utc>) -> Self {
        Self {
            vehicle,
            orders: bids.orders,
            highest_bid_usd: bids.highest_bid,
            second_bid_usd: bids.second_bid,
            leader: BidLeader {
                order_id: bids.leader,
                partner: PartnerRef {
                    id: bids.partner,
                    name: bids.partner_name,
                },
            },
            order_cutoff_at: bids.order_cutoff_at,
            is_closed: bids.order_cutoff_at.instant() <= now,
        }
    }
}

/// The query parameters of `GET /operator/v1/bid-sheet`.
#[derive(Debug)]
pub(crate) struct ShowBidSheet {
    date: NaiveDate,
    source: Vec<Source>,
}

impl FromQuery for ShowBidSheet {
    fn from_query(params: &mut Params) -> Option<Self> {
        let source = params.csv("source", Source::ALL.len());
        if !params.has("date") {
            let fault = Fault::new(IssueKind::RequiredFieldMissing, "`date` is required");
            let issue = fault.expected("2026-04-20").at("date", None);
            params.issues().push(issue);
        }
        let date = params.get("date");
        Some(Self {
            date: date?,
            source,
        })
    }
}

impl IntoParams for ShowBidSheet {
    fn into_params(_: impl Fn() -> Option<ParameterIn>) -> Vec<Parameter> {
        let mut date = describe::day("date", "The day of the auctions, in Korea.");
        date.required = Required::True;
        let sources = Source::ALL.len();
        let source = describe::csv::<Source>("source", sources, "Only vehicles of these sources.");
        vec![date, source]
    }
}

/// The sheet, always on one page.
type BidSheet = Page<BidSheetRow>;

/// Returns what to bid on at the auctions of a day in Korea.
///
/// One row for each vehicle with orders in `proceed` or `acquiring`, by source, time and lot number, always on one page.
/// `Accept: text/csv` returns CSV.
#[utoipa::path(get, path = "/operator/v1/bid-sheet", tag = "auctions", params(ShowBidSheet), responses(
    (status = 200, description = "The sheet.", headers(("Vary")), content(
        (BidSheet = "application/json"), (String = "text/csv"),
    )),
))]
pub(crate) async fn show_bid_sheet(
    State(database): State<Database>,
    _: OperatorCaller,
    uri: Uri,
    headers: HeaderMap,
    Query(query): Query<ShowBidSheet>,
) -> Result<Response, ApiError> {
    let mut connection = database.acquire().await?;
    let rows = read_bid_sheet(&mut connection, query.date, &query.source).await?;
    let page = BidSheet {
        data: rows,
        next_cursor: None,
    };
    csv::answer(page, COLUMNS, &headers, &uri)
}

/// Reads the sheet of a day in Korea, of some sources or of all if none is given.
pub(crate) async fn read_bid_sheet(
    conn: &mut Connection,
    day: NaiveDate,
    sources: &[Source],
) -> Result<Vec<BidSheetRow>, ApiError> {
    let begin = Timestamp::midnight_in_korea(day).instant();
    let span = (begin, begin + TimeDelta::days(1));
    let limit = i64::try_from(VEHICLES_MAX + 1).unwrap_or(i64::MAX);
    let bids = list_bids(conn, span, sources, limit).await?;
    if bids.len() > VEHICLES_MAX {
        let message = format!("the day has more than {VEHICLES_MAX} vehicles; choose a `source`");
        let fault = Fault::new(IssueKind::TooMany, message);
        return Err(fault.at("source", None).into());
    }
    let now = clock::real_now(conn).await?;
    let ids: Vec<&str> = bids.iter().map(|it| it.vehicle_id.as_str()).collect();
    let vehicles = vehicles::store::find_with_details(conn, &ids).await?;
    let mut found = HashMap::with_capacity(vehicles.len());
    for vehicle in vehicles {
        let id = vehicle.listing.id.clone();
        let view = SheetVehicle::new(&vehicle).map_err(ApiError::internal)?;
        found.insert(id, view);
    }
    // Vehicles with orders are never deleted.
    let row = |bids: VehicleBids| {
        let vehicle = found.remove(&bids.vehicle_id)?;
        Some(BidSheetRow::new(bids, vehicle, now))
    };
    Ok(bids.into_iter().filter_map(row).collect())
}

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
