//! The handlers of `GET /healthz`, `GET /readyz` and `GET /metrics`.

use axum::{
    Router,
    extract::State,
    http::{HeaderValue, StatusCode, header},
    response::{IntoResponse, Response},
    routing::get,
};
use serde_json::{Value, json};

use super::model::{Facts, missing};
use crate::{app::App, database::DatabaseHealth, telemetry::metrics::Pool};

/// The content type of the Prometheus text format.
const PROMETHEUS: &str = "text/plain; version=0.0.4; charset=utf-8";

/// Builds the router of the operator's listener.
pub fn router(app: App) -> Router {
    Router::new()
        .route("/healthz", get(show_health))
        .route("/readyz", get(show_readiness))
        .route("/metrics", get(show_metrics))
        .with_state(app)
}

/// Responds 200 whenever the process is alive.
async fn show_health() -> Response {
    answer(StatusCode::OK, &json!({"status": "alive"}))
}

/// Responds 200 if the replica is ready, otherwise 503 with the conditions that are not met.
async fn show_readiness(State(app): State<App>) -> Response {
    let DatabaseHealth { silence, pending } = app.heartbeat().health();
    let facts = Facts {
        stopping: app.is_draining(),
        silence,
        pending,
        is_loading: app.catalogue().is_loading(),
    };
    let missing: Vec<Value> = missing(&facts, app.settings().operator.database_silence)
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
async fn show_metrics(State(app): State<App>) -> Response {
    let status = app.database().status();
    app.metrics().set_pool(&Pool {
        name: "requests",
        used: status.used,
        idle: status.idle,
        max: status.max,
    });
    app.metrics().set_silence(app.heartbeat().health().silence);
    let text = HeaderValue::from_static(PROMETHEUS);
    ([(header::CONTENT_TYPE, text)], app.metrics().render()).into_response()
}

/// Returns a JSON response that must not be cached.
fn answer(status: StatusCode, body: &Value) -> Response {
    let headers = [
        (header::CONTENT_TYPE, "application/json"),
        (header::CACHE_CONTROL, "no-store"),
    ];
    (status, headers, body.to_string()).into_response()
}
