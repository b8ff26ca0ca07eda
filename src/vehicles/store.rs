//! The catalogue in the database.

use chrono::{DateTime, Utc};
use sqlx::{PgConnection, Postgres, QueryBuilder, types::Json};

use super::{
    filter::{Filter, Sort},
    model::{Inspection, Listing, PricePoint, Vehicle},
    row::{COLUMNS, VehicleRow, new_value, push_listing, set_column},
};
use crate::{
    db::{
        Tx,
        column::{usd, vehicle_id},
    },
    id::{PartnerId, VehicleId},
    money::Usd,
    stamp::Stamp,
};

/// Rows of one insert: far below the 65,535 values that a statement can bind.
pub(crate) const BATCH_ROWS: usize = 1_000;

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
    let row = sqlx::query_as!(
        VehicleRow,
        r#"
        select id, source, make, model, trim, year, mileage_km, fuel, transmission, drivetrain, engine_cc, color,
               accident_grade, exterior_grade, options, lot_number, auction_date, auction_count, auction_result,
               auction_result_at, listing_usd, thumbnail_url, vin, license_plate, first_registered_on, location,
               photos, inspection as "inspection: Json<Inspection>", description, listed_at, updated_at, withdrawn_at,
               array(select recorded_at from vehicle_prices where vehicle_id = vehicles.id
                     order by recorded_at) as "price_times!",
               array(select listing_usd from vehicle_prices where vehicle_id = vehicles.id
                     order by recorded_at) as "prices!"
        from vehicles
        where id = $1
        "#,
        id.as_str(),
    )
    .fetch_optional(conn)
    .await?;
    row.map(|mut row| {
        let times = std::mem::take(&mut row.price_times);
        let prices = std::mem::take(&mut row.prices);
        let vehicle = row.into_model(VehicleRow::details)?;
        let history = times.into_iter().zip(prices).map(|(at, price)| {
            let listing_usd = usd(price)?;
            Ok(PricePoint {
                listing_usd,
                recorded_at: Stamp::kst(at),
            })
        });
        Ok((vehicle, history.collect::<Result<_, sqlx::Error>>()?))
    })
    .transpose()
}

/// Locks a car against every other change and order; what is read of it afterwards is fresh. `false` if there is none.
pub(crate) async fn lock(tx: &mut Tx, id: &VehicleId) -> Result<bool, sqlx::Error> {
    let locked = sqlx::query_scalar!(
        "select id from vehicles where id = $1 for no key update",
        id.as_str()
    )
    .fetch_optional(&mut **tx)
    .await?;
    Ok(locked.is_some())
}

/// Adds the cars that are not there yet, each with its first price.
pub(crate) async fn insert_new(
    tx: &mut Tx,
    listings: &[Listing],
    now: DateTime<Utc>,
) -> Result<u64, sqlx::Error> {
    let mut inserted = 0;
    for batch in listings.chunks(BATCH_ROWS) {
        let columns = COLUMNS.join(", ");
        let mut query = QueryBuilder::<Postgres>::new(format!(
            "with inserted as (insert into vehicles ({columns}, updated_at) "
        ));
        query.push_values(batch, |mut row, listing| {
            push_listing(&mut row, listing, now);
        });
        query.push(
            r#"
                on conflict (id) do nothing
                returning id, listing_usd, listed_at
            )
            insert into vehicle_prices (vehicle_id, recorded_at, listing_usd)
            select id, listed_at, listing_usd from inserted"#,
        );
        inserted += query.build().execute(&mut **tx).await?.rows_affected();
    }
    Ok(inserted)
}

/// What became of the cars of a batch; the others are as they were.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Upserted {
    /// Cars that were not there.
    pub inserted: u64,
    /// Cars that changed, or were listed again.
    pub updated: u64,
}

/// Adds cars and changes those that are there, up to [`BATCH_ROWS`] of different ids.
///
/// They must be sorted by id, so that two who do this at once lock in one order. A car of which nothing changed keeps
/// its `updated_at`, a result the time at which it became known.
pub(crate) async fn upsert(
    tx: &mut Tx,
    listings: impl Iterator<Item = &Listing>,
    now: DateTime<Utc>,
) -> Result<Upserted, sqlx::Error> {
    let each = |form: fn(&str) -> String| COLUMNS.map(form).join(", ");
    let mut query = QueryBuilder::<Postgres>::new(format!(
        "insert into vehicles ({}, updated_at) ",
        COLUMNS.join(", ")
    ));
    query.push_values(listings, |mut row, listing| {
        push_listing(&mut row, listing, now);
    });
    query.push(format_args!(
        r#"
        on conflict (id) do update
        set {set}, updated_at = excluded.updated_at, withdrawn_at = null
        where ({old}) is distinct from ({new}) or vehicles.withdrawn_at is not null
        returning id, xmax = 0"#,
        set = each(set_column),
        old = each(|column| format!("vehicles.{column}")),
        new = each(new_value),
    ));
    // A row that no transaction has locked or replaced yet is new.
    let changed: Vec<(String, bool)> = query.build_query_as().fetch_all(&mut **tx).await?;
    let (ids, is_new): (Vec<String>, Vec<bool>) = changed.into_iter().unzip();
    record_prices(tx, &ids, now).await?;
    let inserted = is_new.iter().filter(|it| **it).count();
    let count = |number: usize| u64::try_from(number).unwrap_or_default();
    Ok(Upserted {
        inserted: count(inserted),
        updated: count(is_new.len() - inserted),
    })
}

/// Records the prices of cars where they moved; a new car has its first one since it was listed.
async fn record_prices(tx: &mut Tx, ids: &[String], now: DateTime<Utc>) -> Result<(), sqlx::Error> {
    sqlx::query!(
        r#"
        insert into vehicle_prices (vehicle_id, recorded_at, listing_usd)
        select vehicles.id,
               case when last.recorded_at is null then least(vehicles.listed_at, $2)
                    else greatest($2, last.recorded_at + interval '1 millisecond') end,
               vehicles.listing_usd
        from vehicles
        left join lateral (
            select recorded_at, listing_usd from vehicle_prices
            where vehicle_id = vehicles.id
            order by recorded_at desc
            limit 1
        ) last on true
        where vehicles.id = any($1) and last.listing_usd is distinct from vehicles.listing_usd
        "#,
        ids,
        now,
    )
    .execute(&mut **tx)
    .await
    .map(drop)
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
