//! The partner write limit: the number of writes of one partner that run at once on one replica.
//!
//! It prevents the retries of one partner from occupying the whole connection pool. Further writes wait in order, and
//! are refused with 503 after the maximum wait.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use tokio::{
    sync::{OwnedSemaphorePermit, Semaphore},
    time::timeout,
};

use crate::{config::Limits, errors::ApiError, telemetry::metrics::Metrics, values::id::PartnerId};

/// The limits of all partners that have written since this replica started.
#[derive(Debug)]
pub(super) struct PartnerWriteLimit {
    writes_max: usize,
    /// The maximum wait.
    wait: Duration,
    metrics: Metrics,
    partners: Mutex<HashMap<PartnerId, Arc<Semaphore>>>,
}

impl PartnerWriteLimit {
    /// Creates the limits, with no write in progress.
    pub(super) fn new(settings: &Limits, metrics: Metrics) -> Self {
        Self {
            writes_max: settings.partner_writes_max,
            wait: settings.partner_write_wait,
            metrics,
            partners: Mutex::default(),
        }
    }

    /// Waits for a permit of the partner's limit. The write holds the permit until its response is ready.
    pub(super) async fn acquire(
        &self,
        partner: PartnerId,
    ) -> Result<OwnedSemaphorePermit, ApiError> {
        let semaphore = self.semaphore(partner);
        if let Ok(permit) = semaphore.clone().try_acquire_owned() {
            return Ok(permit);
        }
        let waiting = self.metrics.begin_write_wait();
        let permit = timeout(self.wait, semaphore.acquire_owned()).await;
        drop(waiting);
        match permit {
            Ok(Ok(permit)) => Ok(permit),
            Ok(Err(closed)) => Err(ApiError::internal(closed)),
            Err(waited) => {
                self.metrics.count_write_wait_timeout();
                Err(ApiError::unavailable(waited))
            }
        }
    }

    fn semaphore(&self, partner: PartnerId) -> Arc<Semaphore> {
        let mut partners = self.partners.lock().unwrap_or_else(PoisonError::into_inner);
        let semaphore = partners
            .entry(partner)
            .or_insert_with(|| Arc::new(Semaphore::new(self.writes_max)));
        semaphore.clone()
    }
}
