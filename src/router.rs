//! All routes and layers, in the order in which a request meets them. Those of the console are in `router/console.rs`.

mod console;

use std::sync::Arc;

use axum::{
    Extension, Router,
    extract::Request,
    http::Uri,
    middleware::{Next, from_fn, from_fn_with_state},
    response::{Redirect, Response},
    routing::get,
};
use serde_json::Value;
use tower::{Layer, ServiceBuilder, util::option_layer};
use utoipa::OpenApi;
use utoipa_axum::{router::OpenApiRouter, routes};

use crate::{
    app::App,
    config::Settings,
    errors::ApiError,
    events,
    http::{
        body::AcceptsCsv,
        etag::{Conditional, Tagged},
        headers::PublicPath,
    },
    idempotency::IdempotencyLayer,
    middleware::{
        admission::{AdmissionLayer, ForcedError, IpAllowlist},
        authentication::ApiKeys,
        concurrency::{Concurrency, ConcurrencyLayer, LoadShedding, PartnerConcurrency},
        deprecation::{Deprecations, note_deprecated},
        rate_limit::RateLimit,
        request_context::{Contextual, RequestContextLayer},
    },
    openapi,
    operator::{
        self,
        authentication::{NeededRole, OperatorTokens},
        probes,
    },
    operators::model::Role,
    orders,
    request::RequestContext,
    request_log, sandbox, status,
    values::{environment::Environment, string_enum::StringEnum},
    vehicles, webhooks,
};

/// The API: the routes inside the layers that every request passes.
pub type Api = Contextual<Concurrency<LoadShedding, Router>>;

/// Returns the routes that need an API key.
fn gated(environment: Environment) -> OpenApiRouter<App> {
    let routes = OpenApiRouter::with_openapi(vehicles::handlers::Shapes::openapi())
        .routes(routes!(vehicles::handlers::list_vehicles))
        .routes(routes!(vehicles::handlers::get_vehicle))
        .routes(routes!(vehicles::handlers::get_facets))
        .routes(routes!(
            orders::list_handlers::list_orders,
            orders::handlers::create_order
        ))
        .routes(routes!(
            orders::list_handlers::get_order,
            orders::handlers::cancel_order
        ))
        .routes(routes!(orders::list_handlers::get_order_vehicle))
        .routes(routes!(orders::list_handlers::list_order_history))
        .routes(routes!(orders::handlers::report_status))
        .merge(OpenApiRouter::with_openapi(
            orders::event::DataSchemas::openapi(),
        ))
        .routes(routes!(events::handlers::list_events))
        .routes(routes!(events::handlers::get_event))
        .routes(routes!(events::handlers::list_event_attempts))
        .routes(routes!(orders::list_handlers::list_order_events))
        .routes(routes!(
            webhooks::handlers::get_webhook_endpoint,
            webhooks::handlers::put_webhook_endpoint,
            webhooks::handlers::delete_webhook_endpoint
        ))
        .routes(routes!(webhooks::handlers::rotate_webhook_secret))
        .routes(routes!(webhooks::handlers::test_webhook_endpoint))
        .routes(routes!(webhooks::handlers::redeliver_event))
        .routes(routes!(request_log::handlers::list_requests))
        .routes(routes!(request_log::handlers::get_request));
    match environment {
        Environment::Production => routes,
        Environment::Sandbox => routes
            .routes(routes!(sandbox::orders::set_sandbox_status))
            .routes(routes!(sandbox::vehicles::record_auction_result))
            .routes(routes!(sandbox::vehicles::reschedule_auction))
            .routes(routes!(sandbox::vehicles::change_price))
            .routes(routes!(sandbox::vehicles::withdraw_vehicle))
            .routes(routes!(
                sandbox::clock::get_clock,
                sandbox::clock::advance_clock,
                sandbox::clock::reset_clock
            )),
    }
}

/// Returns the routes that need no API key.
fn open() -> OpenApiRouter<App> {
    OpenApiRouter::default()
        .routes(routes!(openapi::handlers::get_openapi))
        .routes(routes!(openapi::handlers::list_errors))
        .routes(routes!(openapi::handlers::get_error))
        .routes(routes!(status::get_status))
}

/// Returns the routes of the documentation for human readers below a path, one for each page and file. They are not
/// operations of the API.
fn portal(base: &str, public_url: &str) -> Router<App> {
    openapi::handlers::files(public_url).fold(Router::new(), |router, file| {
        let path = format!("{base}{}", file.path);
        let file = Arc::new(file);
        router.route(
            &path,
            get(async move |conditional: Conditional| file.answer(&conditional)),
        )
    })
}

