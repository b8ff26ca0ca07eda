//! [`Vehicle`]: a vehicle that a test adds to the catalogue, and changes of vehicles as another process makes them.

use lmn_partner_api::vehicles::render::render_all;
use sqlx::{Postgres, postgres::PgArguments, query::Query};

use super::Service;
use crate::database::TestDatabase;

/// A vehicle, with the columns that tests vary.
#[derive(Debug, Clone)]
pub struct Vehicle {
    pub id: String,
    pub source: &'static str,
    pub make: &'static str,
    pub model: &'static str,
    pub trim: Option<&'static str>,
    pub year: i16,
    pub mileage_km: i32,
    pub fuel: Option<&'static str>,
    pub transmission: Option<&'static str>,
    pub color: Option<&'static str>,
    pub options: &'static [&'static str],
    pub listing_usd: i32,
    pub accident_grade: Option<&'static str>,
    pub exterior_grade: Option<&'static str>,
    /// The time of its auction; `None` for a dealer's vehicle.
    pub auction_date: Option<AuctionDate>,
    pub auction_count: Option<i16>,
    pub auction_result: Option<&'static str>,
    pub vin: String,
    pub license_plate: String,
}

/// The time of an auction.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum AuctionDate {
    /// Hours from the insertion of the vehicle; negative if the auction is over.
    InHours(i32),
    /// A time with an offset.
    At(String),
}

impl Vehicle {
    /// Returns a lot at 10,000 USD whose auction is in ten days.
    pub fn lot(id: &str) -> Self {
        Self {
            id: id.to_owned(),
            source: "glovis",
            make: "Hyundai",
            model: "Grandeur",
            trim: None,
            year: 2021,
            mileage_km: 40_000,
            fuel: None,
            transmission: None,
            color: None,
            options: &[],
            listing_usd: 10_000,
            accident_grade: None,
            exterior_grade: None,
            auction_date: Some(AuctionDate::InHours(240)),
            auction_count: None,
            auction_result: Some("upcoming"),
            vin: "KMHF341DBMA000001".to_owned(),
            license_plate: "12가3456".to_owned(),
        }
    }

    /// Returns a dealer's vehicle at 10,000 USD.
    pub fn dealers(id: &str) -> Self {
        Self {
            source: "dealer",
            auction_date: None,
            auction_result: None,
            ..Self::lot(id)
        }
    }

    /// Returns a lot whose auction ended without a bid, for sale at 10,000 USD.
    pub fn no_bid(id: &str) -> Self {
        Self {
            auction_result: Some("no_bid"),
            ..Self::lot(id).auction_in_days(-2)
        }
    }

    /// Returns the lot with an auction at a time, given with its offset.
    pub fn auction_at(self, time: &str) -> Self {
        Self {
            auction_date: Some(AuctionDate::At(time.to_owned())),
            ..self
        }
    }

    /// Returns the lot with an auction some hours from now; negative if it is over.
    pub fn auction_in_hours(self, hours: i32) -> Self {
        Self {
            auction_date: Some(AuctionDate::InHours(hours)),
            ..self
        }
    }

    /// Returns the lot with an auction some days from now; negative if it is over.
    pub fn auction_in_days(self, days: i32) -> Self {
        self.auction_in_hours(24 * days)
    }

