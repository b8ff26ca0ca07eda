//! Rows of a car: what they hold, what that means, and how a listing is written into one.

use chrono::{DateTime, NaiveDate, Utc};
use sqlx::{FromRow, Postgres, query_builder::Separated, types::Json};

use super::model::{Auction, Details, Inspection, Listing, Vehicle};
use crate::{
    db::column::{Meaningless, optional_word, usd, vehicle_id, word},
    word::Word,
};

/// The columns that a listing fills.
pub(super) const COLUMNS: [&str; 30] = [
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

/// The column in which a result becomes known; a file does not say when.
const RESULT_AT: &str = "auction_result_at";

/// Writes a listing into the values of one row, in the order of [`COLUMNS`], and after them when it changed.
pub(super) fn push_listing(
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
        .push_bind(now);
}

/// Says what an existing row's column becomes when the row is given anew.
pub(super) fn new_value(column: &str) -> String {
    match column {
        RESULT_AT => "case when vehicles.auction_result = excluded.auction_result \
             then vehicles.auction_result_at else excluded.auction_result_at end"
            .to_owned(),
        _ => format!("excluded.{column}"),
    }
}

/// Says how an existing row's column is set.
pub(super) fn set_column(column: &str) -> String {
    format!("{column} = {}", new_value(column))
}

/// A row of `vehicles`, with its prices where they were asked for.
#[derive(Debug, FromRow)]
pub(super) struct VehicleRow {
    pub(super) id: String,
    pub(super) source: String,
    pub(super) make: String,
    pub(super) model: String,
    pub(super) trim: Option<String>,
    pub(super) year: i16,
    pub(super) mileage_km: i32,
    pub(super) fuel: Option<String>,
    pub(super) transmission: Option<String>,
    pub(super) drivetrain: Option<String>,
    pub(super) engine_cc: Option<i32>,
    pub(super) color: Option<String>,
    pub(super) accident_grade: Option<String>,
    pub(super) exterior_grade: Option<String>,
    pub(super) options: Vec<String>,
    pub(super) lot_number: Option<String>,
    pub(super) auction_date: Option<DateTime<Utc>>,
    pub(super) auction_count: Option<i16>,
    pub(super) auction_result: Option<String>,
    pub(super) auction_result_at: Option<DateTime<Utc>>,
    pub(super) listing_usd: i32,
    pub(super) thumbnail_url: Option<String>,
    pub(super) vin: Option<String>,
    pub(super) license_plate: Option<String>,
    pub(super) first_registered_on: Option<NaiveDate>,
    pub(super) location: Option<String>,
    pub(super) photos: Vec<String>,
    pub(super) inspection: Option<Json<Inspection>>,
    pub(super) description: Option<String>,
    pub(super) listed_at: DateTime<Utc>,
    pub(super) updated_at: DateTime<Utc>,
    pub(super) withdrawn_at: Option<DateTime<Utc>>,
    #[sqlx(default)]
    pub(super) price_times: Vec<DateTime<Utc>>,
    #[sqlx(default)]
    pub(super) prices: Vec<i32>,
}

impl VehicleRow {
    /// Makes the car, with as much of its details as the statement has read.
    pub(super) fn into_model<D>(
        mut self,
        details: impl FnOnce(&mut Self) -> D,
    ) -> Result<Vehicle<D>, sqlx::Error> {
        let id = self.id.clone();
        let details = details(&mut self);
        self.with(details)
            .map_err(|error| error.in_row("vehicles", id))
    }

    /// Takes the details out of the row.
    pub(super) fn details(&mut self) -> Details {
        Details {
            vin: self.vin.take(),
            license_plate: self.license_plate.take(),
            first_registered_on: self.first_registered_on,
            location: self.location.take(),
            photos: std::mem::take(&mut self.photos),
            inspection: self.inspection.take().map(|Json(it)| it),
            description: self.description.take(),
        }
    }

    fn with<D>(self, details: D) -> Result<Vehicle<D>, Meaningless> {
        let row = self;
        let auction = match (row.auction_date, row.auction_result) {
            (Some(date), Some(result)) => Some(Auction {
                lot_number: row.lot_number,
                date,
                count: row.auction_count,
                result: word(&result)?,
                result_at: row.auction_result_at,
                accident_grade: optional_word(row.accident_grade.as_deref())?,
                exterior_grade: optional_word(row.exterior_grade.as_deref())?,
            }),
            _ => None,
        };
        let listing = Listing {
            id: vehicle_id(&row.id)?,
            source: word(&row.source)?,
            make: row.make,
            model: row.model,
            trim: row.trim,
            year: row.year,
            mileage_km: row.mileage_km,
            fuel: optional_word(row.fuel.as_deref())?,
            transmission: optional_word(row.transmission.as_deref())?,
            drivetrain: row.drivetrain,
            engine_cc: row.engine_cc,
            color: row.color,
            options: row.options,
            auction,
            listing_usd: usd(row.listing_usd)?,
            thumbnail_url: row.thumbnail_url,
            listed_at: row.listed_at,
            details,
        };
        Ok(Vehicle {
            listing,
            updated_at: row.updated_at,
            withdrawn_at: row.withdrawn_at,
        })
    }
}
