//! Room: so many requests in progress on one replica and no more. The next one is told 503 at once, before anything is
//! looked up for it, instead of making all of them late.
//!
//! It is inside [`observe`](super::observe), so a request without room has its envelope, its log line and its count
//! like any other. Connections are bounded apart, and so is what one partner may have in progress, which is a part of
//! this: so the room is never all one partner's.

use std::sync::Arc;

use axum::{
    extract::{Request, State},
    middleware::Next,
    response::Response,
};
use tokio::sync::Semaphore;

use crate::{app::App, error::ApiError, telemetry::load::Shed};

/// The room of one replica.
#[derive(Debug, Clone)]
pub(crate) struct Room {
    app: App,
    places: Arc<Semaphore>,
}

impl Room {
    /// Makes an empty room.
    pub(crate) fn new(app: App) -> Self {
        let places = Arc::new(Semaphore::new(app.settings().server.requests_max));
        Self { app, places }
    }
}

/// Lets a request in if there is a place for it, which it keeps until it is answered.
pub(crate) async fn enter(
    State(room): State<Room>,
    request: Request,
    next: Next,
) -> Result<Response, ApiError> {
    let Ok(_place) = room.places.try_acquire() else {
        room.app.metrics().count_shed(Shed::Replica);
        return Err(ApiError::unavailable("too many requests are in progress"));
    };
    Ok(next.run(request).await)
}
