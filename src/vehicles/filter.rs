//! What can be asked of the catalogue, and the conditions that ask it.
//!
//! Lists are the statements that are put together at run time, always with binds. A filter is a member of [`Filter`],
//! a line in [`Filter::canonical`], and a line where it is asked: with the terms or with the conditions.

use std::fmt::{self, Debug, Write};

use chrono::{DateTime, Days, NaiveDate, Utc};
use sqlx::{Postgres, QueryBuilder};

use super::{
    model::{AuctionResult, Fuel, Grade, Source, Transmission},
    sort::Sort,
    terms::{Kind, Question},
};
use crate::{stamp::Stamp, word::Word};

/// Ways into an index that one walk merges; more values than that are looked for on the way.
const LANES_MAX: usize = 25;

/// A range with both ends in it, each of which may be open.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Span<T> {
    /// The least value.
    pub min: Option<T>,
    /// The greatest value.
    pub max: Option<T>,
}

impl<T> Span<T> {
    /// Says whether anything is outside.
    fn is_bounded(&self) -> bool {
        self.min.is_some() || self.max.is_some()
    }
}

impl<T> Default for Span<T> {
    fn default() -> Self {
        let (min, max) = (None, None);
        Self { min, max }
    }
}

/// Which cars: every part that is in use must hold; of several values one is enough, but for `options`.
#[derive(Debug, Clone, Default)]
pub(crate) struct Filter {
    /// These cars; text that cannot be an id names none.
    pub ids: Vec<String>,
    /// Words that begin like all of these, folded.
    pub keyword: Vec<String>,
    /// These brands, folded.
    pub make: Vec<String>,
    /// These models, folded.
    pub model: Vec<String>,
    /// These sources.
    pub source: Vec<Source>,
    /// What it runs on.
    pub fuel: Vec<Fuel>,
    /// How the gears change.
    pub transmission: Vec<Transmission>,
    /// These colors, folded.
    pub color: Vec<String>,
    /// All of this equipment, folded.
    pub options: Vec<String>,
    /// Model years.
    pub year: Span<i64>,
    /// Kilometres.
    pub mileage_km: Span<i64>,
    /// Dollars.
    pub price_usd: Span<i64>,
    /// Grades of frame and body. Like everything below, it drops dealers' cars, which have none.
    pub accident_grade: Vec<Grade>,
    /// Grades of the outside.
    pub exterior_grade: Vec<Grade>,
    /// Auctions that stand like this.
    pub auction_status: Vec<AuctionResult>,
    /// Days of the auction, in Korea.
    pub auction_date: Span<NaiveDate>,
    /// How often it has come up.
    pub auction_count: Span<i64>,
}

/// One value that a column is compared with.
#[derive(Debug, Clone, Copy)]
enum Bound {
    Number(i64),
    Time(DateTime<Utc>),
}

/// How one column must compare with one value.
#[derive(Debug, Clone, Copy)]
struct Condition {
    column: &'static str,
    sign: &'static str,
    bound: Bound,
}

