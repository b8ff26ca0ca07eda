//! Probes and metrics on the operator's listener. The partners' listener has the probes, too.
//!
//! Probes report the last result of the database heartbeat, so they never query the database and never wait for it.

use std::{fmt, sync::Arc, time::Duration};

use axum::{
    extract::State,
    http::{HeaderValue, StatusCode, header},
    response::{IntoResponse, Response},
};
use serde_json::{Value, json};
use tokio_util::sync::CancellationToken;

use crate::{
    config::Settings,
    database::{Database, DatabaseHealth, Heartbeat},
    telemetry::{load::Pool, metrics::Metrics},
    vehicles::search::Catalogue,
};

/// The paths of the probes: whether the process is alive, and whether the replica is ready.
pub(crate) const PATHS: [&str; 2] = ["/healthz", "/readyz"];

/// The content type of the Prometheus text format.
const PROMETHEUS: &str = "text/plain; version=0.0.4; charset=utf-8";

/// Cancelled when the replica begins to drain: it finishes the requests in progress and is no longer ready.
#[derive(Debug, Clone)]
pub(crate) struct Draining(pub(crate) CancellationToken);

/// Responds 200 whenever the process is alive.
pub(crate) async fn show_health() -> Response {
    answer(StatusCode::OK, &json!({"status": "alive"}))
}

/// Responds 200 if the replica is ready, otherwise 503 with the conditions that are not met.
pub(crate) async fn show_readiness(
    State(settings): State<Arc<Settings>>,
    State(heartbeat): State<Heartbeat>,
    State(catalogue): State<Catalogue>,
    State(Draining(draining)): State<Draining>,
) -> Response {
    let is_stopping = draining.is_cancelled();
    let missing: Vec<Value> = readiness(&settings, &heartbeat, &catalogue, is_stopping)
        .into_iter()
        .map(|it| json!({"what": it.name(), "message": it.to_string()}))
        .collect();
    match missing.is_empty() {
        true => answer(StatusCode::OK, &json!({"status": "ready"})),
        false => answer(
            StatusCode::SERVICE_UNAVAILABLE,
            &json!({"status": "not_ready", "missing": missing}),
        ),
    }
}

/// Returns the conditions that a replica does not meet, from what the heartbeat and the catalogue know.
pub(crate) fn readiness(
    settings: &Settings,
    heartbeat: &Heartbeat,
    catalogue: &Catalogue,
    is_stopping: bool,
) -> Vec<Missing> {
    let DatabaseHealth { silence, pending } = heartbeat.health();
    let facts = Facts {
        stopping: is_stopping,
        silence,
        pending,
        is_loading: catalogue.is_loading(),
    };
    missing(&facts, settings.operator.database_silence)
}

/// Returns all metrics in the Prometheus text format.
pub(crate) async fn show_metrics(
    State(database): State<Database>,
    State(heartbeat): State<Heartbeat>,
    State(metrics): State<Metrics>,
) -> Response {
    let status = database.status();
    metrics.set_pool(&Pool {
        name: "requests",
        used: status.used,
        idle: status.idle,
        max: status.max,
    });
    metrics.set_silence(heartbeat.health().silence);
    let text = HeaderValue::from_static(PROMETHEUS);
    ([(header::CONTENT_TYPE, text)], metrics.render()).into_response()
}

/// Returns a JSON response that must not be cached.
fn answer(status: StatusCode, body: &Value) -> Response {
    let headers = [
        (header::CONTENT_TYPE, "application/json"),
        (header::CACHE_CONTROL, "no-store"),
    ];
    (status, headers, body.to_string()).into_response()
}

/// The state of a replica at the time of a probe.
#[derive(Debug, Clone, Copy)]
struct Facts {
    /// Whether the server is stopping.
    stopping: bool,
    /// The time since the last response of the database.
    silence: Duration,
    /// The number of this binary's migrations that the database lacked at that time.
    pending: usize,
    /// Whether the catalogue is being loaded.
    is_loading: bool,
}

/// A condition of readiness that is not met.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Missing {
    /// The server is stopping: it finishes the requests in progress and takes no new ones.
    Stopping,
    /// The database does not respond.
    Database {
        /// The time since its last response.
        silence: Duration,
    },
    /// The schema of the database is older than this binary.
    Migrations {
        /// The number of missing migrations.
        pending: usize,
    },
    /// The catalogue is not loaded yet.
    Catalogue,
}

impl Missing {
    /// Returns the machine-readable name.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Stopping => "stopping",
            Self::Database { .. } => "database",
            Self::Migrations { .. } => "migrations",
            Self::Catalogue => "catalogue",
        }
    }
}

impl fmt::Display for Missing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Stopping => write!(f, "the server is stopping"),
            Self::Database { silence } => {
                let seconds = silence.as_secs_f64();
                write!(f, "the database was not heard for {seconds:.1} s")
            }
            Self::Migrations { pending } => {
                write!(
                    f,
                    "the database lacks {pending} migrations; run `lmn migrate`"
                )
            }
            Self::Catalogue => write!(f, "the catalogue is being loaded"),
        }
    }
}

/// Returns the conditions that are not met; none if the replica is ready.
///
/// `limit` is the time without a response after which the database counts as missing.
fn missing(facts: &Facts, limit: Duration) -> Vec<Missing> {
    let Facts {
        stopping,
        silence,
        pending,
        is_loading,
    } = *facts;
    let stopping = stopping.then_some(Missing::Stopping);
    let database = (silence >= limit).then_some(Missing::Database { silence });
    let migrations = (pending > 0).then_some(Missing::Migrations { pending });
    let catalogue = is_loading.then_some(Missing::Catalogue);
    [stopping, database, migrations, catalogue]
        .into_iter()
        .flatten()
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn replica_is_ready_when_nothing_is_missing() {
        let limit = Duration::from_secs(2);
        let ready = Facts {
            stopping: false,
            silence: Duration::from_millis(1999),
            pending: 0,
            is_loading: false,
        };
        let names = |facts: &Facts| -> Vec<_> {
            missing(facts, limit)
                .into_iter()
                .map(Missing::name)
                .collect()
        };
        assert_eq!(names(&ready), [""; 0]);
        let all = Facts {
            stopping: true,
            silence: limit,
            pending: 3,
            is_loading: true,
        };
        let every = ["stopping", "database", "migrations", "catalogue"];
        assert_eq!(names(&all), every);
        for (facts, name) in [
            (
                Facts {
                    stopping: true,
                    ..ready
                },
                "stopping",
            ),
            (
                Facts {
                    silence: limit,
                    ..ready
                },
                "database",
            ),
            (
                Facts {
                    pending: 1,
                    ..ready
                },
                "migrations",
            ),
            (
                Facts {
                    is_loading: true,
                    ..ready
                },
                "catalogue",
            ),
        ] {
            assert_eq!(names(&facts), [name]);
        }
    }
}
