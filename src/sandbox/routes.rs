//! The sandbox's routes.

use axum::{
    Router,
    routing::{get, post},
};

use super::{
    clock::{advance_clock, get_clock, reset_clock},
    orders::set_sandbox_status,
    vehicles::{change_price, record_auction_result, reschedule_auction, withdraw_vehicle},
};
use crate::app::App;

/// Routes of the sandbox.
pub(crate) fn router() -> Router<App> {
    Router::new()
        .route("/v1/orders/{id}/sandbox-status", post(set_sandbox_status))
        .route(
            "/v1/sandbox/vehicles/{id}/auction-result",
            post(record_auction_result),
        )
        .route(
            "/v1/sandbox/vehicles/{id}/reschedule",
            post(reschedule_auction),
        )
        .route("/v1/sandbox/vehicles/{id}/price", post(change_price))
        .route("/v1/sandbox/vehicles/{id}/withdraw", post(withdraw_vehicle))
        .route(
            "/v1/sandbox/clock",
            get(get_clock).post(advance_clock).delete(reset_clock),
        )
}