    pub async fn insert(&self, database: &TestDatabase) {
        let (hours, time) = match &self.auction_date {
            Some(AuctionDate::InHours(hours)) => (Some(*hours), None),
            Some(AuctionDate::At(time)) => (None, Some(time)),
            None => (None, None),
        };
        let inserted = sqlx::query(
            "insert into vehicles (id, source, make, model, trim, year, mileage_km, fuel, transmission, color, options,
                                   listing_usd, accident_grade, exterior_grade, auction_count, auction_result, vin,
                                   license_plate, auction_date, auction_result_at, listed_at, updated_at, priced_at)
             select $1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17, $18,
                    auction, case when $16 <> 'upcoming' then auction end, listing, listing, listing
             from (select date_trunc('milliseconds', coalesce($20::text::timestamptz, now() + make_interval(hours => $19))),
                          timestamptz '2026-01-02T03:04:05+09:00') as times (auction, listing)",
        )
        .bind(&self.id)
        .bind(self.source)
        .bind(self.make)
        .bind(self.model)
        .bind(self.trim)
        .bind(self.year)
        .bind(self.mileage_km)
        .bind(self.fuel)
        .bind(self.transmission)
        .bind(self.color)
        .bind(self.options)
        .bind(self.listing_usd)
        .bind(self.accident_grade)
        .bind(self.exterior_grade)
        .bind(self.auction_count)
        .bind(self.auction_result)
        .bind(&self.vin)
        .bind(&self.license_plate)
        .bind(hours)
        .bind(time)
        .execute(&database.pool)
        .await;
        inserted.expect("the vehicle fits the schema");
        let rendered = render_all(&database.product, 100).await;
        rendered.expect("the vehicle can be shown");
    }
}

impl Service {
    /// Adds a vehicle to the catalogue, and waits until this replica has it.
    pub async fn vehicle(&self, vehicle: Vehicle) -> Vehicle {
        vehicle.insert(&self.database).await;
        self.app.catch_up().await;
        vehicle
    }

    /// Moves the auction of a vehicle, if it has one, to the present, and leaves its orders as they are.
    pub async fn auction_was_held(&self, id: &str) {
        let held = sqlx::query(
            "update vehicles set auction_date = now() where id = $1 and auction_date is not null",
        );
        self.change_catalogue(held.bind(id)).await;
    }

    /// Takes a vehicle off the catalogue, and leaves its orders as they are.
    pub async fn withdraw_vehicle(&self, id: &str) {
        let withdraw = sqlx::query("update vehicles set withdrawn_at = now() where id = $1");
        self.change_catalogue(withdraw.bind(id)).await;
    }

    /// Lists a withdrawn vehicle again.
    pub async fn restore_vehicle(&self, id: &str) {
        let restore = sqlx::query("update vehicles set withdrawn_at = null where id = $1");
        self.change_catalogue(restore.bind(id)).await;
    }

    /// Deletes a vehicle, which has no orders.
    pub async fn delete_vehicle(&self, id: &str) {
        let delete = sqlx::query("delete from vehicles where id = $1");
        self.change_catalogue(delete.bind(id)).await;
    }

    /// Changes the price of a vehicle, and makes no events.
    pub async fn set_price(&self, id: &str, usd: i32) {
        let reprice = sqlx::query("update vehicles set listing_usd = $2 where id = $1");
        self.change_catalogue(reprice.bind(id).bind(usd)).await;
    }

    /// Changes the color of a vehicle.
    pub async fn set_color(&self, id: &str, color: &str) {
        let paint = sqlx::query("update vehicles set color = $2 where id = $1");
        self.change_catalogue(paint.bind(id).bind(color)).await;
    }

    /// Changes the price of all vehicles as another process would, without waiting for this replica.
    pub async fn set_prices_elsewhere(&self, usd: i64) {
        let reprice = sqlx::query("update vehicles set listing_usd = $1, updated_at = now()");
        let repriced = reprice.bind(usd).execute(self.db()).await;
        repriced.expect("it is a price");
    }

    /// Changes the price of a vehicle without a row in the change log, as nothing does: a replica finds it only by reading
    /// the vehicle, or all vehicles.
    pub async fn set_price_unlogged(&self, id: &str, usd: i32) {
        self.sql_elsewhere(&format!(
            "set session_replication_role = replica;
             update vehicles set listing_usd = {usd}, summary = null, detail = null where id = '{id}';
             reset session_replication_role"
        ))
        .await;
    }

    /// Changes vehicles, and waits until this replica shows the change.
    async fn change_catalogue(&self, change: Query<'_, Postgres, PgArguments>) {
        change.execute(self.db()).await.expect("it is possible");
        self.app.catch_up().await;
    }
}
