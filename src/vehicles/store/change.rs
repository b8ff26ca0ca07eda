//! Changes of existing vehicles, under their locks, and the JSON that is rendered after a change.

use std::collections::HashMap;

use chrono::{DateTime, Utc};
use serde::Serialize;
use sqlx::types::Json;

use super::{VehicleRow, vehicle_columns};
use crate::{
    database::{
        Tx,
        column::{optional_word, usd, vehicle_id},
    },
    values::{id::VehicleId, money::Usd, string_enum::StringEnum},
    vehicles::model::{LockedVehicle, PricePoint, Vehicle, WithdrawnBy},
};

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

/// Locks vehicles against all other changes and orders, in the order of their ids, and reads them.
pub(crate) async fn lock(
    tx: &mut Tx,
    vehicles: &[VehicleId],
) -> Result<Vec<LockedVehicle>, sqlx::Error> {
    let rows = sqlx::query!(
        r#"
        select id, listing_usd, auction_date, auction_result, updated_at, withdrawn_at from vehicles
        where id = any($1::text[])
        order by id
        for no key update
        "#,
        &texts(vehicles) as &[&str],
    )
    .fetch_all(&mut **tx)
    .await?;
    let locked = rows.into_iter().map(|row| {
        Ok(LockedVehicle {
            id: vehicle_id(&row.id)?,
            listing_usd: usd(row.listing_usd)?,
            auction_date: row.auction_date,
            result: optional_word(row.auction_result.as_deref())?,
            updated_at: row.updated_at,
            withdrawn_at: row.withdrawn_at,
        })
    });
    locked.collect()
}

/// Sets the auction results of locked vehicles to `sold`.
pub(crate) async fn set_sold(
    tx: &mut Tx,
    vehicles: &[VehicleId],
    now: DateTime<Utc>,
) -> Result<(), sqlx::Error> {
    sqlx::query!(
        r#"
        update vehicles
        set auction_result = 'sold', auction_result_at = coalesce(auction_result_at, $2), updated_at = $2
        where id = any($1::text[]) and auction_result <> 'sold'
        "#,
        &texts(vehicles) as &[&str],
        now,
    )
    .execute(&mut **tx)
    .await
    .map(drop)
}

/// Withdraws locked vehicles; a withdrawal by LMN replaces one by the source.
pub(crate) async fn set_withdrawn(
    tx: &mut Tx,
    vehicles: &[VehicleId],
    by: WithdrawnBy,
    now: DateTime<Utc>,
) -> Result<(), sqlx::Error> {
    sqlx::query!(
        r#"
        update vehicles set withdrawn_at = coalesce(withdrawn_at, $2), withdrawn_by = $3, updated_at = $2
        where id = any($1::text[]) and (withdrawn_at is null or withdrawn_by = 'source' and $3 = 'operator')
        "#,
        &texts(vehicles) as &[&str],
        now,
        by.as_str(),
    )
    .execute(&mut **tx)
    .await
    .map(drop)
}

/// Lists a locked vehicle that was withdrawn again.
pub(crate) async fn set_restored(
    tx: &mut Tx,
    vehicle: &VehicleId,
    now: DateTime<Utc>,
) -> Result<(), sqlx::Error> {
    sqlx::query!(
        "update vehicles set withdrawn_at = null, withdrawn_by = null, updated_at = $2 where id = $1",
        vehicle.as_str(),
        now,
    )
    .execute(&mut **tx)
    .await
    .map(drop)
}

/// Sets the auction dates of locked vehicles.
pub(crate) async fn set_auction_dates(
    tx: &mut Tx,
    dates: &HashMap<VehicleId, DateTime<Utc>>,
    now: DateTime<Utc>,
) -> Result<(), sqlx::Error> {
    let (vehicles, dates): (Vec<&str>, Vec<DateTime<Utc>>) =
        dates.iter().map(|(id, date)| (id.as_str(), *date)).unzip();
    sqlx::query!(
        r#"
        update vehicles set auction_date = it.date, updated_at = $3
        from unnest($1::text[], $2::timestamptz[]) as it(id, date)
        where vehicles.id = it.id and auction_date <> it.date
        "#,
        &vehicles as &[&str],
        &dates,
        now,
    )
    .execute(&mut **tx)
    .await
    .map(drop)
}

/// Sets the prices of locked vehicles, and records the former prices.
pub(crate) async fn set_prices(
    tx: &mut Tx,
    prices: &HashMap<VehicleId, Usd>,
    now: DateTime<Utc>,
) -> Result<(), sqlx::Error> {
    let (vehicles, prices): (Vec<&str>, Vec<i32>) = prices
        .iter()
        .map(|(id, price)| (id.as_str(), price.dollars()))
        .unzip();
    sqlx::query!(
        r#"
        with former as (
            insert into vehicle_prices (vehicle_id, recorded_at, listing_usd)
            select vehicles.id, vehicles.priced_at, vehicles.listing_usd
            from vehicles
            join unnest($1::text[], $2::integer[]) as it(id, listing_usd) using (id)
            where vehicles.listing_usd <> it.listing_usd
        )
        update vehicles
        set listing_usd = it.listing_usd, priced_at = greatest($3, priced_at + interval '1 millisecond'), updated_at = $3
        from unnest($1::text[], $2::integer[]) as it(id, listing_usd)
        where vehicles.id = it.id and vehicles.listing_usd <> it.listing_usd
        "#,
        &vehicles as &[&str],
        &prices,
        now,
    )
    .execute(&mut **tx)
    .await
    .map(drop)
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

fn texts(vehicles: &[VehicleId]) -> Vec<&str> {
    vehicles.iter().map(VehicleId::as_str).collect()
}
