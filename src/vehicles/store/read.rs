//! Cars as they are read.

use chrono::{DateTime, Utc};
use sqlx::FromRow;

use super::super::{
    model::{PricePoint, Vehicle},
    row::{VehicleRow, vehicle_columns},
};
use crate::{
    database::{
        Connection,
        column::{usd, vehicle_id},
    },
    id::{PartnerId, VehicleId},
    money::Usd,
};

/// Reads the catalogue's version.
pub(crate) async fn version(conn: &mut Connection) -> Result<i64, sqlx::Error> {
    sqlx::query_scalar!("select version from catalogue")
        .fetch_one(conn)
        .await
}

/// A car and its prices as one row, and the catalogue's version in which it was read.
#[derive(Debug, FromRow)]
struct FoundRow {
    #[sqlx(flatten)]
    car: VehicleRow,
    version: i64,
}

/// Finds a car and its prices, also when it is withdrawn, and says in which version of the catalogue.
pub(crate) async fn find_any(
    conn: &mut Connection,
    id: &VehicleId,
) -> Result<Option<(Vehicle, Vec<PricePoint>, i64)>, sqlx::Error> {
    let row: Option<FoundRow> = sqlx::query_as(concat!(
        "select ",
        vehicle_columns!(),
        ", (select version from catalogue) as version from vehicles where id = $1"
    ))
    .bind(id.as_str())
    .fetch_optional(conn)
    .await?;
    row.map(|FoundRow { car, version }| {
        let (vehicle, history) = car.into_model_with_prices()?;
        Ok((vehicle, history, version))
    })
    .transpose()
}

/// Finds the lot with the next auction after `auctions_after` that a partner has not ordered, and its price.
pub(crate) async fn find_untouched_lot(
    conn: &mut Connection,
    partner: PartnerId,
    auctions_after: DateTime<Utc>,
) -> Result<Option<(VehicleId, Usd)>, sqlx::Error> {
    let row = sqlx::query!(
        r#"
        select id, listing_usd from vehicles
        where withdrawn_at is null and auction_result = 'upcoming' and auction_order > $2
          and not exists (select from orders where orders.vehicle_id = vehicles.id and orders.partner_id = $1)
        order by auction_order, id
        limit 1
        "#,
        partner.uuid(),
        auctions_after,
    )
    .fetch_optional(conn)
    .await?;
    row.map(|row| Ok((vehicle_id(&row.id)?, usd(row.listing_usd)?)))
        .transpose()
}
