//! The job that counts the pending deliveries for the operator's metrics.

use crate::{app::App, telemetry::sweep::Sweep, webhooks::store};

/// The maximum number of delivery queues counted per state. It bounds the cost of the query.
const COUNTED_MAX: i64 = 10_000;

/// Counts the pending deliveries now and after every interval, until the replica stops.
pub(crate) async fn run(app: App) {
    let interval = app.settings().webhooks.backlog;
    loop {
        if let Err(error) = app.note(Sweep::Backlog, tell(&app)).await {
            tracing::warn!(error = %error, "the webhook backlog could not be counted; will retry");
        }
        tokio::select! {
            () = tokio::time::sleep(interval) => {}
            () = app.stopping() => return,
        }
    }
}

/// Counts the pending deliveries once and sets the metrics. Public so that tests can run a single step.
pub async fn tell(app: &App) -> Result<(), sqlx::Error> {
    let mut connection = app.acquire().await?;
    let backlog = store::count_backlog(&mut connection, COUNTED_MAX).await?;
    app.metrics().set_backlog(&backlog);
    Ok(())
}
