//! A car as partners read it: `VehicleSummary` in lists, `Vehicle` alone and in an order's snapshot.
//!
//! The shapes stand apart from the routes because an order keeps one of them.

use chrono::{DateTime, NaiveDate, Utc};
use serde::Serialize;
use utoipa::ToSchema;

use super::model::{
    AuctionResult, Fuel, Grade, Inspection, Listing, PricePoint, Source, Transmission, Vehicle,
};
use crate::{id::VehicleId, money::Usd, stamp::Stamp};

/// Where a summary's last member begins.
const UPDATED_AT: &str = "\"updated_at\":";

/// One car in a list.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = VehicleSummary)]
pub(crate) struct VehicleSummary<P = Pricing> {
    pub id: VehicleId,
    pub source: Source,
    /// The brand.
    pub make: String,
    /// The model.
    pub model: String,
    /// The trim level.
    pub trim: Option<String>,
    /// The model year.
    pub year: i16,
    /// Distance driven, in kilometres.
    #[schema(minimum = 0)]
    pub mileage_km: i32,
    pub fuel: Option<Fuel>,
    pub transmission: Option<Transmission>,
    /// Which wheels it drives.
    pub drivetrain: Option<String>,
    /// Displacement, in cubic centimetres.
    #[schema(minimum = 0)]
    pub engine_cc: Option<i32>,
    /// The body's color.
    pub color: Option<String>,
    /// Grade of the frame and body after accidents; null for dealers' cars.
    pub accident_grade: Option<Grade>,
    /// Grade of the outside; null for dealers' cars.
    pub exterior_grade: Option<Grade>,
    /// Equipment.
    pub options: Vec<String>,
    /// The auction's lot; null for dealers' cars.
    pub lot_number: Option<String>,
    /// When the auction is held; null for dealers' cars.
    pub auction_date: Option<Stamp>,
    /// How often the car has come up, this time included; null for dealers' cars.
    pub auction_count: Option<i16>,
    /// Where its auction stands; null for dealers' cars.
    pub auction_result: Option<AuctionResult>,
    /// When orders close: midnight in Korea at the start of the day before the auction's; null for buy-now cars.
    pub order_cutoff_at: Option<Stamp>,
    /// Whether the car is for sale at its price, without a bid: a dealer's, or one that nobody bid on.
    pub buy_now: bool,
    pub pricing: P,
    /// A small picture.
    pub thumbnail_url: Option<String>,
    /// When the source first listed it.
    pub listed_at: Stamp,
    /// When anything about it last changed.
    pub updated_at: Stamp,
}

/// The price of a car in a list.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Pricing {
    /// The price now.
    pub listing_usd: Usd,
}

/// The price of a car, and what it was before.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct PricingHistory {
    /// The price now.
    pub listing_usd: Usd,
    /// Every price, the present one included, oldest first.
    pub history: Vec<PricePoint>,
}

/// One car with everything that is known about it.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Vehicle)]
pub(crate) struct VehicleView {
    #[serde(flatten)]
    pub summary: VehicleSummary<PricingHistory>,
    /// The vehicle identification number.
    pub vin: Option<String>,
    /// The Korean plate.
    pub license_plate: Option<String>,
    /// When it first came on the road.
    pub first_registered_on: Option<NaiveDate>,
    /// Where it stands.
    pub location: Option<String>,
    /// Pictures, as URLs.
    pub photos: Vec<String>,
    /// What an inspector found.
    pub inspection: Option<Inspection>,
    /// The seller's words.
    pub description: Option<String>,
}

/// Renders a car as a list shows it: JSON, kept with the car.
///
/// Who changes its form makes the next migration set every `summary` to null; they are then rendered again.
pub(crate) fn summary_json<D: Clone>(
    listing: &Listing<D>,
    updated_at: DateTime<Utc>,
) -> serde_json::Result<String> {
    let pricing = Pricing {
        listing_usd: listing.listing_usd,
    };
    serde_json::to_string(&summary(listing.clone(), Stamp::kst(updated_at), pricing))
}

/// A car as a list shows it, but for when it last changed: that is known only when it is written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct SummaryDraft(String);

impl SummaryDraft {
    /// Renders all of it that follows from the listing.
    pub(crate) fn of<D: Clone>(listing: &Listing<D>) -> serde_json::Result<Self> {
        let mut json = summary_json(listing, listing.listed_at)?;
        // It is the last member; nothing after it can look like it.
        let end = json.rfind(UPDATED_AT).unwrap_or(json.len());
        json.truncate(end);
        Ok(Self(json))
    }

    /// Returns the whole, as [`summary_json`] does.
    pub(crate) fn at(&self, updated_at: DateTime<Utc>) -> String {
        format!("{}{UPDATED_AT}\"{}\"}}", self.0, Stamp::kst(updated_at))
    }
}

impl VehicleView {
    /// Shows a car with its price history.
    pub(crate) fn new(vehicle: Vehicle, history: Vec<PricePoint>) -> Self {
        let updated_at = Stamp::kst(vehicle.updated_at);
        let mut listing = vehicle.listing;
        let details = std::mem::take(&mut listing.details);
        let pricing = PricingHistory {
            listing_usd: listing.listing_usd,
            history,
        };
        Self {
            vin: details.vin,
            license_plate: details.license_plate,
            first_registered_on: details.first_registered_on,
            location: details.location,
            photos: details.photos,
            inspection: details.inspection,
            description: details.description,
            summary: summary(listing, updated_at, pricing),
        }
    }
}

fn summary<P, D>(listing: Listing<D>, updated_at: Stamp, pricing: P) -> VehicleSummary<P> {
    let order_cutoff_at = listing.order_cutoff_at();
    let buy_now = listing.is_buy_now();
    let auction = listing.auction;
    VehicleSummary {
        id: listing.id,
        source: listing.source,
        make: listing.make,
        model: listing.model,
        trim: listing.trim,
        year: listing.year,
        mileage_km: listing.mileage_km,
        fuel: listing.fuel,
        transmission: listing.transmission,
        drivetrain: listing.drivetrain,
        engine_cc: listing.engine_cc,
        color: listing.color,
        accident_grade: auction.as_ref().and_then(|it| it.accident_grade),
        exterior_grade: auction.as_ref().and_then(|it| it.exterior_grade),
        options: listing.options,
        auction_date: auction.as_ref().map(|it| Stamp::kst(it.date)),
        auction_count: auction.as_ref().and_then(|it| it.count),
        auction_result: auction.as_ref().map(|it| it.result),
        lot_number: auction.and_then(|it| it.lot_number),
        order_cutoff_at,
        buy_now,
        pricing,
        thumbnail_url: listing.thumbnail_url,
        listed_at: Stamp::kst(listing.listed_at),
        updated_at,
    }
}

#[cfg(test)]
mod tests {
    use chrono::NaiveDate;

    use super::*;
    use crate::vehicles::demo;

    #[test]
    fn a_draft_becomes_the_summary() {
        let today = NaiveDate::from_ymd_opt(2026, 4, 20).unwrap();
        for mut listing in demo::cars(5, 50, today) {
            listing.color = Some(format!("{UPDATED_AT}\"{UPDATED_AT}"));
            let updated_at = listing.listed_at + chrono::TimeDelta::milliseconds(1_001);
            assert_eq!(
                SummaryDraft::of(&listing).unwrap().at(updated_at),
                summary_json(&listing, updated_at).unwrap()
            );
        }
    }
}
