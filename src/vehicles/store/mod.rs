//! The catalogue in the database: [`read`] finds vehicles, [`change`] changes locked vehicles and stores their JSON,
//! and [`searchable`] reads their searchable fields. This file has the rows of the table `vehicles`, and their conversion
//! to the model.

mod change;
mod read;
mod searchable;

use chrono::{DateTime, NaiveDate, Utc};
use sqlx::{FromRow, types::Json};

use super::model::{Auction, Details, Inspection, Listing, PricePoint, Vehicle};
use crate::{
    database::column::{InvalidColumn, optional_word, usd, vehicle_id, word},
    values::timestamp::Timestamp,
};

pub(crate) use change::{
    Rendered, find_unrendered, lock, lock_unrendered, set_auction_dates, set_prices, set_rendered,
    set_restored, set_sold, set_withdrawn,
};
pub(crate) use read::{
    ReadDetails, ReadSummaries, Summary, find_any, find_latest_snapshot, find_listed,
    find_untouched_lot, find_whole, find_with_details,
};
pub(crate) use searchable::{
    Change, Changes, Entry, IndexedRow, Moment, changes_since, forget_changes, load,
};

/// The columns of a [`VehicleRow`] without its prices, as SQL text for statements on `vehicles`.
macro_rules! listing_columns {
    () => {
        "vehicles.id, source, make, model, trim, year, mileage_km, fuel, transmission, drivetrain, engine_cc, color,
         accident_grade, exterior_grade, options, lot_number, auction_date, auction_count, auction_result,
         auction_result_at, listing_usd, thumbnail_url, vin, license_plate, first_registered_on, location, photos,
         inspection, description, listed_at, updated_at, withdrawn_at"
    };
}
pub(crate) use listing_columns;

/// All columns of a [`VehicleRow`], as SQL text.
macro_rules! vehicle_columns {
    () => {
        concat!(
            crate::vehicles::store::listing_columns!(),
            ",
         array(select recorded_at from vehicle_prices where vehicle_id = vehicles.id
               order by recorded_at) || priced_at as price_times,
         array(select listing_usd from vehicle_prices where vehicle_id = vehicles.id
               order by recorded_at) || listing_usd as prices"
        )
    };
}
pub(super) use vehicle_columns;

/// The columns of a [`VehicleRow`], with constants for those that lists omit, so that long values are not read.
macro_rules! summary_columns {
    () => {
        "id, source, make, model, trim, year, mileage_km, fuel, transmission, drivetrain, engine_cc, color,
         accident_grade, exterior_grade, options, lot_number, auction_date, auction_count, auction_result,
         auction_result_at, listing_usd, thumbnail_url, null as vin, null as license_plate,
         null::date as first_registered_on, null as location, '{}'::text[] as photos, null::jsonb as inspection,
         null as description, listed_at, updated_at, withdrawn_at"
    };
}
pub(super) use summary_columns;

/// A row of `vehicles`, with its prices if the statement selects them.
#[derive(Debug, FromRow)]
pub(crate) struct VehicleRow {
    id: String,
    source: String,
    make: String,
    model: String,
    trim: Option<String>,
    year: i16,
    mileage_km: i32,
    fuel: Option<String>,
    transmission: Option<String>,
    drivetrain: Option<String>,
    engine_cc: Option<i32>,
    color: Option<String>,
    accident_grade: Option<String>,
    exterior_grade: Option<String>,
    options: Vec<String>,
    lot_number: Option<String>,
    auction_date: Option<DateTime<Utc>>,
    auction_count: Option<i16>,
    auction_result: Option<String>,
    auction_result_at: Option<DateTime<Utc>>,
    listing_usd: i32,
    thumbnail_url: Option<String>,
    vin: Option<String>,
    license_plate: Option<String>,
    first_registered_on: Option<NaiveDate>,
    location: Option<String>,
    photos: Vec<String>,
    inspection: Option<Json<Inspection>>,
    description: Option<String>,
    listed_at: DateTime<Utc>,
    updated_at: DateTime<Utc>,
    withdrawn_at: Option<DateTime<Utc>>,
    #[sqlx(default)]
    price_times: Vec<DateTime<Utc>>,
    #[sqlx(default)]
    prices: Vec<i32>,
}

impl VehicleRow {
    /// Converts the row to the vehicle and its price history.
    pub(crate) fn into_model_with_prices(
        mut self,
    ) -> Result<(Vehicle, Vec<PricePoint>), sqlx::Error> {
        let times = std::mem::take(&mut self.price_times);
        let prices = std::mem::take(&mut self.prices);
        let vehicle = self.into_model(Self::details)?;
        let history = times.into_iter().zip(prices).map(|(at, price)| {
            let listing_usd = usd(price)?;
            Ok(PricePoint {
                listing_usd,
                recorded_at: Timestamp::kst(at),
            })
        });
        Ok((vehicle, history.collect::<Result<_, sqlx::Error>>()?))
    }

    /// Converts the row to the vehicle, with the details that `details` takes from the row.
    fn into_model<D>(
        mut self,
        details: impl FnOnce(&mut Self) -> D,
    ) -> Result<Vehicle<D>, sqlx::Error> {
        let id = self.id.clone();
        let details = details(&mut self);
        self.with(details)
            .map_err(|error| error.in_row("vehicles", id))
    }

    /// Takes the details out of the row.
    fn details(&mut self) -> Details {
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

    fn with<D>(self, details: D) -> Result<Vehicle<D>, InvalidColumn> {
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
