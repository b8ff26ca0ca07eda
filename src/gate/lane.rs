//! The lane: at most so many writes of one partner in progress at once, so that one partner's retries cannot hold
//! the whole pool. Others wait in order, and are told 503 when they waited too long.

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
use crate::{app::App, error::ApiError, id::PartnerId};

/// The lanes of all partners that wrote since this replica started; there are no more than partners.
#[derive(Debug, Clone)]
pub(crate) struct Lanes {
    app: App,
    of: Arc<Mutex<HashMap<PartnerId, Arc<Semaphore>>>>,
}

impl Lanes {
    /// Makes empty lanes.
    pub(crate) fn new(app: App) -> Self {
        Self {
            app,
            of: Arc::default(),
        }
    }

    fn lane(&self, partner: PartnerId) -> Arc<Semaphore> {
        let width = self.app.settings().gate.lane_writes_max;
        let mut lanes = self.of.lock().unwrap_or_else(PoisonError::into_inner);
        lanes
            .entry(partner)
            .or_insert_with(|| Arc::new(Semaphore::new(width)))
            .clone()
    }
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
    let turn = timeout(lanes.app.settings().gate.lane_wait, lane.acquire()).await;
    match turn {
        Ok(Ok(_permit)) => Ok(next.run(request).await),
        Ok(Err(closed)) => Err(ApiError::internal(closed)),
        Err(waited) => Err(ApiError::unavailable(waited)),
    }
}
