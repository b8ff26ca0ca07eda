//! Rendering: a vehicle as JSON stands in its row, written whenever the vehicle is.
//!
//! An import renders what it writes, and so does every change of LMN's. Any other change leaves the vehicle unrendered:
//! readers render it for themselves until the job has.

use super::{
    store::{self, Rendered},
    view::{VehicleView, summary_json},
};
use crate::{
    app::App,
    database::{Database, Tx},
    id::VehicleId,
    telemetry::sweep::Sweep,
    vehicles::model::{PricePoint, Vehicle},
};

/// The reason why vehicles were not rendered.
#[derive(Debug, thiserror::Error)]
pub enum RenderError {
    /// The database failed.
    #[error(transparent)]
    Database(#[from] sqlx::Error),
    /// A vehicle cannot be written as JSON.
    #[error("a vehicle cannot be rendered")]
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

/// Renders what is not and shortens the change log, again after every interval, until the replica stops.
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
            tracing::warn!(error = %error, "vehicles were not rendered; it is tried again");
        }
        tokio::select! {
            () = tokio::time::sleep(settings.render) => {}
            () = app.stopping() => return,
        }
    }
}

/// Renders every vehicle that is not, `batch` at a time.
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
