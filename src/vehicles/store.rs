//! The catalogue in the database.

use std::collections::HashMap;

use chrono::{DateTime, Utc};
use sqlx::{PgConnection, Postgres, QueryBuilder, types::Json};

use super::{
    filter::{Filter, Sort},
    model::{HeldCar, Listing, PricePoint, Vehicle},
    row::{VehicleRow, vehicle_columns},
};
use crate::{
    db::{
        Tx,
        column::{optional_word, usd, vehicle_id},
    },
    id::{PartnerId, VehicleId},
    money::Usd,
    word::Word,
};

/// Rows of one insert: far below the 65,535 values that a statement can bind.
const INSERT_ROWS: usize = 1_000;

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

/// Adds the cars that are not there yet, each with its first price.
pub(crate) async fn insert_new(
    tx: &mut Tx,
    listings: &[Listing],
    now: DateTime<Utc>,
) -> Result<u64, sqlx::Error> {
    let mut inserted = 0;
    for batch in listings.chunks(INSERT_ROWS) {
        let mut query = QueryBuilder::<Postgres>::new(
            r#"
            with inserted as (
                insert into vehicles (
                    id, source, make, model, trim, year, mileage_km, fuel, transmission, drivetrain, engine_cc, color,
                    accident_grade, exterior_grade, options, lot_number, auction_date, auction_count, auction_result,
                    auction_result_at, listing_usd, thumbnail_url, vin, license_plate, first_registered_on, location,
                    photos, inspection, description, listed_at, updated_at
                ) "#,
        );
        query.push_values(batch, |mut row, listing| {
            let auction = listing.auction.as_ref();
            row.push_bind(listing.id.as_str())
                .push_bind(listing.source.as_str())
                .push_bind(&listing.make)
                .push_bind(&listing.model)
                .push_bind(&listing.trim)
                .push_bind(listing.year)
                .push_bind(listing.mileage_km)
                .push_bind(listing.fuel.map(Word::as_str))
                .push_bind(listing.transmission.map(Word::as_str))
                .push_bind(&listing.drivetrain)
                .push_bind(listing.engine_cc)
                .push_bind(&listing.color)
                .push_bind(auction.and_then(|it| it.accident_grade).map(Word::as_str))
                .push_bind(auction.and_then(|it| it.exterior_grade).map(Word::as_str))
                .push_bind(&listing.options)
                .push_bind(auction.and_then(|it| it.lot_number.as_deref()))
                .push_bind(auction.map(|it| it.date))
                .push_bind(auction.and_then(|it| it.count))
                .push_bind(auction.map(|it| it.result.as_str()))
                .push_bind(auction.and_then(|it| it.result_at))
                .push_bind(listing.listing_usd.dollars())
                .push_bind(&listing.thumbnail_url)
                .push_bind(&listing.details.vin)
                .push_bind(&listing.details.license_plate)
                .push_bind(listing.details.first_registered_on)
                .push_bind(&listing.details.location)
                .push_bind(&listing.details.photos)
                .push_bind(listing.details.inspection.as_ref().map(Json))
                .push_bind(&listing.details.description)
                .push_bind(listing.listed_at)
                .push_bind(now);
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

/// Locks cars against every other change and order, in the order of their ids, and reads them.
pub(crate) async fn hold(tx: &mut Tx, cars: &[VehicleId]) -> Result<Vec<HeldCar>, sqlx::Error> {
    let rows = sqlx::query!(
        r#"
        select id, listing_usd, auction_result, withdrawn_at from vehicles
        where id = any($1::text[])
        order by id
        for no key update
        "#,
        &texts(cars) as &[&str],
    )
    .fetch_all(&mut **tx)
    .await?;
    let held = rows.into_iter().map(|row| {
        Ok(HeldCar {
            id: vehicle_id(&row.id)?,
            listing_usd: usd(row.listing_usd)?,
            result: optional_word(row.auction_result.as_deref())?,
            withdrawn_at: row.withdrawn_at,
        })
    });
    held.collect()
}

/// Marks the auctions of held cars as over, with a buyer.
pub(crate) async fn set_sold(
    tx: &mut Tx,
    cars: &[VehicleId],
    now: DateTime<Utc>,
) -> Result<(), sqlx::Error> {
    sqlx::query!(
        r#"
        update vehicles
        set auction_result = 'sold', auction_result_at = coalesce(auction_result_at, $2), updated_at = $2
        where id = any($1::text[]) and auction_result <> 'sold'
        "#,
        &texts(cars) as &[&str],
        now,
    )
    .execute(&mut **tx)
    .await
    .map(drop)
}

/// Takes held cars off the catalogue.
pub(crate) async fn set_withdrawn(
    tx: &mut Tx,
    cars: &[VehicleId],
    now: DateTime<Utc>,
) -> Result<(), sqlx::Error> {
    sqlx::query!(
        r#"
        update vehicles set withdrawn_at = $2, updated_at = $2
        where id = any($1::text[]) and withdrawn_at is null
        "#,
        &texts(cars) as &[&str],
        now,
    )
    .execute(&mut **tx)
    .await
    .map(drop)
}

/// Moves the auctions of held cars.
pub(crate) async fn set_auction_dates(
    tx: &mut Tx,
    dates: &HashMap<VehicleId, DateTime<Utc>>,
    now: DateTime<Utc>,
) -> Result<(), sqlx::Error> {
    let (cars, dates): (Vec<&str>, Vec<DateTime<Utc>>) =
        dates.iter().map(|(id, date)| (id.as_str(), *date)).unzip();
    sqlx::query!(
        r#"
        update vehicles set auction_date = it.date, updated_at = $3
        from unnest($1::text[], $2::timestamptz[]) as it(id, date)
        where vehicles.id = it.id and auction_date <> it.date
        "#,
        &cars as &[&str],
        &dates,
        now,
    )
    .execute(&mut **tx)
    .await
    .map(drop)
}

/// Lists held cars at other prices, and keeps the old ones.
pub(crate) async fn set_prices(
    tx: &mut Tx,
    prices: &HashMap<VehicleId, Usd>,
    now: DateTime<Utc>,
) -> Result<(), sqlx::Error> {
    let (cars, prices): (Vec<&str>, Vec<i32>) = prices
        .iter()
        .map(|(id, price)| (id.as_str(), price.dollars()))
        .unzip();
    sqlx::query!(
        r#"
        with changed as (
            update vehicles set listing_usd = it.listing_usd, updated_at = $3
            from unnest($1::text[], $2::integer[]) as it(id, listing_usd)
            where vehicles.id = it.id and vehicles.listing_usd <> it.listing_usd
            returning vehicles.id, vehicles.listing_usd
        )
        insert into vehicle_prices (vehicle_id, recorded_at, listing_usd)
        select id, $3, listing_usd from changed
        on conflict (vehicle_id, recorded_at) do update set listing_usd = excluded.listing_usd
        "#,
        &cars as &[&str],
        &prices,
        now,
    )
    .execute(&mut **tx)
    .await
    .map(drop)
}

fn texts(cars: &[VehicleId]) -> Vec<&str> {
    cars.iter().map(VehicleId::as_str).collect()
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
