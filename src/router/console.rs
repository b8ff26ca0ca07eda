//! The routes of the console and their layers, in the order in which a request meets them.

use std::sync::Arc;

use axum::{
    Router,
    extract::FromRef,
    middleware::from_fn_with_state,
    routing::{MethodRouter, get, post},
};
use tower::ServiceBuilder;

use crate::{
    app::App,
    console::{
        bid_sheet, forms, logs, orders,
        pages::{self, File},
        partners,
        session::{self, Sessions},
        today,
    },
    http::{cursor::Cursors, etag::Conditional},
    idempotency::IdempotencyLayer,
    middleware::admission::AdmissionLayer,
    operator::{
        self,
        authentication::{NeededRole, OperatorTokens},
        event_replay, keys, order_steps, partner_changes, vehicle_changes,
    },
    operators::model::Role,
};

/// Returns the pages, which every role reads.
fn read_routes() -> Router<App> {
    Router::new()
        .route("/", get(today::show_today))
        .route("/bid-sheet", get(bid_sheet::show_sheet))
        .route("/bid-sheet/csv", get(bid_sheet::download_sheet))
        .route("/orders", get(orders::show_orders))
        .route("/orders/{id}", get(orders::show_order))
        .route("/shipping", get(orders::show_shipping))
        .route("/partners", get(partners::show_partners))
        .route("/partners/{id}", get(partners::show_partner))
        .route("/webhooks", get(partners::show_webhooks))
        .route("/webhooks/{id}", get(partners::show_deliveries))
        .route("/requests", get(logs::show_requests))
        .route("/audit", get(logs::show_audit))
}

/// Returns the handlers of the forms, which are those of the operator API, in groups by the role that they need.
fn form_routes() -> [(Role, Router<App>); 4] {
    // The handler asks for the role that the step needs.
    let by_step = Router::new().route("/orders/{id}/advance", post(order_steps::advance_order));
    let trader = Router::new()
        .route(
            "/bid-sheet/acquire",
            post(operator::bid_sheet::acquire_vehicles),
        )
        .route(
            "/auction-results",
            post(vehicle_changes::record_auction_results),
        )
        .route(
            "/vehicles/{id}/auction-result",
            post(vehicle_changes::settle_auction),
        )
        .route(
            "/vehicles/{id}/reschedule",
            post(vehicle_changes::reschedule_auction),
        )
        .route(
            "/vehicles/{id}/price",
            post(vehicle_changes::reprice_vehicle),
        )
        .route(
            "/vehicles/{id}/withdraw",
            post(vehicle_changes::withdraw_vehicle),
        )
        .route(
            "/vehicles/{id}/restore",
            post(vehicle_changes::restore_vehicle),
        );
    let logistics = Router::new()
        .route("/shipments", post(order_steps::record_shipments))
        .route(
            "/orders/{id}/fulfillment",
            post(order_steps::set_fulfillment),
        )
        .route("/orders/{id}/shipment", post(order_steps::change_shipment));
    let admin = Router::new()
        .route("/orders/{id}/amounts", post(order_steps::correct_amounts))
        .route("/partners/add", post(partner_changes::add_partner))
        .route(
            "/partners/{id}/limits",
            post(partner_changes::set_partner_limit),
        )
        .route(
            "/partners/{id}/contact",
            post(partner_changes::set_partner_contact),
        )
        .route("/partners/{id}/keys", post(keys::issue_key))
        .route(
            "/partners/{id}/allowlist/add",
            post(partner_changes::add_network),
        )
        .route(
            "/partners/{id}/allowlist/remove",
            post(partner_changes::remove_network),
        )
        .route("/keys/{prefix}/rotate", post(keys::rotate_key))
        .route("/keys/{prefix}/revoke", post(keys::revoke_key))
        .route("/events/{id}/replay", post(event_replay::replay_event));
    [
        (Role::Viewer, by_step),
        (Role::Trader, trader),
        (Role::Logistics, logistics),
        (Role::Admin, admin),
    ]
}

/// Returns the routes of the console.
pub(super) fn routes(
    app: &App,
    tokens: OperatorTokens,
    idempotency: IdempotencyLayer,
) -> Router<App> {
    let sessions = AdmissionLayer(Sessions::new(
        Cursors::from_ref(app),
        app.heartbeat().clone(),
        tokens,
    ));
    let forms = ServiceBuilder::new()
        .layer(from_fn_with_state(app.clone(), forms::submit))
        .layer(idempotency);
    let mut gated = read_routes().route("/sign-out", post(session::sign_out));
    for (role, group) in form_routes() {
        let layers = ServiceBuilder::new()
            .layer(AdmissionLayer(NeededRole(role)))
            .layer(forms.clone());
        gated = gated.merge(group.route_layer(layers));
    }
    let open = Router::new()
        .route(
            "/sign-in",
            get(session::show_sign_in).post(session::sign_in),
        )
        .route("/language", get(session::choose_language));
    let open = pages::files().fold(open, |router, file| {
        let path = file.path;
        router.route(path, serve(file))
    });
    gated
        .route_layer(sessions)
        .merge(open)
        .route_layer(from_fn_with_state(app.clone(), pages::finish))
}

fn serve(file: File) -> MethodRouter<App> {
    let file = Arc::new(file);
    get(async move |conditional: Conditional| file.answer(&conditional))
}
