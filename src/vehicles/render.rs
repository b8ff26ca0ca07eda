//! Rendering: the JSON of a vehicle, which is stored in its row and written together with the vehicle.
//!
//! Imports render the vehicles that they write, and so do changes by LMN. Any other change leaves a vehicle unrendered:
//! readers then render it for themselves until the background job has rendered it.

use super::{
    model::{PricePoint, Vehicle},
    store::{self, Rendered},
    view::{VehicleView, summary_json},
};
use crate::{
    database::{Database, Tx},
    values::id::VehicleId,
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
