//! `GET /v1/vehicles/facets`.

use std::collections::{BTreeMap, BTreeSet};

use axum::{extract::State, response::Response};
use serde::Serialize;
use utoipa::{
    IntoParams, ToSchema,
    openapi::path::{Parameter, ParameterIn},
};
use utoipa_axum::{router::OpenApiRouter, routes};

use super::{
    super::model::{Fuel, Source, Transmission},
    model::{Facets, is_fresh},
    store::{self, Read},
};
use crate::{
    app::App,
    error::ApiError,
    http::{
        describe::csv,
        etag::Conditional,
        extract::{FromQuery, Params, Query},
    },
    request::Caller,
    stamp::Stamp,
    word::Word,
};

/// Routes of this feature.
pub(crate) fn router() -> OpenApiRouter<App> {
    OpenApiRouter::default().routes(routes!(get_facets))
}

/// What `GET /v1/vehicles/facets` takes.
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
        let what = "The values of these sources together; without it, of all.";
        vec![csv::<Source>("source", Source::ALL.len(), what)]
    }
}

/// The values that the cars of the catalogue have, each list in the order of its letters.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Facets)]
struct FacetsView {
    /// Brands.
    makes: Vec<String>,
    /// The models of each brand.
    models: BTreeMap<String, BTreeSet<String>>,
    #[schema(value_type = Vec<Fuel>)]
    fuels: BTreeSet<String>,
    #[schema(value_type = Vec<Transmission>)]
    transmissions: BTreeSet<String>,
    /// Sources that list cars at all.
    #[schema(value_type = Vec<Source>)]
    sources: BTreeSet<&'static str>,
    /// Colors of bodies.
    colors: BTreeSet<String>,
    /// Until when this is known to hold; at most five minutes ago.
    as_of: Stamp,
}

impl From<Read> for FacetsView {
    fn from(read: Read) -> Self {
        let mut sources = BTreeSet::new();
        let mut all = Facets::default();
        for (source, facets) in read.found {
            if !facets.is_empty() {
                sources.insert(source.as_str());
            }
            all.join(facets);
        }
        Self {
            makes: all.models.keys().cloned().collect(),
            models: all.models,
            fuels: all.fuels,
            transmissions: all.transmissions,
            sources,
            colors: all.colors,
            as_of: Stamp::kst(read.as_of),
        }
    }
}

/// Shows which values the cars of the catalogue have.
///
/// For the choices of a search form. What is new in the catalogue is here within five minutes.
#[utoipa::path(get, path = "/v1/vehicles/facets", tag = "vehicles", params(GetFacets, Conditional), responses(
    (status = 200, description = "The values.", body = FacetsView),
))]
async fn get_facets(
    State(app): State<App>,
    _: Caller,
    conditional: Conditional,
    Query(query): Query<GetFacets>,
) -> Result<Response, ApiError> {
    let mut connection = app.acquire().await?;
    let read = store::find(&mut connection, &query.source).await?;
    let Some(read) = read.filter(|it| is_fresh(it.as_of, it.now)) else {
        return Err(ApiError::Unavailable {
            source: "the facets were not counted for too long".into(),
        });
    };
    // A partner who reads here of a new model finds it in the lists.
    app.heartbeat().saw_catalogue(read.version);
    conditional.answer(&FacetsView::from(read))
}
