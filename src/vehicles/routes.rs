//! `GET /v1/vehicles` and `GET /v1/vehicles/{id}`.

use std::sync::Arc;

use axum::{
    Extension,
    extract::State,
    http::{HeaderName, HeaderValue, Uri},
    response::{IntoResponse, Response},
};
use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use utoipa::OpenApi;
use utoipa_axum::{router::OpenApiRouter, routes};

use super::{
    cache::{CachedPage, Changed, VehicleCache},
    filters::ListVehicles,
    search::{Index, Place, Query as Search},
    store,
    view::{Pricing, VehicleSummary, VehicleView},
};
use crate::{
    app::App,
    errors::ApiError,
    http::{
        cursor::{Cursors, ListQuery},
        etag::{Conditional, Tagged},
        extract::Query,
        page::{Page, RenderedPage},
        path::Id,
    },
    orders,
    request::Caller,
    values::id::VehicleId,
};

const FILTERED_OUT: HeaderName = HeaderName::from_static("x-lmn-filtered-out");
const SNAPSHOT: HeaderName = HeaderName::from_static("x-lmn-snapshot");

/// Returns the routes of this feature.
pub(crate) fn router() -> OpenApiRouter<App> {
    OpenApiRouter::with_openapi(Shapes::openapi())
        .routes(routes!(list_vehicles))
        .routes(routes!(get_vehicle))
}

/// Schemas that utoipa does not collect by itself, because a vehicle is generic over them.
#[derive(OpenApi)]
#[openapi(components(schemas(Pricing)))]
struct Shapes;

/// The content of a cursor: the place at which a page ended, and the count of page 1.
#[derive(Debug, Serialize, Deserialize)]
struct Position {
    #[serde(rename = "a")]
    after: Place,
    #[serde(rename = "o")]
    filtered_out: Option<u64>,
}

/// One page of vehicles.
type VehicleList = Page<VehicleSummary>;

/// Lists vehicles of the catalogue.
///
/// Filters are combined with AND, the values of one filter with OR, except for `options_include`, whose values must all
/// match. Dealers' vehicles are listed only with `make` or `ids`. Every page except the last is full.
#[utoipa::path(get, path = "/v1/vehicles", tag = "vehicles", params(ListVehicles), responses(
    (status = 200, description = "A page of vehicles.", body = VehicleList, headers(("X-LMN-Filtered-Out"))),
))]
async fn list_vehicles(
    State(app): State<App>,
    Extension(cache): Extension<VehicleCache>,
    caller: Caller,
    uri: Uri,
    Query(query): Query<ListVehicles>,
) -> Result<Response, ApiError> {
    let text = uri.query().unwrap_or_default();
    let mut index = app.catalogue().index().await?;
    let (page, rows) = loop {
        let page = match cache.page(&index, text) {
            Some(page) => page,
            None => {
                let now = app.heartbeat().order_time() + caller.grant.clock_offset;
                let page = Arc::new(find_page(&index, &query, app.cursors(), now)?);
                if !query.filter.depends_on_time() {
                    cache.insert_page(text, &page);
                }
                page
            }
        };
        match cache.summaries(&app, &index, &page.slots).await? {
            Ok(rows) => break (page, rows),
            Err(Changed(slot)) => {
                index = app.catalogue().index_after(&index, index.id(slot)).await?;
            }
        }
    };
    let mut response = RenderedPage::of(&rows, page.next.as_deref(), &uri).into_response();
    if let Some(count) = page.filtered_out {
        let dropped = HeaderValue::try_from(format!("dealer={count}"));
        let dropped = dropped.map_err(ApiError::internal)?;
        response.headers_mut().insert(FILTERED_OUT, dropped);
    }
    Ok(response)
}

