//! `GET /v1/vehicles`, `GET /v1/vehicles/{id}` and `GET /v1/vehicles/facets`.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use axum::{
    extract::State,
    http::{HeaderName, HeaderValue, Uri},
    response::{IntoResponse, Response},
};
use chrono::{DateTime, Utc};
use roaring::RoaringBitmap;
use serde::{Deserialize, Serialize};
use utoipa::{
    IntoParams, OpenApi, ToSchema,
    openapi::path::{Parameter, ParameterIn},
};

use super::{
    cache::{CachedPage, Changed, VehicleCache},
    filters::ListVehicles,
    model::{Fuel, Source, Transmission},
    search::{Catalogue, Index, Kind, Place, Query as Search},
    store,
    view::{Pricing, VehicleSummary, VehicleView},
};
use crate::{
    database::{Database, Heartbeat},
    errors::ApiError,
    http::{
        cursor::{Cursors, ListQuery},
        describe::csv,
        etag::Conditional,
        extract::{FromQuery, Id, Params, Query},
        page::{Page, RenderedPage},
    },
    request::Caller,
    values::{id::VehicleId, string_enum::StringEnum, timestamp::Timestamp},
};

const FILTERED_OUT: HeaderName = HeaderName::from_static("x-lmn-filtered-out");
const SNAPSHOT: HeaderName = HeaderName::from_static("x-lmn-snapshot");

