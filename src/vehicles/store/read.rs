//! Cars as they are read.

use chrono::{DateTime, Utc};
use sqlx::{PgConnection, Postgres, QueryBuilder};

use super::super::{
    filter::{Filter, Sort},
    model::{PricePoint, Vehicle},
    row::{VehicleRow, vehicle_columns},
};
use crate::{
    db::column::{usd, vehicle_id},
    id::{PartnerId, VehicleId},
    money::Usd,
};

/// A place in a walk of the catalogue: the sort's value (nothing is last) and the id.
pub(crate) type Place = (Option<i64>, String);

/// Lists up to `limit` cars after a place.
pub(crate) async fn list(
    conn: &mut PgConnection,
    filter: &Filter,
    sort: Sort,
    after: Option<&Place>,
    limit: i64,
) -> Result<Vec<Vehicle<()>>, sqlx::Error> {
    // A summary shows none of the long columns, so they are not read.
    let mut query = QueryBuilder::new(
        r#"
        select id, source, make, model, trim, year, mileage_km, fuel, transmission, drivetrain, engine_cc, color,
               accident_grade, exterior_grade, options, lot_number, auction_date, auction_count, auction_result,
               auction_result_at, listing_usd, thumbnail_url, null as vin, null as license_plate,
               null::date as first_registered_on, null as location, '{}'::text[] as photos, null::jsonb as inspection,
               null as description, listed_at, updated_at, withdrawn_at
        from vehicles
        where withdrawn_at is null"#,
    );
    filter.push(&mut query);
    let column = sort.column();
    let (direction, comes_after) = sort.direction();
    if let Some((value, id)) = after {
        let (before, behind) = sort.value();
        query.push(format_args!(" and ({column}, id) {comes_after} ({before}"));
        query
            .push_bind(*value)
            .push(behind)
            .push(", ")
            .push_bind(id)
            .push(")");
    }
    query
        .push(format_args!(
            " order by {column} {direction}, id {direction} limit "
        ))
        .push_bind(limit);
    let rows: Vec<VehicleRow> = query.build_query_as().fetch_all(conn).await?;
    rows.into_iter().map(|row| row.into_model(|_| ())).collect()
}

/// Counts the cars that match, up to `limit`.
pub(crate) async fn count(
    conn: &mut PgConnection,
    filter: &Filter,
    limit: i64,
) -> Result<i64, sqlx::Error> {
    let mut query = QueryBuilder::<Postgres>::new(
        "select count(*) from (select from vehicles where withdrawn_at is null",
    );
    filter.push(&mut query);
    query.push(" limit ").push_bind(limit).push(") as matching");
    query.build_query_scalar().fetch_one(conn).await
}

/// Finds a car and its prices, also when it is withdrawn.
pub(crate) async fn find_any(
    conn: &mut PgConnection,
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

/// Finds the lot with the next auction after `auctions_after` that a partner has not ordered, and its price.
pub(crate) async fn find_untouched_lot(
    conn: &mut PgConnection,
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
