//! Listings as they are written: new cars, and cars that are given anew.

use chrono::{DateTime, Utc};
use sqlx::{Postgres, QueryBuilder, query_builder::Separated, types::Json};

use super::super::{model::Listing, terms, view};
use crate::{db::Tx, word::Word};

/// Rows of one insert: far below the 65,535 values that a statement can bind.
pub(crate) const BATCH_ROWS: usize = 1_000;

/// The columns that a listing fills.
const COLUMNS: [&str; 30] = [
    "id",
    "source",
    "make",
    "model",
    "trim",
    "year",
    "mileage_km",
    "fuel",
    "transmission",
    "drivetrain",
    "engine_cc",
    "color",
    "accident_grade",
    "exterior_grade",
    "options",
    "lot_number",
    "auction_date",
    "auction_count",
    "auction_result",
    "auction_result_at",
    "listing_usd",
    "thumbnail_url",
    "vin",
    "license_plate",
    "first_registered_on",
    "location",
    "photos",
    "inspection",
    "description",
    "listed_at",
];

/// The columns that follow from a listing.
const DERIVED: [&str; 6] = [
    "updated_at",
    "priced_at",
    "make_key",
    "model_key",
    "summary",
    "terms",
];

/// The column in which a result becomes known; a file does not say when.
const RESULT_AT: &str = "auction_result_at";

/// Writes a listing into the values of one row, in the order of [`COLUMNS`] and [`DERIVED`].
fn push_listing(
    row: &mut Separated<'_, Postgres, &'static str>,
    listing: &Listing,
    now: DateTime<Utc>,
) {
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
        .push_bind(now)
        .push_bind(listing.listed_at.min(now))
        .push_bind(terms::fold(&listing.make))
        .push_bind(terms::fold(&listing.model))
        .push_bind(view::summary_json(listing, now).ok())
        .push("array_to_tsvector(")
        .push_bind_unseparated(terms::of(listing))
        .push_unseparated(")");
}

/// Says what an existing row's column becomes when the row is given anew.
fn new_value(column: &str) -> String {
    match column {
        RESULT_AT => "case when vehicles.auction_result = excluded.auction_result \
             then vehicles.auction_result_at else excluded.auction_result_at end"
            .to_owned(),
        _ => format!("excluded.{column}"),
    }
}

/// Adds the cars that are not there yet.
pub(crate) async fn insert_new(
    tx: &mut Tx,
    listings: &[Listing],
    now: DateTime<Utc>,
) -> Result<u64, sqlx::Error> {
    let mut inserted = 0;
    for batch in listings.chunks(BATCH_ROWS) {
        let mut query = insert();
        query.push_values(batch, |mut row, listing| {
            push_listing(&mut row, listing, now);
        });
        query.push(" on conflict (id) do nothing");
        inserted += query.build().execute(&mut **tx).await?.rows_affected();
    }
    Ok(inserted)
}

fn insert() -> QueryBuilder<Postgres> {
    let columns = COLUMNS.iter().chain(&DERIVED).copied().collect::<Vec<_>>();
    QueryBuilder::new(format!("insert into vehicles ({}) ", columns.join(", ")))
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
    listings: &[&Listing],
    now: DateTime<Utc>,
) -> Result<Upserted, sqlx::Error> {
    keep_former_prices(tx, listings).await?;
    let each = |form: fn(&str) -> String| COLUMNS.map(form).join(", ");
    let mut query = insert();
    query.push_values(listings, |mut row, listing| {
        push_listing(&mut row, listing, now);
    });
    query.push(format_args!(
        r#"
        on conflict (id) do update
        set {set}, withdrawn_at = null, withdrawn_by = null,
            priced_at = case when vehicles.listing_usd = excluded.listing_usd then vehicles.priced_at
                             else greatest(excluded.updated_at, vehicles.priced_at + interval '1 millisecond') end
        where ({old}) is distinct from ({new}) or vehicles.withdrawn_at is not null
        returning xmax = 0"#,
        // Not the id: setting it would lock out whoever refers to the car.
        set = COLUMNS
            .iter()
            .chain(&DERIVED)
            .filter(|column| !["id", "priced_at"].contains(column))
            .map(|column| format!("{column} = {}", new_value(column)))
            .collect::<Vec<_>>()
            .join(", "),
        old = each(|column| format!("vehicles.{column}")),
        new = each(new_value),
    ));
    // A row that no transaction has locked or replaced yet is new.
    let is_new: Vec<bool> = query.build_query_scalar().fetch_all(&mut **tx).await?;
    let inserted = is_new.iter().filter(|it| **it).count();
    let count = |number: usize| u64::try_from(number).unwrap_or_default();
    Ok(Upserted {
        inserted: count(inserted),
        updated: count(is_new.len() - inserted),
    })
}

/// Keeps the prices that listings are about to replace.
async fn keep_former_prices(tx: &mut Tx, listings: &[&Listing]) -> Result<(), sqlx::Error> {
    let (ids, prices): (Vec<&str>, Vec<i32>) = listings
        .iter()
        .map(|it| (it.id.as_str(), it.listing_usd.dollars()))
        .unzip();
    sqlx::query!(
        r#"
        insert into vehicle_prices (vehicle_id, recorded_at, listing_usd)
        select vehicles.id, priced_at, vehicles.listing_usd
        from vehicles
        join unnest($1::text[], $2::integer[]) as it(id, listing_usd) using (id)
        where vehicles.listing_usd <> it.listing_usd
        "#,
        &ids as &[&str],
        &prices,
    )
    .execute(&mut **tx)
    .await
    .map(drop)
}
