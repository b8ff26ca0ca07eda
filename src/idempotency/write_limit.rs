//! The partner write limit: the number of writes of one partner that run at once on one replica.
//!
//! It prevents the retries of one partner from occupying the whole connection pool. Further writes wait in order, and
//! are refused with 503 after the maximum wait.

use std::time::Duration;

use tokio::{sync::OwnedSemaphorePermit, time::timeout};

use crate::{
    config::Limits, errors::ApiError, request::PartnerSemaphores, telemetry::metrics::Metrics,
    values::id::PartnerId,
};

/// The limits of all partners that have written since this replica started.
#[derive(Debug)]
pub(super) struct PartnerWriteLimit {
    partners: PartnerSemaphores,
    /// The maximum wait.
    wait: Duration,
    metrics: Metrics,
}

impl PartnerWriteLimit {
    /// Creates the limits, with no write in progress.
    pub(super) fn new(settings: &Limits, metrics: Metrics) -> Self {
        Self {
            partners: PartnerSemaphores::new(settings.partner_writes_max),
            wait: settings.partner_write_wait,
            metrics,
        }
    }

    /// Waits for a permit of the partner's limit. The write holds the permit until its response is ready.
    pub(super) async fn acquire(
        &self,
        partner: PartnerId,
    ) -> Result<OwnedSemaphorePermit, ApiError> {
        let semaphore = self.partners.of(partner);
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
}
