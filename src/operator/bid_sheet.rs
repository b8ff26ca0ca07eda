//! `GET /operator/v1/bid-sheet`: what to bid on at the auctions of a day, and up to how much.

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
    view::{PartnerRef, SheetVehicle},
};
use crate::{
    database::{Connection, Database, clock},
    errors::{ApiError, Fault, IssueKind},
    http::{
        describe,
        extract::{FromQuery, Params, Query},
        page::Page,
    },
    orders::store::{VehicleBids, list_bids},
    request::OperatorCaller,
    values::{id::OrderId, money::Usd, string_enum::StringEnum, timestamp::Timestamp},
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
