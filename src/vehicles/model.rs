//! What a car of the catalogue is: what its source lists, and what follows from that (contract, section 6).

use chrono::{DateTime, NaiveDate, Utc};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::{id::VehicleId, money::Usd, stamp::Stamp, word::words};

words! {
    /// Who lists a car.
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

words! {
    /// What a car runs on.
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
        /// Charged from outside.
        PlugInHybrid = "plug_in_hybrid",
    }
}

words! {
    /// How the gears change.
    Transmission {
        /// Torque converter.
        Auto = "auto",
        /// By hand.
        Manual = "manual",
        /// Continuously variable.
        Cvt = "cvt",
        /// Dual clutch.
        Dct = "dct",
    }
}

words! {
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

words! {
    /// Where a car's auction stands.
    AuctionResult {
        /// Not held yet.
        Upcoming = "upcoming",
        /// Nobody bid; the car is for sale at its price.
        NoBid = "no_bid",
        /// Sold.
        Sold = "sold",
        /// Sold by negotiation afterwards.
        NegotiationSold = "negotiation_sold",
        /// A bidder asked to negotiate.
        NegotiationRequested = "negotiation_requested",
    }
}

words! {
    /// Who took a car off the catalogue.
    WithdrawnBy {
        /// Its source, which does not list it any more.
        Source = "source",
        /// LMN.
        Operator = "operator",
    }
}

/// What a source lists of one car; a list shows it without its [`Details`].
#[derive(Debug, Clone, PartialEq)]
pub struct Listing<D = Details> {
    /// The source's own name for it.
    pub id: VehicleId,
    /// Who lists it.
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
    pub mileage_km: i32,
    /// What it runs on.
    pub fuel: Option<Fuel>,
    /// How its gears change.
    pub transmission: Option<Transmission>,
    /// Which wheels it drives.
    pub drivetrain: Option<String>,
    /// Displacement, in cubic centimetres.
    pub engine_cc: Option<i32>,
    /// The body's color.
    pub color: Option<String>,
    /// Equipment.
    pub options: Vec<String>,
    /// Its auction; `None` exactly for a dealer's car.
    pub auction: Option<Auction>,
    /// The price: what a buy-now car costs, what a bid must reach.
    pub listing_usd: Usd,
    /// A small picture.
    pub thumbnail_url: Option<String>,
    /// When the source first listed it.
    pub listed_at: DateTime<Utc>,
    /// What is shown of one car alone.
    pub details: D,
}

/// What is shown of one car alone.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Details {
    /// The vehicle identification number.
    pub vin: Option<String>,
    /// The Korean plate.
    pub license_plate: Option<String>,
    /// When it first came on the road.
    pub first_registered_on: Option<NaiveDate>,
    /// Where it stands.
    pub location: Option<String>,
    /// Pictures.
    pub photos: Vec<String>,
    /// What an inspector found.
    pub inspection: Option<Inspection>,
    /// The seller's words.
    pub description: Option<String>,
}

/// The auction of a listed car.
#[derive(Debug, Clone, PartialEq)]
pub struct Auction {
    /// The lot.
    pub lot_number: Option<String>,
    /// When it is held.
    pub date: DateTime<Utc>,
    /// How often the car has come up, this time included.
    pub count: Option<i16>,
    /// Where it stands.
    pub result: AuctionResult,
    /// When the result became known; `None` exactly while `upcoming`.
    pub result_at: Option<DateTime<Utc>>,
    /// Grade of the frame and body after accidents.
    pub accident_grade: Option<Grade>,
    /// Grade of the outside.
    pub exterior_grade: Option<Grade>,
}

/// An inspector's report.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Inspection {
    /// The day.
    pub inspected_on: NaiveDate,
    /// One sentence.
    pub summary: String,
    /// What was found, part by part.
    pub items: Vec<Finding>,
}

/// What was found on one part.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Finding {
    /// The part.
    pub part: String,
    /// The finding.
    pub finding: String,
}

/// A price and since when it holds.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, ToSchema)]
pub struct PricePoint {
    /// The price.
    pub listing_usd: Usd,
    /// Since when.
    pub recorded_at: Stamp,
}

