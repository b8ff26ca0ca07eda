//! The status of the service for partners: `GET /v1/status`.
//!
//! [`model`] decides which components are degraded. [`StatusMonitor`] assesses this replica every second from what the
//! heartbeat, the catalogue and the background jobs know, so a request costs no query.

pub mod model;

use std::{
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use axum::{
    extract::State,
    http::header,
    response::{IntoResponse, Response},
};
use bytes::Bytes;
use tokio::time::sleep;
use tokio_util::sync::CancellationToken;

use self::model::{Observed, ServiceStatus};
use crate::{
    config::Settings,
    database::Heartbeat,
    operator,
    values::timestamp::Timestamp,
    vehicles::search::Catalogue,
    webhooks::worker::{Count, OldestDue},
};

/// Time between two assessments.
const ASSESS_EVERY: Duration = Duration::from_secs(1);

/// The status of the service as this replica sees it. Cheap to clone.
#[derive(Debug, Clone)]
pub(crate) struct StatusMonitor(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    settings: Arc<Settings>,
    heartbeat: Heartbeat,
    catalogue: Catalogue,
    oldest_due: OldestDue,
    current: Mutex<Current>,
}

/// The last assessment and its JSON.
#[derive(Debug, Default)]
struct Current {
    status: Option<ServiceStatus>,
    body: Bytes,
}

impl StatusMonitor {
    /// Creates a monitor and assesses the replica once.
    pub(crate) fn new(
        settings: Arc<Settings>,
        heartbeat: Heartbeat,
        catalogue: Catalogue,
        oldest_due: OldestDue,
    ) -> Self {
        let monitor = Self(Arc::new(Inner {
            settings,
            heartbeat,
            catalogue,
            oldest_due,
            current: Mutex::default(),
        }));
        monitor.assess();
        monitor
    }

    /// Assesses the replica every second until `stop` is cancelled.
    pub(crate) async fn watch(self, stop: CancellationToken) {
        loop {
            tokio::select! {
                () = sleep(ASSESS_EVERY) => self.assess(),
                () = stop.cancelled() => return,
            }
        }
    }

    /// Returns the last assessment as JSON.
    pub(crate) fn body(&self) -> Bytes {
        self.current().body.clone()
    }

    fn assess(&self) {
        let Inner {
            settings,
            heartbeat,
            catalogue,
            oldest_due,
            ..
        } = &*self.0;
        // A replica that is stopping still serves the requests that reach it.
        let is_stopping = false;
        let missing = operator::probes::readiness(settings, heartbeat, catalogue, is_stopping);
        let Count { age, ago } = oldest_due.last_count();
        let observed = Observed {
            missing: &missing,
            is_catalogue_stale: catalogue.is_stale(),
            oldest_due: age,
            counted_ago: ago,
            count_every: settings.webhooks.backlog,
        };
        let now = Timestamp::kst(heartbeat.time());
        let mut current = self.current();
        let status = ServiceStatus::assess(current.status.as_ref(), &observed, now);
        // Words and times always serialize.
        current.body = serde_json::to_vec(&status).unwrap_or_default().into();
        current.status = Some(status);
    }

    fn current(&self) -> std::sync::MutexGuard<'_, Current> {
        let current = &self.0.current;
        current.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Returns the status of the service.
///
/// No key is needed, and the request counts against no limit. The server that responds assesses itself once a second;
/// LMN's servers may differ for a moment. For a single request that failed, `LMN-Should-Retry` and `Retry-After` say more.
#[utoipa::path(get, path = "/v1/status", tag = "service", responses(
    (status = 200, description = "The status, also while a component is degraded.", body = ServiceStatus),
))]
pub(crate) async fn get_status(State(monitor): State<StatusMonitor>) -> Response {
    let json = [(header::CONTENT_TYPE, "application/json")];
    (json, monitor.body()).into_response()
}
