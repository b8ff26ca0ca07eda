//! The JSON of vehicles: read by id, and written when vehicles are rendered.

use std::collections::HashMap;

use bytes::Bytes;
use serde::Serialize;
use sqlx::{FromRow, Row, types::Json};

use super::super::{
    model::{PricePoint, Vehicle},
    row::{VehicleRow, summary_columns, vehicle_columns},
};
use crate::database::{BatchRead, Connection, Tx, column::row_version};

/// The JSON of a vehicle, to be written.
#[derive(Debug, Serialize)]
pub(crate) struct Rendered<'a> {
    /// Its id.
    pub id: &'a str,
    /// The JSON for lists.
    pub summary: String,
    /// The JSON for the single vehicle.
    pub detail: String,
}

/// A vehicle of a list.
#[derive(Debug, Clone)]
pub(crate) struct Summary {
    /// The version of its row.
    pub row_version: u32,
    /// It as JSON; `None` if it is not rendered.
    pub json: Option<Bytes>,
}

/// Reads the JSON of the listed vehicles of pages, in the order of their ids; a vehicle that is not listed is `None`.
#[derive(Debug)]
pub(crate) struct ReadSummaries;

impl BatchRead for ReadSummaries {
    type Key = Vec<String>;
    type Value = Vec<Option<Summary>>;

    fn rows(ids: &Self::Key) -> usize {
        ids.len()
    }

    async fn read(
        connection: &mut Connection,
        keys: &[Self::Key],
    ) -> Result<Vec<Self::Value>, sqlx::Error> {
        let ids: Vec<&str> = keys.iter().flatten().map(String::as_str).collect();
        // The macros of sqlx do not support the type of `xmin`.
        let statement =
            "select id, xmin, summary from vehicles where id = any($1) and withdrawn_at is null";
        let rows = sqlx::query(statement)
            .bind(&ids)
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
        let page = |ids: &Vec<String>| {
            let summaries = ids.iter().map(|id| found.get(id.as_str()).cloned());
            summaries.collect()
        };
        Ok(keys.iter().map(page).collect())
    }
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

/// Locks and reads up to `limit` vehicles that are not rendered, except those that are already locked.
pub(crate) async fn lock_unrendered(
    tx: &mut Tx,
    limit: i64,
) -> Result<Vec<(Vehicle, Vec<PricePoint>)>, sqlx::Error> {
    let rows: Vec<VehicleRow> = sqlx::query_as(concat!(
        "select ",
        vehicle_columns!(),
        " from vehicles where detail is null order by id limit $1 for no key update skip locked"
    ))
    .bind(limit)
    .fetch_all(&mut **tx)
    .await?;
    rows.into_iter()
        .map(VehicleRow::into_model_with_prices)
        .collect()
}

/// Reads the vehicles that are not rendered, out of a set of locked vehicles.
pub(crate) async fn find_unrendered(
    tx: &mut Tx,
    ids: &[&str],
) -> Result<Vec<(Vehicle, Vec<PricePoint>)>, sqlx::Error> {
    let rows: Vec<VehicleRow> = sqlx::query_as(concat!(
        "select ",
        vehicle_columns!(),
        " from vehicles where id = any($1) and detail is null"
    ))
    .bind(ids)
    .fetch_all(&mut **tx)
    .await?;
    rows.into_iter()
        .map(VehicleRow::into_model_with_prices)
        .collect()
}

/// Writes the JSON of locked vehicles.
pub(crate) async fn set_rendered(
    tx: &mut Tx,
    rendered: &[Rendered<'_>],
) -> Result<(), sqlx::Error> {
    if rendered.is_empty() {
        return Ok(());
    }
    sqlx::query!(
        r#"
        update vehicles set summary = it.summary, detail = it.detail
        from jsonb_to_recordset($1) as it(id text, summary text, detail text)
        where vehicles.id = it.id
        "#,
        Json(rendered) as _,
    )
    .execute(&mut **tx)
    .await
    .map(drop)
}
