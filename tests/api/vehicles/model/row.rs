//! [`Row`]: a vehicle of the model.

use chrono::{DateTime, FixedOffset};
use rand::{RngExt, rngs::StdRng, seq::IndexedRandom};
use serde_json::{Value, json};

use super::{
    COLORS, FUELS, GRADES, MAKES, MODELS, Name, OPTIONS, RESULTS, SOURCES, TRANSMISSIONS, TRIMS,
    auctions, maybe, maybe_name, one,
};

/// A vehicle of the model.
#[derive(Debug, Clone)]
pub struct Row {
    pub id: String,
    pub(super) source: &'static str,
    pub(super) make: &'static Name,
    pub(super) model: &'static Name,
    trim: Option<&'static Name>,
    pub(super) year: i64,
    pub(super) mileage_km: i64,
    pub(super) listing_usd: i64,
    pub(super) fuel: Option<&'static str>,
    pub(super) transmission: Option<&'static str>,
    pub(super) color: Option<&'static Name>,
    pub(super) options: Vec<&'static Name>,
    pub(super) auction: Option<Lot>,
    pub(super) is_withdrawn: bool,
}

/// The auction of a vehicle.
#[derive(Debug, Clone)]
pub(super) struct Lot {
    pub(super) date: DateTime<FixedOffset>,
    pub(super) result: &'static str,
    pub(super) count: Option<i64>,
    pub(super) accident_grade: Option<&'static str>,
    pub(super) exterior_grade: Option<&'static str>,
}

impl Row {
    /// Makes a random vehicle from few values, so that vehicles tie in every sort.
    pub fn random(rng: &mut StdRng, number: usize) -> Self {
        let source = one(rng, SOURCES);
        let source = if rng.random_ratio(1, 5) {
            "dealer"
        } else {
            source
        };
        let auction = (source != "dealer").then(|| Lot {
            date: one(rng, &auctions()),
            result: one(rng, RESULTS),
            count: maybe(rng, &[1, 2, 3]),
            accident_grade: maybe(rng, GRADES),
            exterior_grade: maybe(rng, GRADES),
        });
        // Ids are compared as bytes, not by the rules of a locale.
        let prefix = one(rng, &["a", "A", "_", "-", "9", "b", "B"]);
        Self {
            id: format!("{prefix}{}", number * 37 % 1_000),
            source,
            make: MAKES.choose(rng).unwrap(),
            model: MODELS.choose(rng).unwrap(),
            trim: maybe_name(rng, TRIMS),
            year: rng.random_range(2016..2021),
            mileage_km: rng.random_range(0..6) * 10_000,
            listing_usd: rng.random_range(1..8) * 1_000,
            fuel: maybe(rng, FUELS),
            transmission: maybe(rng, TRANSMISSIONS),
            color: maybe_name(rng, COLORS),
            options: OPTIONS
                .sample(rng, 2)
                .filter(|it| it.0 != "HUD" || number.is_multiple_of(3))
                .collect(),
            auction,
            is_withdrawn: rng.random_ratio(1, 20),
        }
    }

    /// Reads a vehicle from a list response.
    pub fn shown(vehicle: &Value) -> Self {
        let text = |name: &str| vehicle[name].as_str().map(str::to_owned);
        let number = |name: &str| vehicle[name].as_i64();
        let word = |words: &'static [&'static str], name: &str| {
            let text = text(name)?;
            Some(find_value(words.iter().copied(), |it| *it == text, &text))
        };
        let named = |names: &'static [Name], text: Option<String>| {
            let text = text?;
            Some(find_value(names.iter(), |it| it.0 == text, &text))
        };
        let options = vehicle["options"].as_array().unwrap().iter();
        let option = |it: &Value| named(OPTIONS, it.as_str().map(str::to_owned)).unwrap();
        let auction = text("auction_date").map(|date| Lot {
            date: date.parse().unwrap(),
            result: word(RESULTS, "auction_result").unwrap(),
            count: number("auction_count"),
            accident_grade: word(GRADES, "accident_grade"),
            exterior_grade: word(GRADES, "exterior_grade"),
        });
        Self {
            id: text("id").unwrap(),
            source: word(SOURCES, "source").unwrap(),
            make: named(MAKES, text("make")).unwrap(),
            model: named(MODELS, text("model")).unwrap(),
            trim: named(TRIMS, text("trim")),
            year: number("year").unwrap(),
            mileage_km: number("mileage_km").unwrap(),
            listing_usd: vehicle["pricing"]["listing_usd"].as_i64().unwrap(),
            fuel: word(FUELS, "fuel"),
            transmission: word(TRANSMISSIONS, "transmission"),
            color: named(COLORS, text("color")),
            options: options.map(option).collect(),
            auction,
            is_withdrawn: false,
        }
    }

    /// Returns the values of its columns.
    pub fn columns(&self) -> Value {
        let spelled = |name: &Name| name.0;
        let lot = self.auction.as_ref();
        json!({
            "id": self.id, "source": self.source, "make": self.make.0, "model": self.model.0,
            "trim": self.trim.map(spelled), "year": self.year, "mileage_km": self.mileage_km,
            "listing_usd": self.listing_usd, "fuel": self.fuel, "transmission": self.transmission,
            "color": self.color.map(spelled), "options": self.options.iter().map(|it| it.0).collect::<Vec<_>>(),
            "auction_date": lot.map(|it| it.date.to_rfc3339()),
            "auction_result": lot.map(|it| it.result),
            "auction_result_at": lot.filter(|it| it.result != "upcoming").map(|it| it.date.to_rfc3339()),
            "auction_count": lot.map(|it| it.count),
            "accident_grade": lot.map(|it| it.accident_grade), "exterior_grade": lot.map(|it| it.exterior_grade),
            "withdrawn_at": self.is_withdrawn.then_some("2026-01-03T00:00:00+09:00"),
        })
    }

    /// Returns its key in a sort.
    pub fn place(&self, sort: &str) -> (i64, &str) {
        let value = match sort {
            "auction_date_asc" => self
                .auction
                .as_ref()
                .map_or(i64::MAX, |it| it.date.timestamp_millis()),
            "price_asc" | "price_desc" => self.listing_usd,
            "year_desc" => self.year,
            _ => self.mileage_km,
        };
        (value, &self.id)
    }

    pub(super) fn words(&self) -> impl Iterator<Item = &'static str> {
        let names = [Some(self.make), Some(self.model), self.trim];
        names
            .into_iter()
            .flatten()
            .flat_map(|it| it.2.iter().copied())
    }
}

/// Finds the value that a response shows among all values of the model.
fn find_value<T>(mut all: impl Iterator<Item = T>, is_it: impl Fn(&T) -> bool, text: &str) -> T {
    all.find(is_it)
        .unwrap_or_else(|| panic!("no vehicle has {text}"))
}
