//! Lanes: what one partner may have in progress on one replica.
//!
//! So many requests, whatever they do: one more is told 503 at once. So many of them writes, so that one partner's
//! retries cannot hold the whole pool: others wait in order, and are told 503 when they waited too long.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError},
};

use axum::{
    extract::{Request, State},
    middleware::Next,
    response::Response,
};
use tokio::{sync::Semaphore, time::timeout};

use super::{
    caller::Caller,
    rate_limit::{kind_of, model::Kind},
};
use crate::{app::App, error::ApiError, id::PartnerId, telemetry::load::Shed};

/// The lanes of all partners that called since this replica started; there are no more than partners.
#[derive(Debug, Clone)]
pub(crate) struct Lanes {
    app: App,
    of: Arc<Mutex<HashMap<PartnerId, Arc<Lane>>>>,
}

/// One partner's.
#[derive(Debug)]
struct Lane {
    requests: Semaphore,
    writes: Semaphore,
}

impl Lanes {
    /// Makes empty lanes.
    pub(crate) fn new(app: App) -> Self {
        Self {
            app,
            of: Arc::default(),
        }
    }

    fn lane(&self, partner: PartnerId) -> Arc<Lane> {
        let settings = &self.app.settings().gate;
        let mut lanes = self.of.lock().unwrap_or_else(PoisonError::into_inner);
        let lane = lanes.entry(partner).or_insert_with(|| {
            Arc::new(Lane {
                requests: Semaphore::new(settings.partner_requests_max),
                writes: Semaphore::new(settings.lane_writes_max),
            })
        });
        lane.clone()
    }
}

/// Lets a request in if its partner has a place for it; it stands before the body is read, which may take long.
pub(crate) async fn share(
    State(lanes): State<Lanes>,
    caller: Caller,
    request: Request,
    next: Next,
) -> Result<Response, ApiError> {
    let lane = lanes.lane(caller.partner());
    let Ok(_place) = lane.requests.try_acquire() else {
        lanes.app.metrics().count_shed(Shed::Partner);
        return Err(ApiError::unavailable(
            "its partner has too many requests in progress",
        ));
    };
    Ok(next.run(request).await)
}

/// Lets a write in when it is its turn; reads pass by.
pub(crate) async fn lane(
    State(lanes): State<Lanes>,
    caller: Caller,
    request: Request,
    next: Next,
) -> Result<Response, ApiError> {
    if kind_of(request.method()) == Kind::Read {
        return Ok(next.run(request).await);
    }
    let lane = lanes.lane(caller.partner());
    let Ok(_turn) = lane.writes.try_acquire() else {
        let waiting = lanes.app.metrics().begin_lane_wait();
        let turn = timeout(lanes.app.settings().gate.lane_wait, lane.writes.acquire()).await;
        drop(waiting);
        return match turn {
            Ok(Ok(_turn)) => Ok(next.run(request).await),
            Ok(Err(closed)) => Err(ApiError::internal(closed)),
            Err(waited) => {
                lanes.app.metrics().count_lane_timeout();
                Err(ApiError::unavailable(waited))
            }
        };
    };
    Ok(next.run(request).await)
}
