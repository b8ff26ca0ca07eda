//! [`Filter`]: which vehicles a list shows, as a list of conditions.
//!
//! The table in [`filters`](super::filters) says which filters there are and how each becomes a [`Condition`].

use std::fmt::{self, Debug, Write};

use chrono::NaiveDate;

use super::{model::Source, search::Kind};
use crate::word::Word;

/// A number that filters limit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Field {
    /// The model year.
    Year,
    /// The mileage, in kilometres.
    Mileage,
    /// The price, in US dollars.
    Price,
    /// How often the vehicle has come up for auction.
    AuctionCount,
}

/// What a vehicle must have to be shown. Texts are folded.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Condition {
    /// One of these ids; text that cannot be an id names none.
    Ids(Vec<String>),
    /// Words of make, model or trim that begin like all of these.
    Beginnings(Vec<String>),
    /// One of these values.
    AnyOf(Kind, Vec<String>),
    /// All of these values.
    AllOf(Kind, Vec<String>),
    /// A number within a range; either end may be open.
    Within(Field, Option<i64>, Option<i64>),
    /// An auction on one of these days in Korea; either end may be open.
    Days(Option<NaiveDate>, Option<NaiveDate>),
    /// An auction that is open to orders, or a price to buy at.
    Orderable,
}

/// A condition that is in use.
#[derive(Debug, Clone)]
pub(crate) struct Used {
    /// The name by which cursors know it.
    pub(super) name: &'static str,
    /// Whether no dealer's vehicle satisfies it.
    pub(super) drops_dealers: bool,
    pub(super) condition: Condition,
}

/// Which vehicles a list shows: those that satisfy every condition.
#[derive(Debug, Clone, Default)]
pub(crate) struct Filter(Vec<Used>);

impl Filter {
    /// Makes a filter of the conditions in use, in the order of their canonical form.
    pub(super) fn new(used: Vec<Used>) -> Self {
        Self(used)
    }

    /// Returns the conditions.
    pub(crate) fn conditions(&self) -> impl Iterator<Item = &Condition> {
        self.0.iter().map(|it| &it.condition)
    }

    /// Says whether a filter is in use.
    pub(super) fn names(&self, name: &str) -> bool {
        self.0.iter().any(|it| it.name == name)
    }

    /// Says whether dealers' vehicles are in scope.
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

    /// Says whether a condition is in use that no dealer's vehicle satisfies.
    pub(crate) fn drops_dealers(&self) -> bool {
        self.0.iter().any(|it| it.drops_dealers)
    }

    /// Says whether time alone changes which vehicles satisfy it.
    pub(crate) fn depends_on_time(&self) -> bool {
        self.conditions().any(|it| *it == Condition::Orderable)
    }

    /// Returns the filter of the dealers' vehicles that are dropped: they satisfy all that they can.
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

    /// Returns the one spelling of this filter, in which the order of values and their case do not matter.
    ///
    /// Cursors hold a digest of it and do not expire, so a condition that is not in use leaves no trace.
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
                    // The debug form quotes, so that no value can look like two.
                    note(&mut text, name, format_args!("{values:?}"));
                }
                Condition::Within(_, min, max) => {
                    note(&mut text, name, format_args!("{min:?}..{max:?}"));
                }
                Condition::Days(from, to) => {
                    note(&mut text, name, format_args!("{from:?}..{to:?}"));
                }
                Condition::Orderable => note(&mut text, name, format_args!("true")),
            }
        }
        text
    }
}

/// The name of the filter by source.
pub(super) const SOURCE: &str = "source";

fn note(text: &mut String, name: &str, value: fmt::Arguments<'_>) {
    // Writing to a string cannot fail.
    let _ = write!(text, "{name}={value};");
}
