//! [`Vehicle`]: a made-up vehicle, in the form of a line of a catalogue file.

use std::fmt;

use chrono::{DateTime, NaiveDate, NaiveDateTime, NaiveTime, TimeDelta, Utc};
use serde::{Serialize, Serializer};

/// A made-up vehicle.
///
/// Serialized as JSON, it is a line of a catalogue file: it has the members of the API's `Vehicle`, in the same order.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Vehicle {
    /// The id that the source gave it.
    pub id: String,
    /// The source that lists it.
    pub source: Source,
    /// The brand.
    pub make: &'static str,
    /// The model.
    pub model: &'static str,
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
    pub drivetrain: Option<&'static str>,
    /// Displacement, in cubic centimeters.
    pub engine_cc: Option<i32>,
    /// The body color.
    pub color: Option<&'static str>,
    /// Grade of the frame and body after accidents; `None` for dealers' vehicles.
    pub accident_grade: Option<Grade>,
    /// Grade of the exterior; `None` for dealers' vehicles.
    pub exterior_grade: Option<Grade>,
    /// Equipment.
    pub options: Vec<&'static str>,
    /// The lot number in the auction; `None` for dealers' vehicles.
    pub lot_number: Option<String>,
    /// Time at which the auction is held; `None` for dealers' vehicles.
    pub auction_date: Option<KoreanTime>,
    /// Number of times the vehicle has come up for auction, this one included.
    pub auction_count: Option<i16>,
    /// The state of the auction; `None` for dealers' vehicles.
    pub auction_result: Option<AuctionResult>,
    /// Time at which orders close; `None` for buy-now vehicles.
    pub order_cutoff_at: Option<KoreanTime>,
    /// Whether the vehicle is for sale at its price: a dealer's vehicle, or a lot that received no bid.
    pub buy_now: bool,
    /// The price.
    pub pricing: Pricing,
    /// URL of a small picture.
    pub thumbnail_url: Option<String>,
    /// Time at which the source first listed it.
    pub listed_at: KoreanTime,
    /// Time of the last change: that of its listing.
    pub updated_at: KoreanTime,
    /// The vehicle identification number.
    pub vin: Option<String>,
    /// The Korean license plate.
    pub license_plate: Option<String>,
    /// Date of the first registration.
    pub first_registered_on: Option<NaiveDate>,
    /// The place where it is kept.
    pub location: Option<&'static str>,
    /// URLs of pictures.
    pub photos: Vec<String>,
    /// The report of an inspector.
    pub inspection: Option<Inspection>,
    /// The seller's description.
    pub description: Option<String>,
    /// Time at which the result of its auction became known, which no line contains; `None` while it is upcoming.
    #[serde(skip)]
    pub result_at: Option<KoreanTime>,
}

/// The price of a vehicle, with its history.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct Pricing {
    /// The price of a buy-now vehicle, or the minimum bid for a lot, in whole US dollars.
    pub listing_usd: i64,
    /// The only price that it has had.
    pub history: [PricePoint; 1],
}

/// A price and the time from which it applies.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct PricePoint {
    /// The price, in whole US dollars.
    pub listing_usd: i64,
    /// Time from which the price applies.
    pub recorded_at: KoreanTime,
}

/// An inspector's report.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Inspection {
    /// Date of the inspection.
    pub inspected_on: NaiveDate,
    /// Summary in one sentence.
    pub summary: &'static str,
    /// The findings, part by part.
    pub items: Vec<Finding>,
}

/// A finding on one part.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct Finding {
    /// The part.
    pub part: &'static str,
    /// The finding.
    pub finding: &'static str,
}

/// The source that lists a vehicle.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Source {
    /// A dealer's stock.
    Dealer,
    /// Hyundai Glovis.
    Glovis,
    /// SK.
    Sk,
    /// AJ.
    Aj,
    /// Lotte.
    Lotte,
    /// K Car.
    Kcar,
}

/// The fuel or energy source of a vehicle.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Fuel {
    /// Gasoline.
    Gasoline,
    /// Diesel.
    Diesel,
    /// Battery electric.
    Electric,
    /// Liquefied petroleum gas.
    Lpg,
    /// Fuel cell.
    Hydrogen,
    /// Gasoline and electric.
    GasolineHybrid,
    /// A hybrid that can be charged from outside.
    PlugInHybrid,
}

/// The kind of transmission.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Transmission {
    /// Automatic, with a torque converter.
    Auto,
    /// Shifted by hand.
    Manual,
    /// Continuously variable.
    Cvt,
    /// Dual clutch.
    Dct,
}

/// An inspector's grade, best first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub enum Grade {
    /// Best.
    A,
    /// Good.
    B,
    /// Fair.
    C,
    /// Poor.
    D,
    /// Worst.
    F,
}

/// The state of a vehicle's auction.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum AuctionResult {
    /// Not held yet.
    Upcoming,
    /// Held without a bid; the vehicle is for sale at its price.
    NoBid,
    /// Sold.
    Sold,
    /// Sold by negotiation afterwards.
    NegotiationSold,
    /// A bidder asked to negotiate.
    NegotiationRequested,
}

/// A time in Korea, which prints as RFC 3339 with the offset +09:00.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct KoreanTime(NaiveDateTime);

impl Pricing {
    /// Creates a price that a vehicle has had since it was listed.
    pub(crate) fn new(listing_usd: i64, listed_at: KoreanTime) -> Self {
        let price = PricePoint {
            listing_usd,
            recorded_at: listed_at,
        };
        Self {
            listing_usd,
            history: [price],
        }
    }
}

impl Source {
    /// Returns the word by which catalogue files name it.
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::Dealer => "dealer",
            Self::Glovis => "glovis",
            Self::Sk => "sk",
            Self::Aj => "aj",
            Self::Lotte => "lotte",
            Self::Kcar => "kcar",
        }
    }
}

impl Serialize for Source {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.as_str())
    }
}

impl KoreanTime {
    /// Returns the time `minutes` after midnight in Korea.
    pub(crate) fn new(date: NaiveDate, minutes: i64) -> Self {
        Self(date.and_time(NaiveTime::MIN) + TimeDelta::minutes(minutes))
    }

    /// Returns the calendar date in Korea.
    pub(crate) fn date(self) -> NaiveDate {
        self.0.date()
    }

    /// Returns the instant.
    pub fn instant(self) -> DateTime<Utc> {
        (self.0 - TimeDelta::hours(9)).and_utc()
    }
}

impl fmt::Display for KoreanTime {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // The debug form of a date and time is that of ISO 8601, and faster than a format string of chrono.
        write!(f, "{:?}+09:00", self.0)
    }
}

impl Serialize for KoreanTime {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        // `collect_str` of serde_json would escape every character on its own.
        serializer.serialize_str(&self.to_string())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn time_prints_with_the_offset_of_korea() {
        let date = NaiveDate::from_ymd_opt(2026, 4, 20).unwrap();
        let time = KoreanTime::new(date, 13 * 60 + 5);
        assert_eq!(time.to_string(), "2026-04-20T13:05:00+09:00");
        assert_eq!(time.instant().to_rfc3339(), "2026-04-20T04:05:00+00:00");
        assert_eq!(time.date(), date);
    }
}
