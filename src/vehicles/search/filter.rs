//! [`Filter`]: the conditions that select the vehicles of a list, and [`Sort`]: the order of the list.
//!
//! The table in [`filters`](crate::vehicles::filters) defines how each filter is parsed into a [`Condition`].

use std::fmt::{self, Debug, Write};

use chrono::NaiveDate;

use super::tokens::Kind;
use crate::{values::string_enum::StringEnum, vehicles::model::Source};

/// The name of the filter by source.
pub(crate) const SOURCE: &str = "source";

/// A number of a vehicle that a filter can limit to a range.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Field {
    /// The model year.
    Year,
    /// The mileage, in kilometers.
    Mileage,
    /// The price, in US dollars.
    Price,
    /// The number of times the vehicle has come up for auction.
    AuctionCount,
}

/// A condition that a vehicle must satisfy to be listed. Texts are [folded](super::fold), except in `Ids`.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Condition {
    /// The id is one of these; a text that is not a valid id matches no vehicle.
    Ids(Vec<String>),
    /// Each of these texts is the beginning of a word of the make, model or trim.
    Beginnings(Vec<String>),
    /// The vehicle has one of these values.
    AnyOf(Kind, Vec<String>),
    /// The vehicle has all of these values.
    AllOf(Kind, Vec<String>),
    /// The number is within a range, ends included; either end may be open.
    Within(Field, Option<i64>, Option<i64>),
    /// The auction is on one of these days in Korea, ends included; either end may be open.
    Days(Option<NaiveDate>, Option<NaiveDate>),
    /// The vehicle can be ordered: its auction is open to orders, or it is for sale at its price.
    Orderable,
}

/// A condition of a filter that is in use.
#[derive(Debug, Clone)]
pub(crate) struct Used {
    /// The name in the canonical form.
    pub(crate) name: &'static str,
    /// Whether no dealer's vehicle can satisfy it.
    pub(crate) drops_dealers: bool,
    pub(crate) condition: Condition,
}

/// The conditions of a list, which shows the vehicles that satisfy all of them.
#[derive(Debug, Clone, Default)]
pub(crate) struct Filter(Vec<Used>);

impl Filter {
    /// Creates a filter from the conditions in use, in the order of the canonical form.
    pub(crate) fn new(used: Vec<Used>) -> Self {
        Self(used)
    }

    /// Returns the conditions.
    pub(crate) fn conditions(&self) -> impl Iterator<Item = &Condition> {
        self.0.iter().map(|it| &it.condition)
    }

    /// Returns whether the filter with this name is in use.
    pub(crate) fn names(&self, name: &str) -> bool {
        self.0.iter().any(|it| it.name == name)
    }

    /// Returns whether dealers' vehicles are in scope: no filter by source is in use, or it includes dealers.
    pub(crate) fn covers_dealers(&self) -> bool {
        self.conditions().all(|it| match it {
            Condition::AnyOf(Kind::Source, sources) => sources
                .iter()
                .any(|source| source == Source::Dealer.as_str()),
            Condition::AnyOf(..)
            | Condition::AllOf(..)
            | Condition::Ids(_)
            | Condition::Beginnings(_)
            | Condition::Within(..)
            | Condition::Days(..)
            | Condition::Orderable => true,
        })
    }

    /// Returns whether a condition is in use that no dealer's vehicle can satisfy.
    pub(crate) fn drops_dealers(&self) -> bool {
        self.0.iter().any(|it| it.drops_dealers)
    }

    /// Returns whether the set of matching vehicles can change with time alone.
    pub(crate) fn depends_on_time(&self) -> bool {
        self.conditions().any(|it| *it == Condition::Orderable)
    }

    /// Returns the filter that matches the dropped dealers' vehicles: those that satisfy all other conditions.
    pub(crate) fn dropped_dealers(&self) -> Self {
        let is_kept = |it: &&Used| !it.drops_dealers && it.name != SOURCE;
        let dealers = vec![Source::Dealer.as_str().to_owned()];
        let dealers = Used {
            name: SOURCE,
            drops_dealers: false,
            condition: Condition::AnyOf(Kind::Source, dealers),
        };
        let kept = self.0.iter().filter(is_kept).cloned();
        Self(kept.chain([dealers]).collect())
    }

    /// Returns the canonical form of this filter, which does not depend on the order and the case of values.
    ///
    /// Cursors contain a digest of it and do not expire, so an unused filter must not appear in it.
    pub(crate) fn canonical(&self) -> String {
        let mut text = String::new();
        for Used {
            name, condition, ..
        } in &self.0
        {
            match condition {
                Condition::Ids(values)
                | Condition::Beginnings(values)
                | Condition::AnyOf(_, values)
                | Condition::AllOf(_, values) => {
                    let mut values: Vec<&String> = values.iter().collect();
                    values.sort_unstable();
                    values.dedup();
                    // The debug form quotes the values, so that one value cannot look like two.
                    append(&mut text, name, format_args!("{values:?}"));
                }
                Condition::Within(_, min, max) => {
                    append(&mut text, name, format_args!("{min:?}..{max:?}"));
                }
                Condition::Days(from, to) => {
                    append(&mut text, name, format_args!("{from:?}..{to:?}"));
                }
                Condition::Orderable => append(&mut text, name, format_args!("true")),
            }
        }
        text
    }
}

fn append(text: &mut String, name: &str, value: fmt::Arguments<'_>) {
    // Writing to a string cannot fail.
    let _ = write!(text, "{name}={value};");
}

/// The order of a list of vehicles. Vehicles with equal values are ordered by id, in the same direction.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Sort {
    /// Earliest auction first, dealers' vehicles last.
    AuctionDateAsc,
    /// Cheapest first.
    PriceAsc,
    /// Most expensive first.
    PriceDesc,
    /// Newest model year first.
    YearDesc,
    /// Lowest mileage first.
    MileageAsc,
}

impl Sort {
    /// All sort orders by name; the first is the default.
    pub(crate) const ALL: &'static [(&'static str, Self)] = &[
        ("auction_date_asc", Self::AuctionDateAsc),
        ("price_asc", Self::PriceAsc),
        ("price_desc", Self::PriceDesc),
        ("year_desc", Self::YearDesc),
        ("mileage_asc", Self::MileageAsc),
    ];

    /// Returns whether the order is descending, by value and by id.
    pub(crate) fn is_descending(self) -> bool {
        matches!(self, Self::PriceDesc | Self::YearDesc)
    }
}
