//! Renders the cars that are not: those that a change has left so, and those of a migration.
//!
//! A list shows the JSON that stands with a car, and finds it by its terms. Whoever writes a listing makes both; any
//! other change leaves the JSON out, and a reader makes it for himself each time until this has been here.

use super::{
    store::{self, Rendered},
    terms, view,
};
use crate::{app::App, database::Database, telemetry::sweep::Sweep};

/// Why a step was not finished.
#[derive(Debug, thiserror::Error)]
pub enum RenderError {
    /// The database said no.
    #[error(transparent)]
    Database(#[from] sqlx::Error),
    /// A car cannot be shown.
    #[error("a vehicle cannot be rendered")]
    Json(#[from] serde_json::Error),
}

/// Renders until nothing is left to do, and again after every interval, until the replica stops.
pub async fn run(app: App) {
    let settings = &app.settings().catalogue;
    loop {
        let rendering = render_all(app.database(), settings.render_batch);
        if let Err(error) = app.note(Sweep::Rendering, rendering).await {
            tracing::warn!(error = %error, "vehicles were not rendered; it is tried again");
        }
        tokio::select! {
            () = tokio::time::sleep(settings.render) => {}
            () = app.stopping() => return,
        }
    }
}

/// Renders every car that is not, `batch` at a time.
pub async fn render_all(database: &Database, batch: i64) -> Result<(), RenderError> {
    while render_some(database, batch).await? > 0 {}
    Ok(())
}

/// Renders up to `batch` cars; those that somebody else holds are left to him.
async fn render_some(database: &Database, batch: i64) -> Result<usize, RenderError> {
    let mut tx = database.begin().await?;
    let cars = store::hold_unrendered(&mut tx, batch).await?;
    let rendered = cars.iter().map(|car| {
        let listing = &car.listing;
        Ok(Rendered {
            id: listing.id.as_str(),
            make_key: terms::fold(&listing.make),
            model_key: terms::fold(&listing.model),
            terms: terms::of(listing),
            summary: view::summary_json(listing, car.updated_at)?,
        })
    });
    let rendered = rendered.collect::<Result<Vec<_>, RenderError>>()?;
    store::set_rendered(&mut tx, &rendered).await?;
    tx.commit().await?;
    Ok(cars.len())
}
