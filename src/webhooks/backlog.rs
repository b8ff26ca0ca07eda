//! The backlog: told to the operator by whoever works.

use crate::{app::App, telemetry::sweep::Sweep, webhooks::store};

/// No more lanes of a kind are counted: it is enough to know that there are so many.
const COUNTED_MAX: i64 = 10_000;

/// Counts what waits, and again after every interval, until the replica stops.
pub(crate) async fn run(app: App) {
    let interval = app.settings().webhooks.backlog;
    loop {
        if let Err(error) = app.note(Sweep::Backlog, tell(&app)).await {
            tracing::warn!(error = %error, "the backlog was not counted; it is tried again");
        }
        tokio::select! {
            () = tokio::time::sleep(interval) => {}
            () = app.stopping() => return,
        }
    }
}

/// Counts what waits, once: a single step, for tests.
pub async fn tell(app: &App) -> Result<(), sqlx::Error> {
    let mut connection = app.acquire().await?;
    let backlog = store::count_backlog(&mut connection, COUNTED_MAX).await?;
    app.metrics().set_backlog(&backlog);
    Ok(())
}
