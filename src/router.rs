//! Every route and every layer, in the order in which a request meets them.

use std::any::Any;

use axum::{
    Extension, Router,
    http::{HeaderValue, Uri, header},
    middleware::{from_fn, from_fn_with_state},
    response::{IntoResponse, Response},
};
use serde_json::Value;
use tower::ServiceBuilder;
use tower_http::{catch_panic::CatchPanicLayer, set_header::SetResponseHeaderLayer};
use utoipa_axum::router::OpenApiRouter;

use crate::{
    app::App,
    environment::Environment,
    error::{self, ApiError, routes::Pages},
    events,
    gate::{
        allowlist::allowlist,
        authenticate::{Keys, authenticate},
        force::force,
        idempotency::{foretell, once, read_whole},
        lane::{Lanes, lane, share},
        rate_limit::{RateLimit, rate_limit},
    },
    http::{
        client_ip, deadline,
        etag::Tagged,
        host,
        observe::{name_route, observe},
        remarks::add_remarks,
        room::{self, Room},
    },
    openapi, orders, sandbox, vehicles,
    vehicles::shelf::Shelf,
    webhooks,
};

/// The routes that need a key.
fn gated(environment: Environment) -> OpenApiRouter<App> {
    let routes = OpenApiRouter::default()
        .merge(vehicles::routes::router())
        .merge(vehicles::facets::routes::router())
        .merge(orders::routes::router())
        .merge(events::routes::router())
        .merge(webhooks::routes::router());
    match environment {
        Environment::Sandbox => routes.merge(sandbox::routes::router()),
        Environment::Production => routes,
    }
}

/// The routes that need none.
fn open() -> OpenApiRouter<App> {
    openapi::routes::router().merge(error::routes::router())
}

/// Makes the OpenAPI document of these routes; `public_url` is where partners reach them.
pub fn document(environment: Environment, public_url: &str) -> Value {
    let gated = gated(environment).into_openapi();
    openapi::document(&gated, &open().into_openapi(), environment, public_url)
}

/// Builds the API.
pub fn router(app: App) -> Router {
    let routes = Router::from(gated(app.settings().environment))
        .route_layer(Extension(Shelf::new(&app.settings().catalogue)));
    let document = document(app.settings().environment, &app.settings().public_url).to_string();
    let open = Router::from(open())
        .route_layer(Extension(Tagged::new(document.into())))
        .route_layer(Extension(Pages::new()));
    let routes = gate(routes, &app)
        .merge(open)
        .merge(openapi::page::router());
    shell(routes, app)
}

/// Puts the gate before routes: what every request with a key passes.
///
/// A route's own handler is inside it; its answer to a wrong method is not, so 405 comes before 401.
pub fn gate(routes: Router<App>, app: &App) -> Router<App> {
    let keys = Keys::new(app.clone());
    app.tasks().spawn(keys.clone().keep_uses());
    let limits = RateLimit::new(app.clone());
    app.tasks().spawn(limits.clone().keep_shared());
    let lanes = Lanes::new(app.clone());
    routes.route_layer(
        ServiceBuilder::new()
            .layer(from_fn_with_state(keys, authenticate))
            .layer(from_fn_with_state(app.clone(), allowlist))
            .layer(from_fn_with_state(limits, rate_limit))
            .layer(from_fn_with_state(lanes.clone(), share))
            .layer(from_fn_with_state(app.clone(), force))
            .layer(from_fn_with_state(app.clone(), read_whole))
            .layer(from_fn_with_state(lanes, lane))
            .layer(from_fn_with_state(app.clone(), once)),
    )
}

/// Puts the shell around routes: what every request meets, also one that no route answers.
pub fn shell(routes: Router<App>, app: App) -> Router {
    let routes = routes
        .method_not_allowed_fallback(async || ApiError::MethodNotAllowed)
        .fallback(async |uri: Uri| ApiError::no_route(uri.path()))
        .layer(from_fn(name_route))
        .with_state(app.clone());
    // A router inside a router: a 405 gets its `Allow` from the inner one, before it is rendered here.
    Router::new().fallback_service(routes).layer(
        ServiceBuilder::new()
            .layer(header("cache-control", "no-store"))
            .layer(header("x-content-type-options", "nosniff"))
            .layer(from_fn_with_state(app.clone(), observe))
            .layer(from_fn_with_state(app.clone(), client_ip::find))
            .layer(from_fn(add_remarks))
            .layer(from_fn(foretell))
            .layer(from_fn(host::require_one))
            .layer(from_fn_with_state(Room::new(app.clone()), room::enter))
            .layer(from_fn_with_state(app, deadline::enforce))
            .layer(CatchPanicLayer::custom(answer_panic)),
    )
}

/// Sets a response header that the handler left out.
fn header(name: &'static str, value: &'static str) -> SetResponseHeaderLayer<HeaderValue> {
    SetResponseHeaderLayer::if_not_present(
        header::HeaderName::from_static(name),
        HeaderValue::from_static(value),
    )
}

/// Turns a panic into the answer of a bug; the hook of `telemetry` has logged where it was.
fn answer_panic(_: Box<dyn Any + Send>) -> Response {
    ApiError::internal("a handler panicked").into_response()
}
