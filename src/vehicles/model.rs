//! Vehicles of the catalogue: what a source lists, and the values that are derived from it.

use chrono::{DateTime, NaiveDate, Utc};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::values::{id::VehicleId, money::Usd, string_enum::string_enum, timestamp::Timestamp};

string_enum! {
    /// The source that lists a vehicle.
    Source {
        /// A dealer's stock: for sale at its price, without an auction.
        Dealer = "dealer",
        /// Hyundai Glovis.
        Glovis = "glovis",
        /// SK.
        Sk = "sk",
        /// AJ.
        Aj = "aj",
        /// Lotte.
        Lotte = "lotte",
        /// K Car.
        Kcar = "kcar",
    }
}

string_enum! {
    /// The fuel or energy source of a vehicle.
    Fuel {
        /// Gasoline.
        Gasoline = "gasoline",
        /// Diesel.
        Diesel = "diesel",
        /// A hybrid of unstated kind.
        Hybrid = "hybrid",
        /// Battery electric.
        Electric = "electric",
        /// Liquefied petroleum gas.
        Lpg = "lpg",
        /// Fuel cell.
        Hydrogen = "hydrogen",
        /// Gasoline and electric.
        GasolineHybrid = "gasoline_hybrid",
        /// Diesel and electric.
        DieselHybrid = "diesel_hybrid",
        /// A hybrid that can be charged from outside.
        PlugInHybrid = "plug_in_hybrid",
    }
}

string_enum! {
    /// The kind of transmission.
    Transmission {
        /// Automatic, with a torque converter.
        Auto = "auto",
        /// Shifted by hand.
        Manual = "manual",
        /// Continuously variable.
        Cvt = "cvt",
        /// Dual clutch.
        Dct = "dct",
    }
}

string_enum! {
    /// An inspector's grade, best first.
    Grade {
        /// Best.
        A = "A",
        /// Good.
        B = "B",
        /// Fair.
        C = "C",
        /// Poor.
        D = "D",
        /// Worst.
        F = "F",
    }
}

string_enum! {
    /// The state of a vehicle's auction.
    AuctionResult {
        /// Not held yet.
        Upcoming = "upcoming",
        /// Held without a bid; the vehicle is for sale at its price.
        NoBid = "no_bid",
        /// Sold.
        Sold = "sold",
        /// Sold by negotiation afterwards.
        NegotiationSold = "negotiation_sold",
        /// A bidder asked to negotiate.
        NegotiationRequested = "negotiation_requested",
    }
}

string_enum! {
    /// The party that withdrew a vehicle from the catalogue.
    WithdrawnBy {
        /// The source, which no longer lists it.
        Source = "source",
        /// LMN.
        Operator = "operator",
    }
}

/// A vehicle as its source lists it; lists of vehicles omit the [`Details`].
#[derive(Debug, Clone, PartialEq)]
pub struct Listing<D = Details> {
    /// The id that the source gave it.
    pub id: VehicleId,
    /// The source that lists it.
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
    pub mileage_km: i32,
    /// The fuel or energy source.
    pub fuel: Option<Fuel>,
    /// The kind of transmission.
    pub transmission: Option<Transmission>,
    /// The driven wheels, such as `4WD`.
    pub drivetrain: Option<String>,
    /// Displacement, in cubic centimeters.
    pub engine_cc: Option<i32>,
    /// The body color.
    pub color: Option<String>,
    /// Equipment.
    pub options: Vec<String>,
    /// The auction; `None` if and only if the vehicle is a dealer's.
    pub auction: Option<Auction>,
    /// The price of a buy-now vehicle, or the minimum bid for a lot.
    pub listing_usd: Usd,
    /// URL of a small picture.
    pub thumbnail_url: Option<String>,
    /// Time at which the source first listed it.
    pub listed_at: DateTime<Utc>,
    /// The fields that lists omit.
    pub details: D,
}

/// The fields of a vehicle that lists omit.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Details {
    /// The vehicle identification number.
    pub vin: Option<String>,
    /// The Korean license plate.
    pub license_plate: Option<String>,
    /// Date of the first registration.
    pub first_registered_on: Option<NaiveDate>,
    /// The place where it is kept.
    pub location: Option<String>,
    /// URLs of pictures.
    pub photos: Vec<String>,
    /// The report of an inspector.
    pub inspection: Option<Inspection>,
    /// The seller's description.
    pub description: Option<String>,
}

/// The auction of a listed vehicle.
#[derive(Debug, Clone, PartialEq)]
pub struct Auction {
    /// The lot number.
    pub lot_number: Option<String>,
    /// Time at which it is held.
    pub date: DateTime<Utc>,
    /// Number of times the vehicle has come up for auction, this one included.
    pub count: Option<i16>,
    /// The state of the auction.
    pub result: AuctionResult,
    /// Time at which the result became known; `None` if and only if the auction is `upcoming`.
    pub result_at: Option<DateTime<Utc>>,
    /// Grade of the frame and body after accidents.
    pub accident_grade: Option<Grade>,
    /// Grade of the exterior.
    pub exterior_grade: Option<Grade>,
}

