//! The handlers of `GET /healthz`, `GET /readyz` and `GET /metrics`.

use std::sync::Arc;

use axum::{
    extract::State,
    http::{HeaderValue, StatusCode, header},
    response::{IntoResponse, Response},
};
use serde_json::{Value, json};

use super::{
    Draining,
    model::{Facts, missing},
};
use crate::{
    config::Settings,
    database::{Database, DatabaseHealth, Heartbeat},
    telemetry::{load::Pool, metrics::Metrics},
    vehicles::search::Catalogue,
};

/// The content type of the Prometheus text format.
const PROMETHEUS: &str = "text/plain; version=0.0.4; charset=utf-8";

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
    let DatabaseHealth { silence, pending } = heartbeat.health();
    let facts = Facts {
        stopping: draining.is_cancelled(),
        silence,
        pending,
        is_loading: catalogue.is_loading(),
    };
    let missing: Vec<Value> = missing(&facts, settings.operator.database_silence)
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