/// A car of the catalogue: its listing, and what LMN knows about it.
#[derive(Debug, Clone, PartialEq)]
pub struct Vehicle<D = Details> {
    /// What the source lists.
    pub listing: Listing<D>,
    /// When anything about it last changed.
    pub updated_at: DateTime<Utc>,
    /// When it was taken off the catalogue.
    pub withdrawn_at: Option<DateTime<Utc>>,
}

/// What an order of a vehicle depends on.
#[derive(Debug, Clone, PartialEq)]
pub struct Offer {
    /// Its id.
    pub vehicle_id: VehicleId,
    /// Its vehicle identification number.
    pub vin: Option<String>,
    /// Its Korean plate.
    pub license_plate: Option<String>,
    /// Its price: what a vehicle to buy costs, what a bid must reach.
    pub listing_usd: Usd,
    /// Its auction; `None` exactly for a dealer's vehicle.
    pub auction: Option<AuctionState>,
    /// Whether it is listed.
    pub is_listed: bool,
}

/// How an auction stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct AuctionState {
    /// When it is held.
    pub date: DateTime<Utc>,
    /// Its state.
    pub result: AuctionResult,
    /// When the result became known.
    pub result_at: Option<DateTime<Utc>>,
}

impl AuctionState {
    /// Returns when orders close: midnight in Korea at the start of the day before the auction's.
    pub fn order_cutoff_at(&self) -> Stamp {
        Stamp::kst(self.date).midnight_of_the_day_before()
    }
}

/// A car under its lock, as far as a change of it must know.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct HeldCar {
    /// Its name.
    pub id: VehicleId,
    /// Its price.
    pub listing_usd: Usd,
    /// When its auction is held; a dealer's car has none.
    pub auction_date: Option<DateTime<Utc>>,
    /// Where its auction stands; a dealer's car has none.
    pub result: Option<AuctionResult>,
    /// When anything about it last changed.
    pub updated_at: DateTime<Utc>,
    /// When it was taken off the catalogue.
    pub withdrawn_at: Option<DateTime<Utc>>,
}

impl HeldCar {
    /// Says whether the car is sold by auction.
    pub(crate) fn is_auctioned(&self) -> bool {
        self.result.is_some()
    }

    /// Says whether its auction was held, as far as is known at `now`.
    pub(crate) fn was_auctioned(&self, now: DateTime<Utc>) -> bool {
        self.result.is_some_and(|it| it != AuctionResult::Upcoming)
            || self.auction_date.is_some_and(|date| date <= now)
    }

    /// Says whether it can be ordered while it stands in the catalogue, as far as its result goes.
    pub(crate) fn is_on_offer(&self) -> bool {
        is_on_offer(self.result)
    }

    /// Says whether its auction is still to come.
    pub(crate) fn is_upcoming(&self) -> bool {
        self.result == Some(AuctionResult::Upcoming) && self.withdrawn_at.is_none()
    }
}

/// Says whether a car whose auction stands like this can be ordered; one without an auction can.
fn is_on_offer(result: Option<AuctionResult>) -> bool {
    result.is_none_or(|it| matches!(it, AuctionResult::Upcoming | AuctionResult::NoBid))
}

impl Auction {
    /// Returns how it stands.
    pub fn state(&self) -> AuctionState {
        AuctionState {
            date: self.date,
            result: self.result,
            result_at: self.result_at,
        }
    }
}

impl<D> Listing<D> {
    /// Returns the auction that is still open to bids, as far as its result goes.
    pub fn upcoming_auction(&self) -> Option<&Auction> {
        self.auction
            .as_ref()
            .filter(|auction| auction.result == AuctionResult::Upcoming)
    }

    /// Says whether the car can be ordered, as far as its result goes.
    pub(crate) fn is_on_offer(&self) -> bool {
        is_on_offer(self.auction.as_ref().map(|it| it.result))
    }

    /// Says whether the car is for sale at its price: a dealer's, or one that nobody bid on.
    pub fn is_buy_now(&self) -> bool {
        self.auction
            .as_ref()
            .is_none_or(|auction| auction.result == AuctionResult::NoBid)
    }

    /// Returns when orders close; `None` for a buy-now car.
    pub fn order_cutoff_at(&self) -> Option<Stamp> {
        let auction = self.auction.as_ref().filter(|_| !self.is_buy_now());
        auction.map(|it| it.state().order_cutoff_at())
    }
}
