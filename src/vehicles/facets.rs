//! `GET /v1/vehicles/facets`: the distinct values of the catalogue's vehicles, for a search form.

use std::collections::{BTreeMap, BTreeSet};

use axum::{extract::State, response::Response};
use roaring::RoaringBitmap;
use serde::Serialize;
use utoipa::{
    IntoParams, ToSchema,
    openapi::path::{Parameter, ParameterIn},
};
use utoipa_axum::{router::OpenApiRouter, routes};

use super::{
    model::{Fuel, Source, Transmission},
    search::{Index, Kind},
};
use crate::{
    app::App,
    errors::ApiError,
    http::{
        describe::csv,
        etag::Conditional,
        extract::{FromQuery, Params, Query},
    },
    request::Caller,
    values::{string_enum::StringEnum, timestamp::Timestamp},
};

/// Returns the routes of this feature.
pub(crate) fn router() -> OpenApiRouter<App> {
    OpenApiRouter::default().routes(routes!(get_facets))
}

/// Query parameters of `GET /v1/vehicles/facets`.
#[derive(Debug)]
struct GetFacets {
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
async fn get_facets(
    State(app): State<App>,
    _: Caller,
    conditional: Conditional,
    Query(query): Query<GetFacets>,
) -> Result<Response, ApiError> {
    let index = app.catalogue().index().await?;
    conditional.answer(&Facets::of(&index, &query.source))
}
