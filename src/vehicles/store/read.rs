//! Reads of vehicles by id: their JSON, or their columns to render it.

use std::collections::HashMap;

use bytes::Bytes;
use chrono::{DateTime, Utc};
use sqlx::{FromRow, Row};

use super::{VehicleRow, listing_columns, summary_columns, vehicle_columns};
use crate::{
    database::{
        BatchRead, Connection,
        column::{Tid, row_version, usd, vehicle_id},
        in_order,
    },
    values::{
        id::{PartnerId, VehicleId},
        money::Usd,
    },
    vehicles::model::{PricePoint, Vehicle},
};

/// The JSON of a single vehicle.
#[derive(Debug)]
pub(crate) struct Detail {
    /// The version of its row.
    pub row_version: u32,
    /// The JSON; `None` if the vehicle is not rendered.
    pub json: Option<String>,
}

/// Reads the JSON of listed vehicles.
#[derive(Debug)]
pub(crate) struct ReadDetails;

impl BatchRead for ReadDetails {
    type Key = VehicleId;
    type Value = Option<Detail>;

    async fn read(
        connection: &mut Connection,
        keys: &[Self::Key],
    ) -> Result<Vec<Self::Value>, sqlx::Error> {
        let ids: Vec<&str> = keys.iter().map(VehicleId::as_str).collect();
        // The macros of sqlx do not support the type of `xmin`.
        let statement = "select n, found.xmin, detail
             from unnest($1) with ordinality as asked(id, n)
             cross join lateral (
                 select xmin, detail from vehicles where vehicles.id = asked.id and withdrawn_at is null limit 1
             ) as found";
        let rows = sqlx::query(statement)
            .bind(&ids)
            .fetch_all(connection)
            .await?;
        let details = rows.iter().map(|row| {
            let detail = Detail {
                row_version: row_version(row, 1)?,
                json: row.try_get(2)?,
            };
            Ok((row.try_get(0)?, detail))
        });
        in_order(details, keys.len())
    }
}

/// A vehicle of a list.
#[derive(Debug, Clone)]
pub(crate) struct Summary {
    /// The version of its row.
    pub row_version: u32,
    /// It as JSON; `None` if it is not rendered.
    pub json: Option<Bytes>,
}

/// Reads the JSON of the vehicles of pages from the places of their rows, in this order; `None` if a place has another
/// row or the vehicle is not listed.
///
/// A place costs PostgreSQL two thirds of what a look-up in the index of ids costs.
#[derive(Debug)]
pub(crate) struct ReadSummaries;

impl BatchRead for ReadSummaries {
    type Key = Vec<(String, Tid)>;
    type Value = Vec<Option<Summary>>;

    fn rows(vehicles: &Self::Key) -> usize {
        vehicles.len()
    }

    async fn read(
        connection: &mut Connection,
        keys: &[Self::Key],
    ) -> Result<Vec<Self::Value>, sqlx::Error> {
        let tids = keys.iter().flatten().map(|(_, tid)| tid.to_string());
        let tids: Vec<_> = tids.collect();
        // The macros of sqlx do not support the types of `xmin` and `ctid`.
        let statement = "select id, xmin, summary from vehicles
             where ctid = any($1::text[]::tid[]) and withdrawn_at is null";
        let rows = sqlx::query(statement)
            .bind(&tids)
            .fetch_all(connection)
            .await?;
        let mut found = HashMap::with_capacity(rows.len());
        for row in &rows {
            let json: Option<&str> = row.try_get(2)?;
            let summary = Summary {
                row_version: row_version(row, 1)?,
                json: json.map(|it| Bytes::copy_from_slice(it.as_bytes())),
            };
            found.insert(row.try_get::<&str, _>(0)?, summary);
        }
        let page = |vehicles: &Self::Key| {
            let summaries = vehicles
                .iter()
                .map(|(id, _)| found.get(id.as_str()).cloned());
            summaries.collect()
        };
        Ok(keys.iter().map(page).collect())
    }
}

