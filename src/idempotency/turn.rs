//! The partner write limit: one partner has so many writes at work on one replica, so that its retries cannot hold the
//! whole pool. Others wait in order, and are answered 503 when they have waited too long.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError},
};

use tokio::{
    sync::{OwnedSemaphorePermit, Semaphore},
    time::timeout,
};

use crate::{app::App, error::ApiError, id::PartnerId};

/// The writes of all partners that wrote since this replica started.
#[derive(Debug, Clone)]
pub(super) struct WriteTurns {
    app: App,
    partners: Arc<Mutex<HashMap<PartnerId, Arc<Semaphore>>>>,
}

impl WriteTurns {
    /// Begins with no write at work.
    pub(super) fn new(app: App) -> Self {
        Self {
            app,
            partners: Arc::default(),
        }
    }

    /// Waits for a partner's turn; the write holds it until it is answered.
    pub(super) async fn take(&self, partner: PartnerId) -> Result<OwnedSemaphorePermit, ApiError> {
        let turns = self.turns(partner);
        if let Ok(turn) = turns.clone().try_acquire_owned() {
            return Ok(turn);
        }
        let waiting = self.app.metrics().begin_lane_wait();
        let limit = self.app.settings().gate.lane_wait;
        let turn = timeout(limit, turns.acquire_owned()).await;
        drop(waiting);
        match turn {
            Ok(Ok(turn)) => Ok(turn),
            Ok(Err(closed)) => Err(ApiError::internal(closed)),
            Err(waited) => {
                self.app.metrics().count_lane_timeout();
                Err(ApiError::unavailable(waited))
            }
        }
    }

    fn turns(&self, partner: PartnerId) -> Arc<Semaphore> {
        let limit = self.app.settings().gate.lane_writes_max;
        let mut partners = self.partners.lock().unwrap_or_else(PoisonError::into_inner);
        let turns = partners
            .entry(partner)
            .or_insert_with(|| Arc::new(Semaphore::new(limit)));
        turns.clone()
    }
}