/// Returns the routes that lead to the others. They are not operations of the API.
fn index() -> Router<App> {
    Router::new()
        .route("/", get(openapi::handlers::show_index))
        .route("/docs/", get(openapi::handlers::lead_to_docs))
}

/// Returns the routes of probes, which are on both listeners: load balancers probe the port that they send traffic to.
fn probes() -> Router<App> {
    let [health, readiness] = probes::PATHS;
    Router::new()
        .route(health, get(probes::show_health))
        .route(readiness, get(probes::show_readiness))
}

/// Returns the routes of the operator API, in groups by the role that they need.
fn operator_routes() -> [(Role, OpenApiRouter<App>); 4] {
    let viewer = OpenApiRouter::with_openapi(orders::event::DataSchemas::openapi())
        .merge(OpenApiRouter::with_openapi(
            vehicles::handlers::Shapes::openapi(),
        ))
        .routes(routes!(operator::bid_sheet::show_bid_sheet))
        .routes(routes!(operator::orders::list_all_orders))
        .routes(routes!(operator::orders::get_order_story))
        .routes(routes!(operator::audit::list_order_changes))
        .routes(routes!(operator::partners::list_partners))
        .routes(routes!(operator::partners::get_partner))
        .routes(routes!(operator::audit::list_audit))
        // The handler demands the role of the step.
        .routes(routes!(operator::order_steps::advance_order));
    let trader = OpenApiRouter::default()
        .routes(routes!(operator::bid_sheet::acquire_vehicles))
        .routes(routes!(operator::vehicle_changes::record_auction_results))
        .routes(routes!(operator::vehicle_changes::settle_auction))
        .routes(routes!(operator::vehicle_changes::reschedule_auction))
        .routes(routes!(operator::vehicle_changes::reprice_vehicle))
        .routes(routes!(operator::vehicle_changes::withdraw_vehicle))
        .routes(routes!(operator::vehicle_changes::restore_vehicle));
    let logistics = OpenApiRouter::default()
        .routes(routes!(operator::order_steps::record_shipments))
        .routes(routes!(operator::order_steps::set_fulfillment))
        .routes(routes!(operator::order_steps::change_shipment));
    let admin = OpenApiRouter::default()
        .routes(routes!(operator::audit::list_operators))
        .routes(routes!(operator::order_steps::correct_amounts))
        .routes(routes!(operator::partner_changes::add_partner))
        .routes(routes!(operator::partner_changes::set_partner_limit))
        .routes(routes!(operator::partner_changes::set_partner_contact))
        .routes(routes!(operator::partner_changes::add_network))
        .routes(routes!(operator::partner_changes::remove_network))
        .routes(routes!(operator::event_replay::replay_event))
        .routes(routes!(operator::event_replay::replay_events))
        .routes(routes!(operator::keys::issue_key))
        .routes(routes!(operator::keys::rotate_key))
        .routes(routes!(operator::keys::revoke_key));
    [
        (Role::Viewer, viewer),
        (Role::Trader, trader),
        (Role::Logistics, logistics),
        (Role::Admin, admin),
    ]
}

/// Returns the routes of the operator's listener. Probes and metrics need no token and pass no layer.
///
/// The operator API and the console are off beyond loopback without TLS.
pub fn operator_router(app: App) -> Router {
    let open = probes()
        .route("/metrics", get(probes::show_metrics))
        .with_state(app.clone());
    match app.settings().operator.has_api() {
        true => open.fallback_service(operator_api(app)),
        false => {
            tracing::warn!(
                "operator.listen is not a loopback address and operator.tls is not set: \
                 the operator API and the console are off"
            );
            open
        }
    }
}

/// Builds the operator API.
fn operator_api(app: App) -> Api {
    let tokens = OperatorTokens::new(app.database().clone());
    let idempotency = idempotency(&app);
    let mut routes = Router::new();
    for (role, group) in operator_routes() {
        let layers = ServiceBuilder::new()
            .layer(AdmissionLayer(tokens.clone()))
            .layer(AdmissionLayer(NeededRole(role)))
            .layer(Extension(AcceptsCsv))
            .layer(idempotency.clone());
        routes = routes.merge(Router::from(group).route_layer(layers));
    }
    let document = Tagged::new(operator_document().to_string().into());
    let open = Router::new()
        .route(
            "/operator/v1/openapi.json",
            get(openapi::handlers::get_openapi),
        )
        .route_layer(Extension(document))
        .route(
            "/docs",
            get(async || Redirect::to("/operator/docs/reference")),
        )
        .merge(portal("/operator", &app.settings().public_url))
        .route_layer(from_fn(note_route));
    routes = routes.merge(console::routes(&app, tokens, idempotency));
    let requests_max = app.settings().operator.requests_max;
    // The partners' gateway does not lead to this listener.
    within(routes.merge(open), app, requests_max, PublicPath::default())
}

