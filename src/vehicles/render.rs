//! Rendering: the JSON of a vehicle, which is stored in its row and written together with the vehicle.
//!
//! Imports render the vehicles that they write, and so do changes by LMN. Any other change leaves a vehicle unrendered:
//! readers then render it for themselves until the background job has rendered it.

use super::{
    store::{self, Rendered},
    view::{VehicleView, summary_json},
};
use crate::{
    app::App,
    database::{Database, Tx},
    telemetry::sweep::Sweep,
    values::id::VehicleId,
    vehicles::model::{PricePoint, Vehicle},
};

/// An error while rendering vehicles.
#[derive(Debug, thiserror::Error)]
pub enum RenderError {
    /// The database failed.
    #[error(transparent)]
    Database(#[from] sqlx::Error),
    /// A vehicle cannot be serialized as JSON.
    #[error("a vehicle cannot be serialized as JSON")]
    Json(#[from] serde_json::Error),
}

impl From<RenderError> for sqlx::Error {
    fn from(error: RenderError) -> Self {
        match error {
            RenderError::Database(error) => error,
            RenderError::Json(error) => Self::Encode(error.into()),
        }
    }
}

/// Renders unrendered vehicles and deletes old entries of the change log, at every interval, until the replica stops.
pub async fn run(app: App) {
    let settings = &app.settings().catalogue;
    loop {
        let work = async {
            render_all(app.database(), settings.render_batch).await?;
            let mut connection = app.acquire().await?;
            store::forget_changes(&mut connection, settings.changes).await?;
            Ok::<_, RenderError>(())
        };
        if let Err(error) = app.note(Sweep::Rendering, work).await {
            tracing::warn!(error = %error, "failed to render vehicles; will retry");
        }
        tokio::select! {
            () = tokio::time::sleep(settings.render) => {}
            () = app.stopping() => return,
        }
    }
}

/// Renders all unrendered vehicles, up to `batch` in a transaction.
pub async fn render_all(database: &Database, batch: i64) -> Result<(), RenderError> {
    loop {
        let mut tx = database.begin().await?;
        let vehicles = store::lock_unrendered(&mut tx, batch).await?;
        if vehicles.is_empty() {
            return Ok(());
        }
        write(&mut tx, vehicles).await?;
        tx.commit().await?;
    }
}

/// Renders locked vehicles that this transaction has changed.
pub(crate) async fn render(
    tx: &mut Tx,
    ids: impl IntoIterator<Item = &VehicleId>,
) -> Result<(), sqlx::Error> {
    let ids: Vec<_> = ids.into_iter().map(VehicleId::as_str).collect();
    let vehicles = store::find_unrendered(tx, &ids).await?;
    Ok(write(tx, vehicles).await?)
}

async fn write(tx: &mut Tx, vehicles: Vec<(Vehicle, Vec<PricePoint>)>) -> Result<(), RenderError> {
    let ids: Vec<_> = vehicles
        .iter()
        .map(|(it, _)| it.listing.id.clone())
        .collect();
    let mut rendered = Vec::with_capacity(ids.len());
    for ((vehicle, prices), id) in vehicles.into_iter().zip(&ids) {
        rendered.push(Rendered {
            id: id.as_str(),
            summary: summary_json(&vehicle.listing, vehicle.updated_at)?,
            detail: serde_json::to_string(&VehicleView::new(vehicle, prices))?,
        });
    }
    Ok(store::set_rendered(tx, &rendered).await?)
}