/// Finds a vehicle and its prices, whether it is listed or withdrawn.
pub(crate) async fn find_any(
    conn: &mut Connection,
    id: &VehicleId,
) -> Result<Option<(Vehicle, Vec<PricePoint>)>, sqlx::Error> {
    let row: Option<VehicleRow> = sqlx::query_as(concat!(
        "select ",
        vehicle_columns!(),
        " from vehicles where id = $1"
    ))
    .bind(id.as_str())
    .fetch_optional(conn)
    .await?;
    row.map(VehicleRow::into_model_with_prices).transpose()
}

/// Finds vehicles with their details but without their prices, whether they are listed or withdrawn.
pub(crate) async fn find_with_details(
    conn: &mut Connection,
    ids: &[&str],
) -> Result<Vec<Vehicle>, sqlx::Error> {
    let rows: Vec<VehicleRow> = sqlx::query_as(concat!(
        "select ",
        listing_columns!(),
        " from vehicles where id = any($1)"
    ))
    .bind(ids)
    .fetch_all(conn)
    .await?;
    let vehicles = rows
        .into_iter()
        .map(|row| row.into_model(VehicleRow::details));
    vehicles.collect()
}

/// Finds a listed vehicle and its prices, with the version of its row.
pub(crate) async fn find_whole(
    conn: &mut Connection,
    id: &VehicleId,
) -> Result<Option<(Vehicle, Vec<PricePoint>, u32)>, sqlx::Error> {
    let row = sqlx::query(concat!(
        "select vehicles.xmin, ",
        vehicle_columns!(),
        " from vehicles where id = $1 and withdrawn_at is null"
    ))
    .bind(id.as_str())
    .fetch_optional(conn)
    .await?;
    row.map(|row| {
        let (vehicle, prices) = VehicleRow::from_row(&row)?.into_model_with_prices()?;
        Ok((vehicle, prices, row_version(&row, 0)?))
    })
    .transpose()
}

/// Reads listed vehicles without their details, each with the version of its row.
pub(crate) async fn find_listed(
    conn: &mut Connection,
    ids: &[&str],
) -> Result<Vec<(Vehicle<()>, u32)>, sqlx::Error> {
    let rows = sqlx::query(concat!(
        "select vehicles.xmin, ",
        summary_columns!(),
        " from vehicles where id = any($1) and withdrawn_at is null"
    ))
    .bind(ids)
    .fetch_all(conn)
    .await?;
    let listed = rows.iter().map(|row| {
        let vehicle = VehicleRow::from_row(row)?.into_model(|_| ())?;
        Ok((vehicle, row_version(row, 0)?))
    });
    listed.collect()
}

/// Finds the JSON of a vehicle as a partner ordered it last.
pub(crate) async fn find_latest_snapshot(
    conn: &mut Connection,
    partner: PartnerId,
    vehicle: &VehicleId,
) -> Result<Option<String>, sqlx::Error> {
    sqlx::query_scalar!(
        r#"
        select order_vehicles.vehicle as "vehicle!" from orders
        join order_vehicles on order_vehicles.order_id = orders.id
        where orders.partner_id = $1 and orders.vehicle_id = $2
        order by orders.accepted_no desc
        limit 1
        "#,
        partner.uuid(),
        vehicle.as_str(),
    )
    .fetch_optional(conn)
    .await
}

/// Finds the listed lot with the first auction after `auctions_after` that a partner has not ordered, and its price.
pub(crate) async fn find_untouched_lot(
    conn: &mut Connection,
    partner: PartnerId,
    auctions_after: DateTime<Utc>,
) -> Result<Option<(VehicleId, Usd)>, sqlx::Error> {
    let row = sqlx::query!(
        r#"
        select id, listing_usd from vehicles
        where withdrawn_at is null and auction_result = 'upcoming' and auction_date > $2
          and not exists (select from orders where orders.vehicle_id = vehicles.id and orders.partner_id = $1)
        order by auction_date, id
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