/// An inspector's report.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Inspection {
    /// Date of the inspection.
    pub inspected_on: NaiveDate,
    /// Summary in one sentence.
    pub summary: String,
    /// The findings, part by part.
    pub items: Vec<Finding>,
}

/// A finding on one part.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Finding {
    /// The part.
    pub part: String,
    /// The finding.
    pub finding: String,
}

/// A price and the time from which it applies.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, ToSchema)]
pub struct PricePoint {
    /// The price.
    pub listing_usd: Usd,
    /// Time from which the price applies.
    pub recorded_at: Timestamp,
}

/// A vehicle of the catalogue: its listing, and the times that LMN records.
#[derive(Debug, Clone, PartialEq)]
pub struct Vehicle<D = Details> {
    /// The listing of the source.
    pub listing: Listing<D>,
    /// Time of the last change.
    pub updated_at: DateTime<Utc>,
    /// Time at which it was withdrawn; `None` while it is listed.
    pub withdrawn_at: Option<DateTime<Utc>>,
}

/// The state of a vehicle that an order depends on.
#[derive(Debug, Clone, PartialEq)]
pub struct Offer {
    /// The id.
    pub vehicle_id: VehicleId,
    /// The vehicle identification number.
    pub vin: Option<String>,
    /// The Korean license plate.
    pub license_plate: Option<String>,
    /// The price of a buy-now vehicle, or the minimum bid for a lot.
    pub listing_usd: Usd,
    /// The auction; `None` if and only if the vehicle is a dealer's.
    pub auction: Option<AuctionState>,
    /// Whether it is listed.
    pub is_listed: bool,
}

/// The date and the result of an auction.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct AuctionState {
    /// Time at which it is held.
    pub date: DateTime<Utc>,
    /// The state of the auction.
    pub result: AuctionResult,
    /// Time at which the result became known.
    pub result_at: Option<DateTime<Utc>>,
}

impl AuctionState {
    /// Returns the time at which orders close: midnight in Korea at the start of the day before the auction.
    pub fn order_cutoff_at(&self) -> Timestamp {
        Timestamp::kst(self.date).order_cutoff()
    }
}

/// A locked vehicle, with the fields that its changes depend on.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct LockedVehicle {
    /// The id.
    pub id: VehicleId,
    /// The price.
    pub listing_usd: Usd,
    /// Time at which its auction is held; `None` for a dealer's vehicle.
    pub auction_date: Option<DateTime<Utc>>,
    /// The state of its auction; `None` for a dealer's vehicle.
    pub result: Option<AuctionResult>,
    /// Time of the last change.
    pub updated_at: DateTime<Utc>,
    /// Time at which it was withdrawn; `None` while it is listed.
    pub withdrawn_at: Option<DateTime<Utc>>,
}

impl LockedVehicle {
    /// Returns whether the vehicle is sold by auction.
    pub(crate) fn is_auctioned(&self) -> bool {
        self.result.is_some()
    }

    /// Returns whether its auction was held by `now`: it has a result, or its date has passed.
    pub(crate) fn was_auctioned(&self, now: DateTime<Utc>) -> bool {
        self.result.is_some_and(|it| it != AuctionResult::Upcoming)
            || self.auction_date.is_some_and(|date| date <= now)
    }

    /// Returns whether the result of its auction permits orders; does not check whether it is listed.
    pub(crate) fn is_on_offer(&self) -> bool {
        is_on_offer(self.result)
    }

    /// Returns whether it is listed and its auction has no result yet.
    pub(crate) fn is_upcoming(&self) -> bool {
        self.result == Some(AuctionResult::Upcoming) && self.withdrawn_at.is_none()
    }
}

/// Returns whether a vehicle with this auction result can be ordered; a vehicle without an auction can.
fn is_on_offer(result: Option<AuctionResult>) -> bool {
    result.is_none_or(|it| matches!(it, AuctionResult::Upcoming | AuctionResult::NoBid))
}

impl Auction {
    /// Returns the date and the result.
    pub fn state(&self) -> AuctionState {
        AuctionState {
            date: self.date,
            result: self.result,
            result_at: self.result_at,
        }
    }
}

impl<D> Listing<D> {
    /// Returns the auction if it has no result yet; does not check its date.
    pub fn upcoming_auction(&self) -> Option<&Auction> {
        self.auction
            .as_ref()
            .filter(|auction| auction.result == AuctionResult::Upcoming)
    }

    /// Returns whether the result of the auction permits orders.
    pub(crate) fn is_on_offer(&self) -> bool {
        is_on_offer(self.auction.as_ref().map(|it| it.result))
    }

    /// Returns whether the vehicle is for sale at its price: a dealer's vehicle, or a lot without a bid.
    pub fn is_buy_now(&self) -> bool {
        self.auction
            .as_ref()
            .is_none_or(|auction| auction.result == AuctionResult::NoBid)
    }

    /// Returns the time at which orders close; `None` for a buy-now vehicle.
    pub fn order_cutoff_at(&self) -> Option<Timestamp> {
        let auction = self.auction.as_ref().filter(|_| !self.is_buy_now());
        auction.map(|it| it.state().order_cutoff_at())
    }
}