/// Builds the OpenAPI document of these routes.
pub fn document(settings: &Settings) -> Value {
    let gated = gated(settings.environment).into_openapi();
    openapi::document(&gated, &open().into_openapi(), settings)
}

/// Builds the OpenAPI document of the operator API.
pub fn operator_document() -> Value {
    let document =
        |(role, routes): (Role, OpenApiRouter<App>)| (role.as_str(), routes.into_openapi());
    openapi::operator_document(&operator_routes().map(document))
}

/// Builds the API.
pub fn router(app: App) -> Api {
    let settings = app.settings();
    let routes = Router::from(gated(settings.environment));
    let document = document(settings);
    let deprecations = Deprecations::of(openapi::operations(&document), &settings.deprecations);
    let open = Router::from(open())
        .route_layer(Extension(Tagged::new(document.to_string().into())))
        .route_layer(Extension(openapi::handlers::ErrorPages::new()))
        .merge(portal("", &settings.public_url))
        .merge(index())
        .merge(probes())
        .route_layer(from_fn(note_route));
    let mut routes = gate(routes, &app).merge(open);
    if let Some(deprecations) = deprecations {
        routes = routes.route_layer(from_fn_with_state(deprecations, note_deprecated));
    }
    shell(routes, app)
}

/// Adds the layers that every request with an API key passes.
///
/// They wrap each route's handlers, but not its response to an unsupported method, so 405 takes precedence over 401.
pub fn gate(routes: Router<App>, app: &App) -> Router<App> {
    let (settings, heartbeat, metrics) = (app.settings(), app.heartbeat(), app.metrics());
    let environment = settings.environment;
    let database = app.database().clone();
    let keys = ApiKeys::new(database, heartbeat.clone(), metrics.clone(), settings);
    let limits = RateLimit::new(heartbeat.clone(), metrics.clone(), settings);
    let request_log = app.request_log().clone();
    app.jobs()
        .start_gate(keys.clone(), limits.clone(), request_log);
    let concurrency =
        PartnerConcurrency::new(settings.limits.partner_requests_max, metrics.clone());
    let forced_error = matches!(environment, Environment::Sandbox)
        .then(|| AdmissionLayer(ForcedError::new(heartbeat.clone(), limits.clone())));
    routes.route_layer(
        ServiceBuilder::new()
            .layer(AdmissionLayer(keys))
            .layer(AdmissionLayer(IpAllowlist(environment)))
            .layer(AdmissionLayer(limits))
            .layer(ConcurrencyLayer(concurrency))
            .layer(option_layer(forced_error))
            .layer(idempotency(app)),
    )
}

/// Returns a new idempotency layer, with write limits of its own.
fn idempotency(app: &App) -> IdempotencyLayer {
    IdempotencyLayer::new(
        app.database().clone(),
        app.replies().clone(),
        app.metrics().clone(),
        app.settings().clone(),
        orders::FINGERPRINT_MEMBERS,
    )
}

/// Adds the layers that every request to the partners' listener passes, including a request that matches no route.
pub fn shell(routes: Router<App>, app: App) -> Api {
    let requests_max = app.settings().server.requests_max;
    let public_path = PublicPath::of(&app.settings().public_url);
    within(routes, app, requests_max, public_path)
}

/// Adds the layers that every request passes, of which at most `requests_max` are in progress. Relative URLs in responses
/// begin with `public_path`.
fn within(routes: Router<App>, app: App, requests_max: usize, public_path: PublicPath) -> Api {
    let context = RequestContextLayer::new(
        app.heartbeat().clone(),
        app.metrics().clone(),
        app.request_log().clone(),
        app.spans().cloned(),
        public_path,
        app.settings().clone(),
    );
    let shedding = LoadShedding::new(requests_max, &probes::PATHS, app.metrics().clone());
    let routes = routes
        .method_not_allowed_fallback(refuse_method)
        .fallback(async |uri: Uri| ApiError::no_route(uri.path()))
        .with_state(app);
    context.layer(ConcurrencyLayer(shedding).layer(routes))
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
