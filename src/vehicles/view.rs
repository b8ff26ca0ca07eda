//! A vehicle as partners read it: `VehicleSummary` in lists, `Vehicle` as a single resource and in an order's snapshot.
//!
//! These types are separate from the handlers because an order stores a `Vehicle`.

use chrono::{DateTime, NaiveDate, Utc};
use serde::Serialize;
use utoipa::ToSchema;

use super::model::{
    AuctionResult, Fuel, Grade, Inspection, Listing, PricePoint, Source, Transmission, Vehicle,
};
use crate::values::{id::VehicleId, money::Usd, timestamp::Timestamp};

/// A vehicle in a list.
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
    /// Distance driven, in kilometers.
    #[schema(minimum = 0)]
    pub mileage_km: i32,
    pub fuel: Option<Fuel>,
    pub transmission: Option<Transmission>,
    /// The driven wheels, such as `4WD`.
    pub drivetrain: Option<String>,
    /// Displacement, in cubic centimeters.
    #[schema(minimum = 0)]
    pub engine_cc: Option<i32>,
    /// The body color.
    pub color: Option<String>,
    /// Grade of the frame and body after accidents; null for dealers' vehicles.
    pub accident_grade: Option<Grade>,
    /// Grade of the exterior; null for dealers' vehicles.
    pub exterior_grade: Option<Grade>,
    /// Equipment.
    pub options: Vec<String>,
    /// The lot number in the auction; null for dealers' vehicles.
    pub lot_number: Option<String>,
    /// Time at which the auction is held; null for dealers' vehicles.
    pub auction_date: Option<Timestamp>,
    /// Number of times the vehicle has come up for auction, this one included; null for dealers' vehicles.
    pub auction_count: Option<i16>,
    /// The state of the auction; null for dealers' vehicles.
    pub auction_result: Option<AuctionResult>,
    /// Time at which orders close: midnight in Korea at the start of the day before the auction; null for buy-now
    /// vehicles.
    pub order_cutoff_at: Option<Timestamp>,
    /// Whether the vehicle is for sale at its price, without a bid: a dealer's vehicle, or a lot that received no bid.
    pub buy_now: bool,
    pub pricing: P,
    /// URL of a small picture.
    pub thumbnail_url: Option<String>,
    /// Time at which the source first listed the vehicle.
    pub listed_at: Timestamp,
    /// Time of the last change of the vehicle.
    pub updated_at: Timestamp,
}

/// The price of a vehicle in a list.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Pricing {
    /// The current price of a buy-now vehicle, or the minimum bid for a lot.
    pub listing_usd: Usd,
}

/// The price of a vehicle, with its history.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct PricingHistory {
    /// The current price of a buy-now vehicle, or the minimum bid for a lot.
    pub listing_usd: Usd,
    /// All prices, oldest first, including the current one.
    pub history: Vec<PricePoint>,
}

/// A vehicle with all its fields.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Vehicle)]
pub(crate) struct VehicleView {
    #[serde(flatten)]
    pub summary: VehicleSummary<PricingHistory>,
    /// The vehicle identification number.
    pub vin: Option<String>,
    /// The Korean license plate.
    pub license_plate: Option<String>,
    /// Date of the first registration.
    pub first_registered_on: Option<NaiveDate>,
    /// The place where the vehicle is kept.
    pub location: Option<String>,
    /// URLs of pictures.
    pub photos: Vec<String>,
    /// The report of an inspector.
    pub inspection: Option<Inspection>,
    /// The seller's description.
    pub description: Option<String>,
}

/// Renders a vehicle as JSON for lists.
///
/// A change of this format, or of that of [`VehicleView`], requires a migration that sets every `summary` and `detail`
/// to null.
pub(crate) fn summary_json<D: Clone>(
    listing: &Listing<D>,
    updated_at: DateTime<Utc>,
) -> serde_json::Result<String> {
    let pricing = Pricing {
        listing_usd: listing.listing_usd,
    };
    serde_json::to_string(&summary(
        listing.clone(),
        Timestamp::kst(updated_at),
        pricing,
    ))
}

impl VehicleView {
    /// Creates the view of a vehicle with its price history.
    pub(crate) fn new(vehicle: Vehicle, history: Vec<PricePoint>) -> Self {
        let updated_at = Timestamp::kst(vehicle.updated_at);
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

fn summary<P, D>(listing: Listing<D>, updated_at: Timestamp, pricing: P) -> VehicleSummary<P> {
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
        auction_date: auction.as_ref().map(|it| Timestamp::kst(it.date)),
        auction_count: auction.as_ref().and_then(|it| it.count),
        auction_result: auction.as_ref().map(|it| it.result),
        lot_number: auction.and_then(|it| it.lot_number),
        order_cutoff_at,
        buy_now,
        pricing,
        thumbnail_url: listing.thumbnail_url,
        listed_at: Timestamp::kst(listing.listed_at),
        updated_at,
    }
}
