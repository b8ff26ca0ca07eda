//! `GET /healthz`, `GET /readyz`.

use axum::{
    Router,
    extract::State,
    http::{StatusCode, header},
    response::{IntoResponse, Response},
    routing::get,
};
use serde_json::{Value, json};

use super::model::{Facts, missing};
use crate::{app::App, db::Vitals};

/// Builds the operator's routes. There are no others behind this listener.
pub fn router(app: App) -> Router {
    Router::new()
        .route("/healthz", get(show_health))
        .route("/readyz", get(show_readiness))
        .with_state(app)
}

/// The process is alive, or nobody would say so.
async fn show_health() -> Response {
    answer(StatusCode::OK, &json!({"status": "alive"}))
}

/// Whether requests should be sent here; if not, why not.
async fn show_readiness(State(app): State<App>) -> Response {
    let Vitals { silence, pending } = app.pulse().vitals();
    let facts = Facts {
        stopping: app.is_draining(),
        silence,
        pending,
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

/// Answers with JSON that no proxy keeps.
fn answer(status: StatusCode, body: &Value) -> Response {
    let headers = [
        (header::CONTENT_TYPE, "application/json"),
        (header::CACHE_CONTROL, "no-store"),
    ];
    (status, headers, body.to_string()).into_response()
}