fn find_page(
    index: &Index,
    query: &ListVehicles,
    cursors: &Cursors,
    now: DateTime<Utc>,
) -> Result<CachedPage, ApiError> {
    let ListVehicles {
        filter,
        sort: (sort_name, sort),
        page,
    } = query;
    let list_query = ListQuery {
        list: "vehicles",
        owner: None,
        sort: sort_name,
        filters: filter.canonical(),
    };
    let position: Option<Position> = page.after(cursors, &list_query)?;
    let mut slots = index.page(&Search {
        filter,
        sort: *sort,
        after: position.as_ref().map(|it| &it.after),
        // One vehicle more than the page shows, to find out whether there is a next page.
        limit: page.limit() + 1,
        now,
    });
    let filtered_out = match &position {
        Some(position) => position.filtered_out,
        None => (filter.drops_dealers() && filter.covers_dealers())
            .then(|| index.count(&filter.dropped_dealers(), now)),
    };
    let mut next = None;
    if slots.len() > page.limit() {
        slots.truncate(page.limit());
        let last = slots.last().map(|slot| Position {
            after: index.place(*sort, *slot),
            filtered_out,
        });
        next = last.map(|it| cursors.seal(&list_query, it)).transpose()?;
    }
    Ok(CachedPage {
        generation: index.generation,
        version: index.version,
        slots,
        next,
        filtered_out,
    })
}

/// Returns one vehicle.
///
/// A withdrawn vehicle is returned only to a partner that ordered it, as it was at that time.
#[utoipa::path(get, path = "/v1/vehicles/{id}", tag = "vehicles", params(Id::<VehicleId>, Conditional), responses(
    (status = 200, description = "The vehicle.", body = VehicleView, headers(("X-LMN-Snapshot"))),
    (status = 404, description = "vehicle_not_found"),
))]
async fn get_vehicle(
    State(app): State<App>,
    Extension(cache): Extension<VehicleCache>,
    caller: Caller,
    conditional: Conditional,
    _: Query<()>,
    Id(id): Id<VehicleId>,
) -> Result<Response, ApiError> {
    let mut index = app.catalogue().index().await?;
    loop {
        let slot = index.slot(id.as_str());
        let cached = slot.and_then(|slot| cache.detail(&app, &index, slot));
        if let Some(detail) = cached {
            return Ok(conditional.answer_tagged(&detail));
        }
        let found = read_detail(&app, &id).await?;
        let indexed = slot.map(|slot| index.row_version(slot));
        if found.as_ref().map(|(version, _)| *version) != indexed {
            // The row and the index differ: wait for a newer index, so that no older version is shown after this one.
            index = app.catalogue().index_after(&index, id.as_str()).await?;
            continue;
        }
        let Some((row_version, detail)) = found else {
            return show_snapshot(&app, &caller, &conditional, &id).await;
        };
        cache.insert_detail(&index, id.as_str(), row_version, detail.clone());
        return Ok(conditional.answer_tagged(&detail));
    }
}

/// Reads the JSON of a listed vehicle, and renders the vehicle if its JSON is not stored.
async fn read_detail(app: &App, id: &VehicleId) -> Result<Option<(u32, Tagged)>, ApiError> {
    let Some(found) = app.reads().details.read(id.clone()).await? else {
        return Ok(None);
    };
    if let Some(json) = found.json {
        return Ok(Some((found.row_version, Tagged::new(json.into()))));
    }
    let mut connection = app.acquire().await?;
    let vehicle = store::find_whole(&mut connection, id).await?;
    vehicle
        .map(|(vehicle, prices, row_version)| {
            let view = VehicleView::new(vehicle, prices);
            Ok((row_version, Tagged::render(&view)?))
        })
        .transpose()
}

/// Returns a vehicle that is not listed as the partner ordered it.
async fn show_snapshot(
    app: &App,
    caller: &Caller,
    conditional: &Conditional,
    id: &VehicleId,
) -> Result<Response, ApiError> {
    let mut connection = app.acquire().await?;
    let snapshot = orders::store::find_latest_snapshot(&mut connection, caller.partner(), id);
    let snapshot = snapshot.await?.ok_or_else(|| ApiError::no_vehicle(id))?;
    let mut response = conditional.answer_bytes(snapshot.into())?;
    response
        .headers_mut()
        .insert(SNAPSHOT, HeaderValue::from_static("true"));
    Ok(response)
}
