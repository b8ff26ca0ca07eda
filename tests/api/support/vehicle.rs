//! [`Vehicle`]: a vehicle that a test adds to the catalogue.

use lmn_partner_api::vehicles::render::render_all;

use crate::database::TestDatabase;

/// A vehicle, with the columns that tests vary.
#[derive(Debug, Clone)]
pub struct Vehicle {
    pub id: String,
    pub source: &'static str,
    pub make: &'static str,
    pub model: &'static str,
    pub year: i16,
    pub mileage_km: i32,
    pub listing_usd: i32,
    /// SQL expression of the time of its auction; `None` for a dealer's vehicle.
    pub auction_date: Option<String>,
    pub auction_result: Option<&'static str>,
}

impl Vehicle {
    /// Returns a lot at 10,000 USD whose auction is in ten days.
    pub fn lot(id: &str) -> Self {
        Self {
            id: id.to_owned(),
            source: "glovis",
            make: "Hyundai",
            model: "Grandeur",
            year: 2021,
            mileage_km: 40_000,
            listing_usd: 10_000,
            auction_date: Some("now() + interval '10 days'".to_owned()),
            auction_result: Some("upcoming"),
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
            ..Self::lot(id).on("now() - interval '2 days'")
        }
    }

    /// Returns the lot with another time of its auction, an SQL expression.
    pub fn on(self, auction_date: &str) -> Self {
        Self {
            auction_date: Some(auction_date.to_owned()),
            ..self
        }
    }

    pub async fn insert(&self, database: &TestDatabase) {
        let date = self.auction_date.as_deref().unwrap_or("null::timestamptz");
        let statement = format!(
            "insert into vehicles (id, source, make, model, year, mileage_km, listing_usd, auction_date, auction_result,
                                   auction_result_at, vin, license_plate, listed_at, updated_at, priced_at)
             values ($1, $2, $3, $4, $5, $6, $7, date_trunc('milliseconds', {date}), $8,
                     case when $8 <> 'upcoming' then date_trunc('milliseconds', {date}) end,
                     'KMHF341DBMA000001', '12가3456', '2026-01-02T03:04:05+09:00', '2026-01-02T03:04:05+09:00',
                     '2026-01-02T03:04:05+09:00')"
        );
        let inserted = sqlx::query(sqlx::AssertSqlSafe(statement))
            .bind(&self.id)
            .bind(self.source)
            .bind(self.make)
            .bind(self.model)
            .bind(self.year)
            .bind(self.mileage_km)
            .bind(self.listing_usd)
            .bind(self.auction_result)
            .execute(&database.pool)
            .await;
        inserted.expect("the vehicle fits the schema");
        let rendered = render_all(&database.product, 100).await;
        rendered.expect("the vehicle can be shown");
    }
}
