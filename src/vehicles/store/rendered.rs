//! What is made of a car for lists, and cars without it.

use serde::Serialize;
use sqlx::types::Json;

use super::super::{
    model::Vehicle,
    row::{VehicleRow, summary_columns},
};
use crate::database::{Connection, Tx};

/// What is made of a car when it is rendered.
#[derive(Debug, Serialize)]
pub(crate) struct Rendered<'a> {
    /// Which car.
    pub id: &'a str,
    /// Its brand as it is compared.
    pub make_key: String,
    /// Its model as it is compared.
    pub model_key: String,
    /// What it is found by.
    pub terms: Vec<String>,
    /// It as a list shows it.
    pub summary: String,
}

/// Locks up to `limit` cars that are not rendered, but for those that are locked already, and reads them.
pub(crate) async fn hold_unrendered(
    tx: &mut Tx,
    limit: i64,
) -> Result<Vec<Vehicle<()>>, sqlx::Error> {
    let rows: Vec<VehicleRow> = sqlx::query_as(concat!(
        "select ",
        summary_columns!(),
        " from vehicles where summary is null order by id limit $1 for no key update skip locked"
    ))
    .bind(limit)
    .fetch_all(&mut **tx)
    .await?;
    rows.into_iter().map(|row| row.into_model(|_| ())).collect()
}

/// Reads cars that are listed, without their details; those that have gone meanwhile are left out.
pub(crate) async fn find_listed(
    conn: &mut Connection,
    ids: &[&str],
) -> Result<Vec<Vehicle<()>>, sqlx::Error> {
    let rows: Vec<VehicleRow> = sqlx::query_as(concat!(
        "select ",
        summary_columns!(),
        " from vehicles where id = any($1) and withdrawn_at is null"
    ))
    .bind(ids)
    .fetch_all(conn)
    .await?;
    rows.into_iter().map(|row| row.into_model(|_| ())).collect()
}

/// Writes what was made of locked cars.
pub(crate) async fn set_rendered(
    tx: &mut Tx,
    rendered: &[Rendered<'_>],
) -> Result<(), sqlx::Error> {
    sqlx::query!(
        r#"
        update vehicles
        set make_key = it.make_key, model_key = it.model_key, terms = array_to_tsvector(it.terms), summary = it.summary
        from jsonb_to_recordset($1) as it(id text, make_key text, model_key text, terms text[], summary text)
        where vehicles.id = it.id
        "#,
        Json(rendered) as _,
    )
    .execute(&mut **tx)
    .await
    .map(drop)
}