/// Schemas that utoipa does not collect by itself, because a vehicle is generic over them.
#[derive(OpenApi)]
#[openapi(components(schemas(Pricing)))]
pub(crate) struct Shapes;

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
pub(crate) async fn list_vehicles(
    State(catalogue): State<Catalogue>,
    State(cache): State<VehicleCache>,
    State(heartbeat): State<Heartbeat>,
    State(cursors): State<Cursors>,
    caller: Caller,
    uri: Uri,
    Query(query): Query<ListVehicles>,
) -> Result<Response, ApiError> {
    let text = uri.query().unwrap_or_default();
    let mut index = catalogue.index().await?;
    let (page, rows) = loop {
        let page = match cache.page(&index, text) {
            Some(page) => page,
            None => {
                let now = heartbeat.order_time() + caller.grant.clock_offset;
                let page = Arc::new(find_page(&index, &query, &cursors, now)?);
                if !query.filter.depends_on_time() {
                    cache.insert_page(text, &page);
                }
                page
            }
        };
        match cache.summaries(&index, &page.slots).await? {
            Ok(rows) => break (page, rows),
            Err(Changed(slot)) => {
                index = catalogue.index_after(&index, index.id(slot)).await?;
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
pub(crate) async fn get_vehicle(
    State(catalogue): State<Catalogue>,
    State(cache): State<VehicleCache>,
    State(database): State<Database>,
    caller: Caller,
    conditional: Conditional,
    _: Query<()>,
    Id(id): Id<VehicleId>,
) -> Result<Response, ApiError> {
    let mut index = catalogue.index().await?;
    loop {
        let slot = index.slot(id.as_str());
        let cached = slot.and_then(|slot| cache.detail(&index, slot));
        if let Some(detail) = cached {
            return Ok(conditional.answer_tagged(&detail));
        }
        let found = cache.read_detail(&id).await?;
        let indexed = slot.map(|slot| index.row_version(slot));
        if found.as_ref().map(|(version, _)| *version) != indexed {
            // The row and the index differ: wait for a newer index, so that no older version is shown after this one.
            index = catalogue.index_after(&index, id.as_str()).await?;
            continue;
        }
        let Some((slot, (_, detail))) = slot.zip(found) else {
            return show_snapshot(&database, &caller, &conditional, &id).await;
        };
        cache.insert_detail(&index, slot, detail.clone());
        return Ok(conditional.answer_tagged(&detail));
    }
}

/// Returns a vehicle that is not listed as the partner ordered it.
async fn show_snapshot(
    database: &Database,
    caller: &Caller,
    conditional: &Conditional,
    id: &VehicleId,
) -> Result<Response, ApiError> {
    let mut connection = database.acquire().await?;
    let snapshot = store::find_latest_snapshot(&mut connection, caller.partner(), id);
    let snapshot = snapshot.await?.ok_or_else(|| ApiError::no_vehicle(id))?;
    let mut response = conditional.answer_bytes(snapshot.into())?;
    response
        .headers_mut()
        .insert(SNAPSHOT, HeaderValue::from_static("true"));
    Ok(response)
}

/// Query parameters of `GET /v1/vehicles/facets`.
#[derive(Debug)]
pub(crate) struct GetFacets {
    source: Vec<Source>,
}

impl FromQuery for GetFacets {
    fn from_query(params: &mut Params) -> Option<Self> {
        let source = params.csv("source", Source::ALL.len());
        Some(Self { source })
    }
}

impl IntoParams for GetFacets {
    fn into_params(_: impl Fn() -> Option<ParameterIn>) -> Vec<Parameter> {
        let description =
            "Only the values of vehicles of these sources; if absent, of all sources.";
        vec![csv::<Source>("source", Source::ALL.len(), description)]
    }
}

/// Distinct values of the listed vehicles; each list is sorted.
#[derive(Debug, Serialize, ToSchema)]
struct Facets<'a> {
    /// Makes.
    makes: BTreeSet<&'a str>,
    /// The models of each make.
    models: BTreeMap<&'a str, BTreeSet<&'a str>>,
    #[schema(value_type = Vec<Fuel>)]
    fuels: BTreeSet<&'a str>,
    #[schema(value_type = Vec<Transmission>)]
    transmissions: BTreeSet<&'a str>,
    /// Sources of the vehicles.
    #[schema(value_type = Vec<Source>)]
    sources: BTreeSet<&'a str>,
    /// Body colors.
    colors: BTreeSet<&'a str>,
    /// Time of the last change of the catalogue.
    as_of: Timestamp,
}

impl<'a> Facets<'a> {
    /// Collects the values of the vehicles of `sources`, or of all vehicles if `sources` is empty.
    fn of(index: &'a Index, sources: &[Source]) -> Self {
        let names: BTreeSet<_> = sources.iter().map(|it| it.as_str()).collect();
        let is_selected = |source: &str| names.is_empty() || names.contains(source);
        let sources = index.shown(Kind::Source).filter(|(it, _)| is_selected(it));
        let sources: BTreeMap<_, _> = sources.collect();
        let all = RoaringBitmap::new();
        let scope = sources.values().fold(all, |all, slots| all | *slots);
        let is_in = |slots: &RoaringBitmap| !slots.is_disjoint(&scope);
        let shown = |kind| {
            let values = index.shown(kind).filter(|(_, slots)| is_in(slots));
            values.map(|(value, _)| value).collect()
        };
        let mut models = BTreeMap::<_, BTreeSet<_>>::new();
        for it in index.models().filter(|it| is_in(it.slots)) {
            models.entry(it.make).or_default().insert(it.model);
        }
        Self {
            makes: models.keys().copied().collect(),
            fuels: shown(Kind::Fuel),
            transmissions: shown(Kind::Transmission),
            colors: shown(Kind::Color),
            sources: sources.into_keys().collect(),
            as_of: Timestamp::kst(index.changed_at),
            models,
        }
    }
}

/// Returns the distinct values of the catalogue's vehicles.
///
/// Use them as the choices of a search form. They come from the same view of the catalogue as the lists.
#[utoipa::path(get, path = "/v1/vehicles/facets", tag = "vehicles", params(GetFacets, Conditional), responses(
    (status = 200, description = "The distinct values.", body = Facets),
))]
pub(crate) async fn get_facets(
    State(catalogue): State<Catalogue>,
    _: Caller,
    conditional: Conditional,
    Query(query): Query<GetFacets>,
) -> Result<Response, ApiError> {
    let index = catalogue.index().await?;
    conditional.answer(&Facets::of(&index, &query.source))
}
