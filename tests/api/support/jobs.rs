//! The background jobs of a replica, which tests run one pass at a time.

use lmn_partner_api::{
    app::App,
    orders::{self, model::Overdue, transitions::TransitionFailed},
    request_log,
    webhooks::worker::{self, Worker},
};

/// Fails the orders whose auction has passed; returns their number.
pub async fn fail_passed(app: &App) -> Result<usize, TransitionFailed> {
    orders::jobs::fail_passed(app.database(), &app.settings().jobs, app.metrics()).await
}

/// Records reminders of overdue deliveries.
pub async fn remind_overdue(app: &App) -> Result<Vec<Overdue>, sqlx::Error> {
    orders::jobs::remind_overdue(app.database(), &app.settings().jobs, app.metrics()).await
}

/// Deletes old requests from the log; returns their number.
pub async fn delete_old_requests(app: &App) -> Result<u64, sqlx::Error> {
    request_log::delete_old(app.database(), &app.settings().request_log).await
}

/// Counts the deliveries that are waiting.
pub async fn count_backlog(app: &App) -> Result<(), sqlx::Error> {
    worker::count_backlog(app.database(), app.metrics(), app.oldest_due()).await
}

/// Returns a worker that delivers the events of a replica's database.
pub fn worker(app: &App) -> Worker {
    let worker = Worker::new(
        app.settings().clone(),
        app.database().clone(),
        app.heartbeat().clone(),
        app.metrics().clone(),
    );
    worker.expect("TLS can be used")
}
