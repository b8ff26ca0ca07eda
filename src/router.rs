//! All routes and layers, in the order in which a request meets them.

use axum::{
    Extension, Router,
    extract::Request,
    http::Uri,
    middleware::{Next, from_fn},
    response::Response,
};
use serde_json::Value;
use tower::{Layer, ServiceBuilder, util::option_layer};
use utoipa_axum::router::OpenApiRouter;

use crate::{
    app::App,
    errors::{self, ApiError, routes::Pages},
    events,
    http::etag::Tagged,
    idempotency::IdempotencyLayer,
    middleware::{
        admission::AdmissionLayer,
        authentication::ApiKeys,
        concurrency::ConcurrencyLayer,
        forced_error::ForcedError,
        ip_allowlist::IpAllowlist,
        load_shedding::{LoadShedding, LoadSheddingLayer},
        rate_limit::RateLimit,
        request_context::{Contextual, RequestContextLayer},
    },
    openapi, orders,
    request::RequestContext,
    sandbox,
    values::environment::Environment,
    vehicles,
    vehicles::cache::VehicleCache,
    webhooks,
};

/// The API: the routes inside the layers that every request passes.
pub type Api = Contextual<LoadShedding<Router>>;

/// Returns the routes that need an API key.
fn gated(environment: Environment) -> OpenApiRouter<App> {
    let routes = OpenApiRouter::default()
        .merge(vehicles::routes::router())
        .merge(vehicles::facets::router())
        .merge(orders::routes::router())
        .merge(events::routes::router())
        .merge(webhooks::routes::router());
    match environment {
        Environment::Sandbox => routes.merge(sandbox::routes::router()),
        Environment::Production => routes,
    }
}

/// Returns the routes that need no API key.
fn open() -> OpenApiRouter<App> {
    openapi::routes::router().merge(errors::routes::router())
}

/// Builds the OpenAPI document of these routes; `public_url` is the base URL for partners.
pub fn document(environment: Environment, public_url: &str) -> Value {
    let gated = gated(environment).into_openapi();
    openapi::document(&gated, &open().into_openapi(), environment, public_url)
}

/// Builds the API.
pub fn router(app: App) -> Api {
    let routes = Router::from(gated(app.settings().environment));
    let document = document(app.settings().environment, &app.settings().public_url).to_string();
    let open = Router::from(open())
        .route_layer(Extension(Tagged::new(document.into())))
        .route_layer(Extension(Pages::new()))
        .merge(openapi::page::router())
        .route_layer(from_fn(note_route));
    shell(gate(routes, &app).merge(open), app)
}

/// Adds the layers that every request with an API key passes.
///
/// They wrap each route's handlers, but not its response to an unsupported method, so 405 takes precedence over 401.
pub fn gate(routes: Router<App>, app: &App) -> Router<App> {
    let environment = app.settings().environment;
    let forced_error =
        matches!(environment, Environment::Sandbox).then(|| ForcedError(app.clone()));
    let keys = ApiKeys::new(app.clone());
    app.tasks().spawn(keys.clone().keep_last_uses());
    let limits = RateLimit::new(app.clone());
    app.tasks().spawn(limits.clone().keep_shared());
    routes.route_layer(
        ServiceBuilder::new()
            .layer(AdmissionLayer(keys))
            .layer(AdmissionLayer(IpAllowlist(environment)))
            .layer(AdmissionLayer(limits))
            .layer(ConcurrencyLayer::new(app.clone()))
            .layer(option_layer(forced_error.map(AdmissionLayer)))
            .layer(IdempotencyLayer::new(
                app.clone(),
                orders::FINGERPRINT_MEMBERS,
            ))
            .layer(Extension(VehicleCache::new(&app.settings().catalogue))),
    )
}

/// Adds the layers that every request passes, including a request that matches no route.
pub fn shell(routes: Router<App>, app: App) -> Api {
    let routes = routes
        .method_not_allowed_fallback(refuse_method)
        .fallback(async |uri: Uri| ApiError::no_route(uri.path()))
        .with_state(app.clone());
    RequestContextLayer(app.clone()).layer(LoadSheddingLayer::new(app).layer(routes))
}

async fn refuse_method(context: RequestContext, request: Request) -> ApiError {
    context.note_route(request.extensions());
    ApiError::MethodNotAllowed
}

/// Stores the matched route of a request to an open route, which passes no authentication.
async fn note_route(context: RequestContext, request: Request, next: Next) -> Response {
    context.note_route(request.extensions());
    next.run(request).await
}
