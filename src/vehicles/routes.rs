//! `GET /v1/vehicles` and `GET /v1/vehicles/{id}`.

use axum::{
    extract::State,
    http::{HeaderValue, Uri},
    response::Response,
};
use serde::{Deserialize, Serialize};
use utoipa::{
    IntoParams, OpenApi,
    openapi::path::{Parameter, ParameterIn},
};
use utoipa_axum::{router::OpenApiRouter, routes};

use super::{
    filter::{Filter, Sort},
    model::{AuctionResult, Source, Vehicle},
    store,
    view::{Pricing, VehicleSummary, VehicleView},
};
use crate::{
    app::App,
    error::{ApiError, Fault, IssueKind},
    gate::caller::Caller,
    http::{
        describe,
        etag::Conditional,
        extract::{FromQuery, Name, Params, Query},
        page::{IDS_MAX, Page, PageQuery, Walk, read_sort},
        path::Id,
    },
    id::VehicleId,
    orders,
};

/// Names or words in one filter.
const VALUES_MAX: usize = 100;
/// Up to here, dropped dealers' cars are counted exactly.
const FILTERED_OUT_EXACT_MAX: i64 = 10_000;

/// Routes of this feature.
pub(crate) fn router() -> OpenApiRouter<App> {
    OpenApiRouter::with_openapi(Shapes::openapi())
        .routes(routes!(list_vehicles))
        .routes(routes!(get_vehicle))
}

/// What the document does not find by itself, because a car is generic in it.
#[derive(OpenApi)]
#[openapi(components(schemas(Pricing)))]
struct Shapes;

/// What `GET /v1/vehicles` takes.
#[derive(Debug)]
struct ListVehicles {
    filter: Filter,
    sort: (&'static str, Sort),
    page: PageQuery,
}

impl FromQuery for ListVehicles {
    fn from_query(params: &mut Params) -> Option<Self> {
        let filter = Filter {
            ids: names(params, "ids", IDS_MAX),
            make: names(params, "make", VALUES_MAX),
            model: names(params, "model", VALUES_MAX),
            source: params.csv("source", VALUES_MAX),
            auction_status: params.csv("auction_status", VALUES_MAX),
        };
        if params.has("model") && !params.has("make") {
            let fault = Fault::new(IssueKind::Requires, "`model` needs `make` beside it");
            params
                .issues()
                .push(fault.expected("make").at("model", None));
        }
        let open_to_dealers = !params.has("source") || filter.source.contains(&Source::Dealer);
        if open_to_dealers && !params.has("make") && !params.has("ids") {
            let message =
                "dealers' cars are listed by `make` (or `ids`); or name auction houses in `source`";
            params.issues().push(
                Fault::new(IssueKind::Requires, message)
                    .expected("make")
                    .at("make", None),
            );
            params.issues().point_at("make");
        }
        let sort = read_sort(params, Sort::ALL);
        let page = PageQuery::read(params);
        Some(Self {
            filter,
            sort: sort?,
            page,
        })
    }
}

impl IntoParams for ListVehicles {
    fn into_params(no: impl Fn() -> Option<ParameterIn>) -> Vec<Parameter> {
        use describe::csv;
        let status = "Auctions that stand like this. It drops dealers' cars, which have none; `X-LMN-Filtered-Out` says how many.";
        let source =
            "Cars of these sources. Without it, or with `dealer` in it, `make` or `ids` is needed.";
        let mut parameters = vec![
            csv::<Name>(
                "ids",
                IDS_MAX,
                "These cars; an id that names none is silently missing.",
            ),
            csv::<Name>("make", VALUES_MAX, "Cars of these brands, in any case."),
            csv::<Name>(
                "model",
                VALUES_MAX,
                "These models, in any case. It needs `make`.",
            ),
            csv::<Source>("source", VALUES_MAX, source),
            csv::<AuctionResult>("auction_status", VALUES_MAX, status),
            describe::sort(
                Sort::ALL,
                "The order of the list. `auction_date_asc` puts dealers' cars last.",
            ),
        ];
        parameters.extend(PageQuery::into_params(no));
        parameters
    }
}

fn names(params: &mut Params, name: &str, max: usize) -> Vec<String> {
    params
        .csv(name, max)
        .into_iter()
        .map(|Name(text)| text)
        .collect()
}

/// Where a page ended, and what page 1 counted.
#[derive(Debug, Serialize, Deserialize)]
struct Position {
    #[serde(rename = "a")]
    after: store::Place,
    #[serde(rename = "o")]
    filtered_out: Option<i64>,
}

/// One page of cars.
type VehicleList = Page<VehicleSummary>;

/// Lists cars of the catalogue.
///
/// Filters are joined by AND, the values of one filter by OR. Dealers' cars are listed by `make` or `ids` only
/// (contract, section 6).
#[utoipa::path(get, path = "/v1/vehicles", tag = "vehicles", params(ListVehicles), responses(
    (status = 200, description = "A page of cars.", body = VehicleList, headers(("X-LMN-Filtered-Out"))),
))]
async fn list_vehicles(
    State(app): State<App>,
    _: Caller,
    uri: Uri,
    Query(query): Query<ListVehicles>,
) -> Result<Response, ApiError> {
    let ListVehicles {
        filter,
        sort: (sort_name, sort),
        page,
    } = query;
    let walk = Walk {
        list: "vehicles",
        owner: None,
        sort: sort_name,
        filters: filter.canonical(),
    };
    let position: Option<Position> = page.after(app.cursors(), &walk)?;

    let mut connection = app.db().acquire().await?;
    let filtered_out = match &position {
        Some(position) => position.filtered_out,
        None if filter.drops_dealers() && filter.covers_dealers() => Some(
            store::count(
                &mut connection,
                &filter.dropped_dealers(),
                FILTERED_OUT_EXACT_MAX + 1,
            )
            .await?,
        ),
        None => None,
    };
    let after = position.map(|position| position.after);
    let rows = store::list(&mut connection, &filter, sort, after.as_ref(), page.rows()).await?;
    let page: Page<VehicleSummary> =
        Page::of(rows, &page, app.cursors(), &walk, |last| Position {
            after: place(sort, last),
            filtered_out,
        })?;
    let mut response = page.answer(&uri);
    if let Some(dropped) = filtered_out {
        response
            .headers_mut()
            .insert("x-lmn-filtered-out", dealers_dropped(dropped)?);
    }
    Ok(response)
}

