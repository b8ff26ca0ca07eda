//! `GET /healthz`, `GET /readyz`, `GET /metrics`.

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

/// The version of the text format that Prometheus is told.
const PROMETHEUS: &str = "text/plain; version=0.0.4; charset=utf-8";

/// Builds the operator's routes. There are no others behind this listener.
pub fn router(app: App) -> Router {
    Router::new()
        .route("/healthz", get(show_health))
        .route("/readyz", get(show_readiness))
        .route("/metrics", get(show_metrics))
        .with_state(app)
}

/// The process is alive, or nobody would say so.
async fn show_health() -> Response {
    answer(StatusCode::OK, &json!({"status": "alive"}))
}

/// Whether requests should be sent here; if not, why not.
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

/// Everything that is counted.
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

/// Answers with JSON that no proxy keeps.
fn answer(status: StatusCode, body: &Value) -> Response {
    let headers = [
        (header::CONTENT_TYPE, "application/json"),
        (header::CACHE_CONTROL, "no-store"),
    ];
    (status, headers, body.to_string()).into_response()
}
