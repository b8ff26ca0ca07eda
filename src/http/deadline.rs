//! The deadline: every request is answered in time, with 503 if need be.

use std::time::Duration;

use axum::{
    extract::{Request, State},
    middleware::Next,
    response::{IntoResponse, Response},
};
use tokio::{
    sync::watch,
    time::{Instant, sleep_until},
};

use crate::{app::App, error::ApiError};

/// The moment by which the request in hand must be answered.
///
/// It counts from the complete request. Whoever reads the body moves it, so that a slow caller is told 408 for its
/// own slowness and never uses up the handler's time.
#[derive(Debug, Clone)]
pub(crate) struct Deadline {
    at: watch::Sender<Instant>,
    limit: Duration,
}

impl Deadline {
    /// Starts the time anew, with `extra` on top.
    pub(crate) fn restart(&self, extra: Duration) {
        self.at.send_replace(Instant::now() + self.limit + extra);
    }
}

/// Answers 503 when the deadline is over. The handler is dropped, and with it its transaction: nothing is done.
pub(crate) async fn enforce(State(app): State<App>, mut request: Request, next: Next) -> Response {
    let limit = app.settings().server.deadline;
    let (at, mut moved) = watch::channel(Instant::now() + limit);
    request.extensions_mut().insert(Deadline { at, limit });
    let mut answer = std::pin::pin!(next.run(request));
    loop {
        let now_at = *moved.borrow_and_update();
        tokio::select! {
            response = &mut answer => return response,
            () = sleep_until(now_at) => {
                return ApiError::unavailable("the deadline is over").into_response();
            }
            Ok(()) = moved.changed() => {}
        }
    }
}
