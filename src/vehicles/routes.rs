//! `GET /v1/vehicles` and `GET /v1/vehicles/{id}`.

use std::collections::HashMap;

use axum::{
    Extension,
    extract::State,
    http::{HeaderName, HeaderValue, Uri},
    response::{IntoResponse, Response},
};
use serde::{Deserialize, Serialize};
use utoipa::OpenApi;
use utoipa_axum::{router::OpenApiRouter, routes};

use super::{
    filter::Filter,
    query::ListVehicles,
    search,
    shelf::Shelf,
    sort::Place,
    store::{self, Listed, Wanted},
    view::{Pricing, VehicleSummary, VehicleView, summary_json},
};
use crate::{
    app::App,
    error::ApiError,
    http::{
        cursor::Walk,
        etag::{Conditional, Tagged},
        extract::Query,
        page::{Page, RenderedPage},
        path::Id,
    },
    id::VehicleId,
    orders,
    request::Caller,
};

/// Up to here, dropped dealers' cars are counted exactly.
const FILTERED_OUT_EXACT_MAX: i64 = 10_000;
const FILTERED_OUT: HeaderName = HeaderName::from_static("x-lmn-filtered-out");
const SNAPSHOT: HeaderName = HeaderName::from_static("x-lmn-snapshot");

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

/// Where a page ended, and what page 1 counted.
#[derive(Debug, Serialize, Deserialize)]
struct Position {
    #[serde(rename = "a")]
    after: Place,
    #[serde(rename = "o")]
    filtered_out: Option<i64>,
}

/// One page of cars.
type VehicleList = Page<VehicleSummary>;

/// Lists cars of the catalogue.
///
/// Filters are joined by AND, the values of one filter by OR, but for `options_include`, of which a car has all.
/// Dealers' cars are listed by `make` or `ids` only (contract, section 6). A page may be short, even empty, and still
/// have a next one.
#[utoipa::path(get, path = "/v1/vehicles", tag = "vehicles", params(ListVehicles), responses(
    (status = 200, description = "A page of cars.", body = VehicleList, headers(("X-LMN-Filtered-Out"))),
))]
async fn list_vehicles(
    State(app): State<App>,
    Extension(shelf): Extension<Shelf>,
    _: Caller,
    uri: Uri,
    Query(query): Query<ListVehicles>,
) -> Result<Response, ApiError> {
    let question = uri.query().unwrap_or_default();
    if let Some(kept) = shelf.pages.get(&app, question) {
        return Ok(kept.into_response());
    }
    let generation = app.heartbeat().catalogue();
    let page = find_page(&app, &query, &uri).await?;
    shelf
        .pages
        .put(&app, generation, question.to_owned(), &page);
    Ok(page.into_response())
}

async fn find_page(app: &App, query: &ListVehicles, uri: &Uri) -> Result<RenderedPage, ApiError> {
    let ListVehicles { filter, page, .. } = query;
    let (sort_name, sort) = query.sort;
    let walk = Walk {
        list: "vehicles",
        owner: None,
        sort: sort_name,
        filters: filter.canonical(),
    };
    let position: Option<Position> = page.after(app.cursors(), &walk)?;
    let filtered_out = match &position {
        Some(position) => position.filtered_out,
        None => count_filtered_out(app, filter).await?,
    };
    let wanted = Wanted {
        filter,
        sort,
        after: position.as_ref().map(|it| &it.after),
        limit: page.rows(),
    };
    let mut found = search::search(app, wanted).await?;
    // One car more than the page shows says that there is a next one.
    let next = match found.cars.len() > page.limit() {
        true => {
            found.cars.truncate(page.limit());
            found.cars.last().map(|it| it.place.clone())
        }
        false => found.seen_to,
    };
    let seal = |after| {
        let position = Position {
            after,
            filtered_out,
        };
        app.cursors().seal(&walk, position)
    };
    let next_cursor = next.map(seal).transpose()?;
    let rows = render(app, found.cars).await?;
    let page = RenderedPage::of(&rows, next_cursor.as_deref(), uri);
    Ok(match filtered_out {
        Some(count) => page.with(FILTERED_OUT, dealers_dropped(count)?),
        None => page,
    })
}

/// Counts the dealers' cars that only the filters drop which they cannot satisfy; nothing if there are no such filters.
async fn count_filtered_out(app: &App, filter: &Filter) -> Result<Option<i64>, ApiError> {
    if !filter.drops_dealers() || !filter.covers_dealers() {
        return Ok(None);
    }
    let dropped = filter.dropped_dealers();
    let count = search::count(app, &dropped, FILTERED_OUT_EXACT_MAX + 1).await?;
    Ok(Some(count))
}

fn dealers_dropped(count: i64) -> Result<HeaderValue, ApiError> {
    let text = match count {
        0..=FILTERED_OUT_EXACT_MAX => format!("dealer={count}"),
        _ => format!("dealer={FILTERED_OUT_EXACT_MAX}+"),
    };
    HeaderValue::from_str(&text).map_err(ApiError::internal)
}

/// Returns cars as they are shown; those that are not rendered yet are read and rendered now.
async fn render(app: &App, cars: Vec<Listed>) -> Result<Vec<String>, ApiError> {
    let is_bare = |car: &&Listed| car.summary.is_none();
    let bare: Vec<_> = cars
        .iter()
        .filter(is_bare)
        .map(|car| car.place.1.as_str())
        .collect();
    let mut rendered = HashMap::new();
    if !bare.is_empty() {
        let mut connection = app.acquire().await?;
        for car in store::find_listed(&mut connection, &bare).await? {
            let json = summary_json(&car.listing, car.updated_at).map_err(ApiError::internal)?;
            rendered.insert(car.listing.id.to_string(), json);
        }
        // What was read apart from its page may be newer than the page, which is then not kept.
        app.heartbeat()
            .saw_catalogue(store::version(&mut connection).await?);
    }
    let whole = cars
        .into_iter()
        .filter_map(|car| car.summary.or_else(|| rendered.remove(&car.place.1)));
    Ok(whole.collect())
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
    Extension(shelf): Extension<Shelf>,
    caller: Caller,
    conditional: Conditional,
    _: Query<()>,
    Id(id): Id<VehicleId>,
) -> Result<Response, ApiError> {
    if let Some(kept) = shelf.vehicles.get(&app, id.as_str()) {
        return Ok(conditional.answer_tagged(&kept));
    }
    let generation = app.heartbeat().catalogue();
    let mut connection = app.acquire().await?;
    let found = store::find_any(&mut connection, &id).await?;
    let listed = found.filter(|(vehicle, ..)| vehicle.withdrawn_at.is_none());
    if let Some((vehicle, history, version)) = listed {
        let answer = Tagged::render(&VehicleView::new(vehicle, history))?;
        app.heartbeat().saw_catalogue(version);
        shelf
            .vehicles
            .put(&app, generation, id.to_string(), &answer);
        return Ok(conditional.answer_tagged(&answer));
    }
    let version = store::version(&mut connection).await?;
    app.heartbeat().saw_catalogue(version);
    let snapshot =
        orders::store::find_latest_snapshot(&mut connection, caller.partner(), &id).await?;
    let snapshot = snapshot.ok_or_else(|| ApiError::no_vehicle(&id))?;
    let mut response = conditional.answer_bytes(snapshot.into())?;
    response
        .headers_mut()
        .insert(SNAPSHOT, HeaderValue::from_static("true"));
    Ok(response)
}
