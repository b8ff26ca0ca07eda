//! Generation of one vehicle: a model from the table, with an age, a mileage and a price that are consistent.

use chrono::{NaiveDate, TimeDelta};

use crate::{
    chance::Chance,
    condition::{self, Condition},
    models::{Kind, Model},
    papers,
    table::MODELS,
    vehicle::{AuctionResult, Fuel, Grade, KoreanTime, Pricing, Source, Vehicle},
};

/// A listing for which a vehicle is yet to be drawn.
pub(crate) struct Offer {
    /// The id of the listing.
    pub(crate) id: String,
    /// The source that lists it.
    pub(crate) source: Source,
    /// The place where the vehicle is kept.
    pub(crate) location: &'static str,
    /// The time at which it is listed.
    pub(crate) listed_at: KoreanTime,
    /// The auction; `None` for a dealer's vehicle.
    pub(crate) auction: Option<Auction>,
    /// The condition of the vehicle.
    pub(crate) condition: Condition,
    /// The seed of the catalogue.
    pub(crate) seed: u64,
    /// A number that no other vehicle of the catalogue has, below nineteen million.
    pub(crate) slot: u64,
}

/// The auction of a lot.
pub(crate) struct Auction {
    /// The lot number.
    pub(crate) lot_number: String,
    /// The time at which it is held.
    pub(crate) date: KoreanTime,
    /// The number of times the vehicle has come up for auction, if it is known.
    pub(crate) count: Option<i16>,
    /// Its state.
    pub(crate) result: AuctionResult,
    /// The time at which the result became known.
    pub(crate) result_at: Option<KoreanTime>,
    /// The published grade of the frame and body.
    pub(crate) accident_grade: Option<Grade>,
    /// The published grade of the exterior.
    pub(crate) exterior_grade: Option<Grade>,
}

/// A model with an engine, a trim and its price when new, and a drivetrain.
struct Choice {
    model: &'static Model,
    kind: &'static Kind,
    trim: &'static str,
    new_usd: i64,
    drivetrain: &'static str,
}

impl Auction {
    fn is_buy_now(&self) -> bool {
        self.result == AuctionResult::NoBid
    }

    /// Returns the time at which orders close: midnight at the start of the day before the auction.
    fn order_cutoff_at(&self) -> Option<KoreanTime> {
        let day_before = self.date.date() - TimeDelta::days(1);
        (!self.is_buy_now()).then(|| KoreanTime::new(day_before, 0))
    }
}

impl Offer {
    /// Draws the vehicle; never returns `None` with the present tables.
    pub(crate) fn draw(self, chance: &mut Chance) -> Option<Vehicle> {
        let choice = Choice::draw(chance)?;
        let (model, kind) = (choice.model, choice.kind);
        let listed_on = self.listed_at.date();
        let registered = registered(chance, model.years, listed_on)?;
        let year = papers::model_year(chance, registered, model.years.1)?;
        let age_days = (listed_on - registered).num_days();
        let mileage_km = mileage(chance, age_days, kind.fuel);
        let price = choice.price(chance, age_days, mileage_km) * self.condition.worth() / 100;
        let auction = self.auction.as_ref();
        // A lot starts below the price of a dealer.
        let price = if auction.is_some() {
            price * 92 / 100
        } else {
            price
        };
        let (thumbnail_url, photos) = pictures(chance, &self.id);
        let vin = papers::vin(chance, model.maker, year)?;
        let plate = papers::plate(chance, self.seed, self.slot, registered)?;
        let is_inspected = chance.percent(if auction.is_some() { 96 } else { 45 });
        let inspected_on = listed_on - TimeDelta::days(1);
        let inspection = self.condition.inspection(chance, inspected_on)?;
        let description = self.condition.description(chance, model);
        // The fields are drawn in this order, on which the vehicles of a seed depend.
        Some(Vehicle {
            source: self.source,
            make: model.make,
            model: model.name,
            trim: chance.unless(4, choice.trim_text()),
            year,
            mileage_km: i32::try_from(mileage_km).ok()?,
            fuel: chance.unless(2, kind.fuel),
            transmission: chance.unless(2, kind.transmission),
            drivetrain: chance.unless(8, choice.drivetrain),
            engine_cc: kind.engine_cc.filter(|_| !chance.percent(5)),
            color: condition::color(chance),
            accident_grade: auction.and_then(|it| it.accident_grade),
            exterior_grade: auction.and_then(|it| it.exterior_grade),
            options: condition::options(chance, year, choice.new_usd),
            lot_number: auction.map(|it| it.lot_number.clone()),
            auction_date: auction.map(|it| it.date),
            auction_count: auction.and_then(|it| it.count),
            auction_result: auction.map(|it| it.result),
            order_cutoff_at: auction.and_then(Auction::order_cutoff_at),
            buy_now: auction.is_none_or(Auction::is_buy_now),
            pricing: Pricing::new(price.clamp(1_500, 70_000) / 10 * 10, self.listed_at),
            thumbnail_url,
            listed_at: self.listed_at,
            updated_at: self.listed_at,
            vin: chance.unless(6, vin),
            license_plate: chance.unless(4, plate),
            first_registered_on: chance.unless(4, registered),
            location: chance.unless(3, self.location),
            photos,
            inspection: is_inspected.then_some(inspection),
            description: description.filter(|_| auction.is_none()),
            result_at: auction.and_then(|it| it.result_at),
            id: self.id,
        })
    }
}

