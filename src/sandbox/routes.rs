//! The routes of the sandbox.

use utoipa_axum::{router::OpenApiRouter, routes};

use super::{clock, orders, vehicles};
use crate::app::App;

/// Returns the routes of the sandbox.
pub(crate) fn router() -> OpenApiRouter<App> {
    OpenApiRouter::default()
        .routes(routes!(orders::set_sandbox_status))
        .routes(routes!(vehicles::record_auction_result))
        .routes(routes!(vehicles::reschedule_auction))
        .routes(routes!(vehicles::change_price))
        .routes(routes!(vehicles::withdraw_vehicle))
        .routes(routes!(
            clock::get_clock,
            clock::advance_clock,
            clock::reset_clock
        ))
}