/// Columns with the one value that each has in a part of an index.
pub(super) type Lane = Vec<(&'static str, String)>;

impl Filter {
    /// Says whether dealers' cars are asked for at all.
    pub(crate) fn covers_dealers(&self) -> bool {
        self.source.is_empty() || self.source.contains(&Source::Dealer)
    }

    /// Says whether a part is in use that a dealer's car cannot satisfy.
    pub(crate) fn drops_dealers(&self) -> bool {
        !self.accident_grade.is_empty()
            || !self.exterior_grade.is_empty()
            || !self.auction_status.is_empty()
            || self.auction_date.is_bounded()
            || self.auction_count.is_bounded()
    }

    /// Returns the same question about dealers' cars alone, without the parts that drop them.
    pub(crate) fn dropped_dealers(&self) -> Self {
        Self {
            source: vec![Source::Dealer],
            accident_grade: Vec::new(),
            exterior_grade: Vec::new(),
            auction_status: Vec::new(),
            auction_date: Span::default(),
            auction_count: Span::default(),
            ..self.clone()
        }
    }

    /// Returns the one spelling of this question, in which order and case of values do not matter.
    ///
    /// Cursors hold a digest of it and do not expire, so a part that is not in use leaves no trace.
    pub(crate) fn canonical(&self) -> String {
        let mut text = String::new();
        values(&mut text, "ids", self.ids.clone());
        values(&mut text, "keyword", self.keyword.clone());
        values(&mut text, "make", self.make.clone());
        values(&mut text, "model", self.model.clone());
        values(&mut text, "source", words(&self.source));
        values(&mut text, "fuel", words(&self.fuel));
        values(&mut text, "transmission", words(&self.transmission));
        values(&mut text, "color", self.color.clone());
        values(&mut text, "options", self.options.clone());
        span(&mut text, "year", self.year);
        span(&mut text, "mileage_km", self.mileage_km);
        span(&mut text, "price_usd", self.price_usd);
        values(&mut text, "accident_grade", words(&self.accident_grade));
        values(&mut text, "exterior_grade", words(&self.exterior_grade));
        values(&mut text, "auction_status", words(&self.auction_status));
        span(&mut text, "auction_date", self.auction_date);
        span(&mut text, "auction_count", self.auction_count);
        text
    }

    /// Returns the parts of an index of `sort` in which alone the cars can be; one part without a column is all of it.
    pub(super) fn lanes(&self, sort: Sort) -> Vec<Lane> {
        let models = || {
            let of_make = |make: &String| {
                let make = make.clone();
                self.model.iter().map(move |model| {
                    vec![("make_key", make.clone()), ("model_key", model.clone())]
                })
            };
            self.make.iter().flat_map(of_make).collect()
        };
        let mut lanes: Vec<Lane> = match sort {
            Sort::AuctionDateAsc | Sort::PriceAsc | Sort::PriceDesc if !self.model.is_empty() => {
                models()
            }
            Sort::AuctionDateAsc => self.auctions(),
            Sort::PriceAsc | Sort::PriceDesc | Sort::YearDesc | Sort::MileageAsc => Vec::new(),
        };
        // A value that stands twice would show its cars twice.
        lanes.sort();
        lanes.dedup();
        match lanes.len() {
            1..=LANES_MAX => lanes,
            _ => vec![Lane::new()],
        }
    }

    /// Returns the lanes of auctions: each house holds its own on its own days, so that they are not spread evenly.
    fn auctions(&self) -> Vec<Lane> {
        if self.covers_dealers() && self.auction_status.is_empty() {
            return Vec::new();
        }
        let is_asked = |source: &&Source| {
            **source != Source::Dealer && (self.source.is_empty() || self.source.contains(source))
        };
        let states = match self.auction_status.as_slice() {
            [] => AuctionResult::ALL,
            states => states,
        };
        let of_house = |house: &Source| {
            let house = house.as_str();
            let lane = |state: &AuctionResult| {
                let state = state.as_str().to_owned();
                vec![("source", house.to_owned()), ("auction_result", state)]
            };
            states.iter().map(lane).collect::<Vec<_>>()
        };
        Source::ALL
            .iter()
            .filter(is_asked)
            .flat_map(of_house)
            .collect()
    }

    /// Appends ` and …` for what holds of the column that `sort` is by: where in its index the walk begins and ends.
    pub(super) fn push_stretch(&self, sort: Sort, query: &mut QueryBuilder<Postgres>) {
        for condition in self.conditions() {
            if condition.column == sort.column() {
                condition.push(query);
            }
        }
        if sort == Sort::AuctionDateAsc && (self.drops_dealers() || !self.covers_dealers()) {
            query.push(" and auction_order < 'infinity'");
        }
    }

    /// Appends ` and …` for every part in use.
    pub(super) fn push(&self, query: &mut QueryBuilder<Postgres>) {
        let mut any_of = |column: &str, values: Vec<String>| {
            if !values.is_empty() {
                query
                    .push(format_args!(" and {column} = any("))
                    .push_bind(values)
                    .push(")");
            }
        };
        any_of("id", self.ids.clone());
        any_of("auction_result", words(&self.auction_status));
        if let Some(question) = self.question().into_expression() {
            query
                .push(" and terms @@ ")
                .push_bind(question)
                .push("::tsquery");
        }
        for condition in self.conditions() {
            condition.push(query);
        }
    }

    /// Returns what the terms of a car are asked.
    fn question(&self) -> Question {
        let mut question = Question::default();
        question.any_of(Kind::Make, &self.make);
        question.any_of(Kind::Model, &self.model);
        question.any_of(Kind::Source, words(&self.source));
        question.any_of(Kind::Fuel, words(&self.fuel));
        question.any_of(Kind::Transmission, words(&self.transmission));
        question.any_of(Kind::Color, &self.color);
        question.any_of(Kind::AccidentGrade, words(&self.accident_grade));
        question.any_of(Kind::ExteriorGrade, words(&self.exterior_grade));
        question.all_of(Kind::Option, &self.options);
        question.beginning_with(&self.keyword);
        question
    }

    /// Returns what the numbers and times of a car are compared with.
    fn conditions(&self) -> Vec<Condition> {
        let numbers = [
            ("year", self.year),
            ("mileage_km", self.mileage_km),
            ("listing_usd", self.price_usd),
            ("auction_count", self.auction_count),
        ];
        let mut conditions = Vec::new();
        for (column, Span { min, max }) in numbers {
            let min = min.map(|it| (">=", it));
            let max = max.map(|it| ("<=", it));
            conditions.extend(min.into_iter().chain(max).map(|(sign, it)| Condition {
                column,
                sign,
                bound: Bound::Number(it),
            }));
        }
        let begins = |day: NaiveDate| Bound::Time(Stamp::midnight_in_korea(day).instant());
        let from = self.auction_date.min.map(|day| (">=", begins(day)));
        let day_after = |day: NaiveDate| day.checked_add_days(Days::new(1)).unwrap_or(day);
        let until = self
            .auction_date
            .max
            .map(|day| ("<", begins(day_after(day))));
        conditions.extend(
            from.into_iter()
                .chain(until)
                .map(|(sign, bound)| Condition {
                    column: "auction_order",
                    sign,
                    bound,
                }),
        );
        conditions
    }
}

impl Condition {
    /// Appends ` and …`.
    fn push(self, query: &mut QueryBuilder<Postgres>) {
        let Self {
            column,
            sign,
            bound,
        } = self;
        query.push(format_args!(" and {column} {sign} "));
        match bound {
            Bound::Number(number) => query.push_bind(number),
            Bound::Time(time) => query.push_bind(time),
        };
        if column == "auction_order" && sign == ">=" {
            // A car without an auction is in the column, as the last one.
            query.push(" and auction_order < 'infinity'");
        }
    }
}

/// Writes the values of a part, sorted, each but once. The debug form quotes, so that no value can look like two.
fn values(text: &mut String, name: &str, mut values: Vec<String>) {
    values.sort();
    values.dedup();
    if !values.is_empty() {
        note(text, name, format_args!("{values:?}"));
    }
}

/// Writes a part that is a range.
fn span<T: Debug + Copy>(text: &mut String, name: &str, span: Span<T>) {
    if span.is_bounded() {
        note(text, name, format_args!("{:?}..{:?}", span.min, span.max));
    }
}

fn note(text: &mut String, name: &str, value: fmt::Arguments<'_>) {
    // Writing to a string cannot fail.
    let _ = write!(text, "{name}={value};");
}

fn words<W: Word>(values: &[W]) -> Vec<String> {
    values
        .iter()
        .map(|value| value.as_str().to_owned())
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn order_within_a_filter_does_not_matter_and_what_is_not_in_use_leaves_no_trace() {
        let one = Filter {
            make: vec!["kia".into(), "hyundai".into()],
            source: vec![Source::Sk, Source::Aj],
            ..Filter::default()
        };
        let two = Filter {
            make: vec!["hyundai".into(), "kia".into(), "kia".into()],
            source: vec![Source::Aj, Source::Sk],
            ..Filter::default()
        };
        assert_eq!(
            one.canonical(),
            r#"make=["hyundai", "kia"];source=["aj", "sk"];"#
        );
        assert_eq!(one.canonical(), two.canonical());
        let other_part = Filter {
            model: one.make.clone(),
            make: Vec::new(),
            ..one.clone()
        };
        assert_ne!(one.canonical(), other_part.canonical());
        let joined = Filter {
            make: vec!["hyundai\", \"kia".into()],
            ..two
        };
        assert_ne!(one.canonical(), joined.canonical());
    }

    #[test]
    fn a_walk_begins_where_an_index_has_a_place_for_it() {
        let columns = |filter: &Filter, sort| -> Vec<Vec<&str>> {
            let lanes = filter.lanes(sort);
            let names = |lane: Lane| lane.into_iter().map(|(column, _)| column).collect();
            lanes.into_iter().map(names).collect()
        };
        let houses = Filter {
            source: vec![Source::Sk, Source::Aj],
            auction_status: vec![AuctionResult::Upcoming],
            ..Filter::default()
        };
        let by_house = vec![vec!["source", "auction_result"]; 2];
        assert_eq!(columns(&houses, Sort::AuctionDateAsc), by_house);
        assert_eq!(columns(&houses, Sort::PriceAsc), [[""; 0]]);
        let open = Filter {
            auction_status: Vec::new(),
            ..houses.clone()
        };
        assert_eq!(columns(&open, Sort::AuctionDateAsc).len(), 10);
        assert_eq!(columns(&Filter::default(), Sort::AuctionDateAsc), [[""; 0]]);
        let models = Filter {
            make: vec!["kia".into(), "bmw".into(), "kia".into()],
            model: vec!["k5".into(), "x5".into()],
            ..houses
        };
        let by_model = vec![vec!["make_key", "model_key"]; 4];
        assert_eq!(columns(&models, Sort::AuctionDateAsc), by_model);
        assert_eq!(columns(&models, Sort::PriceDesc), by_model);
        assert_eq!(columns(&models, Sort::YearDesc), [[""; 0]]);
        let many = Filter {
            model: (0..13).map(|n| n.to_string()).collect(),
            ..models
        };
        assert_eq!(columns(&many, Sort::PriceAsc), [[""; 0]]);
    }
}