fn place(sort: Sort, vehicle: &Vehicle<()>) -> store::Place {
    let listing = &vehicle.listing;
    let value = match sort {
        Sort::AuctionDateAsc => listing
            .auction
            .as_ref()
            .map(|it| it.date.timestamp_millis()),
        Sort::PriceAsc | Sort::PriceDesc => Some(listing.listing_usd.dollars().into()),
        Sort::YearDesc => Some(listing.year.into()),
        Sort::MileageAsc => Some(listing.mileage_km.into()),
    };
    (value, listing.id.to_string())
}

fn dealers_dropped(count: i64) -> Result<HeaderValue, ApiError> {
    let text = match count {
        0..=FILTERED_OUT_EXACT_MAX => format!("dealer={count}"),
        _ => format!("dealer={FILTERED_OUT_EXACT_MAX}+"),
    };
    HeaderValue::from_str(&text).map_err(ApiError::internal)
}

/// Shows one car.
///
/// A car that was withdrawn is shown only to a partner that ordered it, as it was then.
#[utoipa::path(get, path = "/v1/vehicles/{id}", tag = "vehicles", params(Id::<VehicleId>, Conditional), responses(
    (status = 200, description = "The car.", body = VehicleView, headers(("X-LMN-Snapshot"))),
    (status = 404, description = "vehicle_not_found"),
))]
async fn get_vehicle(
    State(app): State<App>,
    caller: Caller,
    conditional: Conditional,
    _: Query<()>,
    Id(id): Id<VehicleId>,
) -> Result<Response, ApiError> {
    let mut connection = app.db().acquire().await?;
    let found = store::find_any(&mut connection, &id).await?;
    let (vehicle, history) = found.ok_or(ApiError::VehicleNotFound)?;
    if vehicle.withdrawn_at.is_none() {
        return conditional.answer(&VehicleView::new(vehicle, history));
    }
    let snapshot =
        orders::store::find_latest_snapshot(&mut connection, caller.partner(), &id).await?;
    let mut response =
        conditional.answer_bytes(snapshot.ok_or(ApiError::VehicleNotFound)?.into())?;
    response
        .headers_mut()
        .insert("x-lmn-snapshot", HeaderValue::from_static("true"));
    Ok(response)
}
