//! What can be asked of the catalogue, and the where-clause that asks it.
//!
//! This is the one statement that is put together at run time, always with binds. A filter is one method here, one
//! line in [`Filter::push`] and one in [`Filter::canonical`].

use std::fmt::Write;

use sqlx::{Postgres, QueryBuilder};

use super::model::{AuctionResult, Source};
use crate::word::Word;

/// Which cars: every part that is not empty must hold, one of its values is enough.
#[derive(Debug, Clone, Default)]
pub(crate) struct Filter {
    /// These cars; text that cannot be an id names none.
    pub ids: Vec<String>,
    /// These brands, in any case.
    pub make: Vec<String>,
    /// These models, in any case.
    pub model: Vec<String>,
    /// These sources.
    pub source: Vec<Source>,
    /// Auctions that stand like this. Drops dealers' cars, which have none.
    pub auction_status: Vec<AuctionResult>,
}

impl Filter {
    /// Says whether dealers' cars are asked for at all.
    pub(crate) fn covers_dealers(&self) -> bool {
        self.source.is_empty() || self.source.contains(&Source::Dealer)
    }

    /// Says whether a part is in use that a dealer's car cannot satisfy.
    pub(crate) fn drops_dealers(&self) -> bool {
        !self.auction_status.is_empty()
    }

    /// Returns the same question about dealers' cars alone, without the parts that drop them.
    pub(crate) fn dropped_dealers(&self) -> Self {
        Self {
            source: vec![Source::Dealer],
            auction_status: Vec::new(),
            ..self.clone()
        }
    }

    /// Appends ` and …` for every part in use.
    pub(crate) fn push(&self, query: &mut QueryBuilder<Postgres>) {
        let mut any_of = |column: &str, values: Vec<String>| {
            if !values.is_empty() {
                query
                    .push(format_args!(" and {column} = any("))
                    .push_bind(values)
                    .push(")");
            }
        };
        any_of("id", self.ids.clone());
        any_of("source", words(&self.source));
        any_of("auction_result", words(&self.auction_status));
        // The database lowers both sides, so that they agree on what a lower-case letter is.
        let mut any_name_of = |column: &str, names: &[String]| {
            if !names.is_empty() {
                query.push(format_args!(
                    " and {column} in (select lower(name) from unnest("
                ));
                query.push_bind(names.to_vec()).push("::text[]) as name)");
            }
        };
        any_name_of("make_key", &self.make);
        any_name_of("model_key", &self.model);
    }

    /// Returns the one spelling of this question, in which order and case of values do not matter.
    pub(crate) fn canonical(&self) -> String {
        let mut text = String::new();
        let mut part = |name: &str, mut values: Vec<String>| {
            values.sort();
            values.dedup();
            // Writing to a string cannot fail. The debug form quotes, so that no value can look like two.
            let _ = write!(text, "{name}={values:?};");
        };
        part("ids", self.ids.clone());
        part(
            "make",
            self.make.iter().map(|it| it.to_lowercase()).collect(),
        );
        part(
            "model",
            self.model.iter().map(|it| it.to_lowercase()).collect(),
        );
        part("source", words(&self.source));
        part("auction_status", words(&self.auction_status));
        text
    }
}

fn words<W: Word>(values: &[W]) -> Vec<String> {
    values
        .iter()
        .map(|value| value.as_str().to_owned())
        .collect()
}

/// The orders in which the catalogue can be walked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Sort {
    /// Next auction first, dealers' cars last.
    AuctionDateAsc,
    /// Cheapest first.
    PriceAsc,
    /// Dearest first.
    PriceDesc,
    /// Newest model year first.
    YearDesc,
    /// Least driven first.
    MileageAsc,
}

impl Sort {
    /// All orders by their names; the first is the default.
    pub(crate) const ALL: &'static [(&'static str, Self)] = &[
        ("auction_date_asc", Self::AuctionDateAsc),
        ("price_asc", Self::PriceAsc),
        ("price_desc", Self::PriceDesc),
        ("year_desc", Self::YearDesc),
        ("mileage_asc", Self::MileageAsc),
    ];

    /// Returns the indexed column.
    pub(crate) fn column(self) -> &'static str {
        match self {
            Self::AuctionDateAsc => "auction_order",
            Self::PriceAsc | Self::PriceDesc => "listing_usd",
            Self::YearDesc => "year",
            Self::MileageAsc => "mileage_km",
        }
    }

    /// Returns how a bound whole number becomes a value of the column.
    pub(crate) fn value(self) -> (&'static str, &'static str) {
        match self {
            // Milliseconds; nothing is a car without an auction.
            Self::AuctionDateAsc => (
                "coalesce(to_timestamp(",
                "::double precision / 1000), timestamptz 'infinity')",
            ),
            Self::PriceAsc | Self::PriceDesc | Self::MileageAsc => ("(", ")::integer"),
            Self::YearDesc => ("(", ")::smallint"),
        }
    }

    /// Returns the direction, and what comes after a place in it.
    pub(crate) fn direction(self) -> (&'static str, &'static str) {
        match self {
            Self::AuctionDateAsc | Self::PriceAsc | Self::MileageAsc => ("asc", ">"),
            Self::PriceDesc | Self::YearDesc => ("desc", "<"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn order_and_case_within_a_filter_do_not_matter() {
        let one = Filter {
            make: vec!["Kia".into(), "HYUNDAI".into()],
            source: vec![Source::Sk, Source::Aj],
            ..Filter::default()
        };
        let two = Filter {
            make: vec!["hyundai".into(), "kia".into()],
            source: vec![Source::Aj, Source::Sk],
            ..Filter::default()
        };
        assert_eq!(one.canonical(), two.canonical());
        let three = Filter {
            model: one.make.clone(),
            make: Vec::new(),
            ..one.clone()
        };
        assert_ne!(one.canonical(), three.canonical());
        let joined = Filter {
            make: vec!["kia,hyundai".into()],
            ..two
        };
        assert_ne!(one.canonical(), joined.canonical());
    }
}