impl Choice {
    fn draw(chance: &mut Chance) -> Option<Self> {
        let model = chance.weigh(MODELS, |model| model.share)?;
        let kind = chance.pick(model.kinds)?;
        let (trim, thousands) = chance.pick(kind.trims)?;
        let drivetrain = chance.pick(kind.drivetrains)?;
        // All-wheel drive costs extra if it is not the only choice.
        let extra = if kind.drivetrains.first() == Some(drivetrain) {
            0
        } else {
            1_500
        };
        Some(Self {
            model,
            kind,
            trim,
            new_usd: thousands * 1_000 + extra,
            drivetrain,
        })
    }

    /// Returns the name that buyers use, such as `4th Gen Diesel 2.2 Prestige 4WD`.
    fn trim_text(&self) -> String {
        let is_named = self.kind.drivetrains.len() > 1 && matches!(self.drivetrain, "4WD" | "AWD");
        let drive = if is_named { self.drivetrain } else { "" };
        let words = [self.model.generation, self.kind.name, self.trim, drive];
        let words: Vec<&str> = words.into_iter().filter(|word| !word.is_empty()).collect();
        words.join(" ")
    }

    /// Draws a dealer's price of the flawless vehicle. Only integers are used, so that the result is the same on every
    /// machine.
    fn price(&self, chance: &mut Chance, age_days: i64, mileage_km: i64) -> i64 {
        let yearly_loss = match (self.model.is_import(), self.kind.fuel) {
            (true, _) | (false, Fuel::Electric | Fuel::Hydrogen) => 14,
            (false, _) => 10,
        };
        let mut price = self.new_usd * 90 / 100;
        for _ in 0..age_days / 365 {
            price -= price * yearly_loss / 100;
        }
        price -= price * yearly_loss * (age_days % 365) / 36_500;
        let excess_km = mileage_km - age_days * 42;
        let by_mileage = (100 - excess_km / 5_000).clamp(75, 115);
        price * by_mileage / 100 * chance.between(95, 105) / 100
    }
}

/// Draws the pictures of a vehicle: returns the URLs of a small one and of all others.
fn pictures(chance: &mut Chance, id: &str) -> (Option<String>, Vec<String>) {
    let count = if chance.percent(4) {
        0
    } else {
        chance.between(4, 12)
    };
    let thumbnail_url = format!("https://images.example.com/{id}/thumbnail.jpg");
    let photos = (1..=count).map(|n| format!("https://images.example.com/{id}/{n:02}.jpg"));
    ((count > 0).then_some(thumbnail_url), photos.collect())
}

/// Draws the day of the first registration: while the model was built, and at least 180 days before the listing.
fn registered(chance: &mut Chance, years: (i16, i16), listed_on: NaiveDate) -> Option<NaiveDate> {
    let first = NaiveDate::from_ymd_opt(years.0.into(), 2, 1)?;
    let last = NaiveDate::from_ymd_opt(years.1.into(), 12, 20)?;
    let days = (last.min(listed_on - TimeDelta::days(180)) - first).num_days();
    Some(first + TimeDelta::days(chance.between(0, days.max(0))))
}

/// Draws the distance driven, in kilometers: about 16,000 a year, and a third more with LPG, the cheaper fuel.
fn mileage(chance: &mut Chance, age_days: i64, fuel: Fuel) -> i64 {
    let daily = chance.between(8, 40) + chance.between(7, 35);
    let daily = if fuel == Fuel::Lpg {
        daily * 4 / 3
    } else {
        daily
    };
    // Older vehicles are driven less.
    let days = age_days.min(2_500) + (age_days - 2_500).max(0) * 2 / 3;
    days * daily + chance.between(100, 1_500)
}
