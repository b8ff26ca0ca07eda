//! [`FILTERS`]: the filters of `GET /v1/vehicles`, one entry each.
//!
//! An entry defines how a filter is parsed, how the OpenAPI document describes it and the condition that it becomes.

use std::ops::RangeInclusive;

use utoipa::{
    IntoParams, PartialSchema,
    openapi::path::{Parameter, ParameterIn},
};

use super::{
    model::{AuctionResult, Fuel, Grade, Source, Transmission},
    search::{self, Condition, Field, Filter, Kind, SOURCE, Sort, Used},
};
use crate::{
    errors::{Fault, IssueKind},
    http::{
        describe::{self, csv},
        extract::{FromQuery, Params},
        page::{IDS_MAX, PageQuery, read_sort},
        text::Name,
    },
    values::string_enum::StringEnum,
};

/// Maximum number of values of one filter.
const VALUES_MAX: usize = 100;
/// Maximum number of words of a keyword.
const WORDS_MAX: usize = 16;

const YEARS: RangeInclusive<i64> = 1900..=2100;
const KILOMETERS: RangeInclusive<i64> = 0..=10_000_000;
const DOLLARS: RangeInclusive<i64> = 0..=10_000_000;
const COUNTS: RangeInclusive<i64> = 0..=1_000;

/// A filter of the list.
struct Entry {
    /// The name in the canonical form. Cursors depend on it and do not expire, so it must never change.
    name: &'static str,
    /// The query parameters that it is parsed from, each with its description.
    params: &'static [(&'static str, &'static str)],
    form: Form,
    /// Whether no dealer's vehicle can satisfy it.
    drops_dealers: bool,
}

/// The syntax of a filter, and the condition that it becomes.
enum Form {
    Ids,
    Keyword,
    /// Names in any spelling, of which a vehicle must have one.
    AnyName(Kind),
    /// Names in any spelling, of which a vehicle must have all.
    AllNames(Kind),
    /// Values of a fixed list, of which a vehicle must have one.
    AnyWord(Kind, ReadWords, DescribeWords),
    /// The maximum of a number.
    AtMost(Field, RangeInclusive<i64>),
    /// The minimum and the maximum of a number.
    Between(Field, RangeInclusive<i64>),
    /// The first and the last day.
    Days,
    True(Condition),
}

type ReadWords = fn(&mut Params, &str) -> Vec<String>;
type DescribeWords = fn(&str, &str) -> Parameter;

/// All filters, in the order of the canonical form; add new ones at the end.
#[rustfmt::skip]
static FILTERS: &[Entry] = &[
    any("ids", Form::Ids, &[("ids", "Vehicles with these ids; unknown ids are ignored.")]),
    any("keyword", Form::Keyword,
        &[("keyword", "Words that must each begin a word of the make, model or trim, in any case and script.")]),
    any("make", Form::AnyName(Kind::Make), &[("make", "Vehicles of these makes, in any case.")]),
    any("model", Form::AnyName(Kind::Model), &[("model", "Vehicles of these models, in any case. Requires `make`.")]),
    any(SOURCE, words::<Source>(Kind::Source),
        &[("source", "Vehicles of these sources. If it is absent or contains `dealer`, `make` or `ids` is required.")]),
    any("fuel", words::<Fuel>(Kind::Fuel), &[("fuel", "Vehicles with these fuels.")]),
    any("transmission", words::<Transmission>(Kind::Transmission),
        &[("transmission", "Vehicles with these transmissions.")]),
    any("color", Form::AnyName(Kind::Color), &[("color", "Vehicles with these body colors, in any case.")]),
    any("options", Form::AllNames(Kind::Option),
        &[("options_include", "Vehicles with all of this equipment, in any case.")]),
    any("year", Form::Between(Field::Year, YEARS),
        &[("year_min", "The oldest model year."), ("year_max", "The newest model year.")]),
    any("mileage_km", Form::AtMost(Field::Mileage, KILOMETERS),
        &[("mileage_max_km", "The highest mileage, in kilometers.")]),
    any("price_usd", Form::Between(Field::Price, DOLLARS),
        &[("price_min_usd", "The lowest price, in whole US dollars."),
          ("price_max_usd", "The highest price, in whole US dollars.")]),
    lots("accident_grade", words::<Grade>(Kind::AccidentGrade), &[("accident_grade", "Grades of frame and body.")]),
    lots("exterior_grade", words::<Grade>(Kind::ExteriorGrade), &[("exterior_grade", "Grades of the exterior.")]),
    lots("auction_status", words::<AuctionResult>(Kind::AuctionStatus),
        &[("auction_status", "States of the auction.")]),
    lots("auction_date", Form::Days,
        &[("auction_date_from", "The first day of the auction, in Korea."),
          ("auction_date_to", "The last day of the auction, in Korea.")]),
    lots("auction_count", Form::Between(Field::AuctionCount, COUNTS),
        &[("auction_count_min", "The lowest number of times that the vehicle has come up for auction."),
          ("auction_count_max", "The highest number of times that the vehicle has come up for auction.")]),
    any("orderable", Form::True(Condition::Orderable),
        &[("orderable", "`true`: vehicles that can be ordered now: lots before their cutoff, and buy-now vehicles.")]),
];

/// Returns an entry that any vehicle can satisfy.
const fn any(
    name: &'static str,
    form: Form,
    params: &'static [(&'static str, &'static str)],
) -> Entry {
    Entry {
        name,
        params,
        form,
        drops_dealers: false,
    }
}

/// Returns an entry that only lots can satisfy.
const fn lots(
    name: &'static str,
    form: Form,
    params: &'static [(&'static str, &'static str)],
) -> Entry {
    let mut entry = any(name, form, params);
    entry.drops_dealers = true;
    entry
}

const fn words<W: StringEnum + PartialSchema>(kind: Kind) -> Form {
    Form::AnyWord(
        kind,
        |params, name| {
            let words: Vec<W> = params.csv(name, VALUES_MAX);
            words.iter().map(|it| it.as_str().to_owned()).collect()
        },
        |name, description| csv::<W>(name, VALUES_MAX, description),
    )
}

/// Query parameters of `GET /v1/vehicles`.
#[derive(Debug)]
pub(crate) struct ListVehicles {
    pub(super) filter: Filter,
    pub(super) sort: (&'static str, Sort),
    pub(super) page: PageQuery,
}

impl FromQuery for ListVehicles {
    fn from_query(params: &mut Params) -> Option<Self> {
        let used = FILTERS.iter().filter_map(|it| it.read(params)).collect();
        let filter = Filter::new(used);
        if params.has("model") && !params.has("make") {
            let fault = Fault::new(IssueKind::Requires, "`model` requires `make`");
            let issue = fault.expected("make").at("model", None);
            params.issues().push(issue);
        }
        // If no source could be parsed, only that error is reported.
        let is_open = filter.covers_dealers() && (filter.names(SOURCE) || !params.has(SOURCE));
        if is_open && !params.has("make") && !params.has("ids") {
            let message = "dealers' vehicles require `make` or `ids`; otherwise limit `source` to auction houses";
            let fault = Fault::new(IssueKind::Requires, message);
            params
                .issues()
                .push(fault.expected("make").at("make", None));
            params.issues().point_at("make");
        }
        let sort = read_sort(params, Sort::ALL);
        let page = PageQuery::read(params);
        Some(Self {
            filter,
            sort: sort?,
            page,
        })
    }
}

impl IntoParams for ListVehicles {
    fn into_params(no: impl Fn() -> Option<ParameterIn>) -> Vec<Parameter> {
        let sort = "The order of the list. `auction_date_asc` puts dealers' vehicles last.";
        let mut parameters: Vec<_> = FILTERS.iter().flat_map(Entry::describe).collect();
        parameters.push(describe::sort(Sort::ALL, sort));
        parameters.extend(PageQuery::into_params(no));
        parameters
    }
}

impl Entry {
    /// Parses the filter; `None` if it is not in use.
    fn read(&self, params: &mut Params) -> Option<Used> {
        let (first, _) = self.params.first()?;
        let (last, _) = self.params.last()?;
        let condition = match &self.form {
            Form::Ids => Condition::Ids(texts(params, first, IDS_MAX)?),
            Form::Keyword => Condition::Beginnings(keyword(params, first)?),
            Form::AnyName(kind) => Condition::AnyOf(*kind, folded(params, first)?),
            Form::AllNames(kind) => Condition::AllOf(*kind, folded(params, first)?),
            Form::AnyWord(kind, read, _) => Condition::AnyOf(*kind, some(read(params, first))?),
            Form::AtMost(field, bounds) => {
                let max = params.integer(first, bounds.clone())?;
                Condition::Within(*field, None, Some(max))
            }
            Form::Between(field, bounds) => {
                let min = params.integer(first, bounds.clone());
                let max = params.integer(last, bounds.clone());
                let (min, max) = range(params, (first, min), (last, max))?;
                Condition::Within(*field, min, max)
            }
            Form::Days => {
                let (min, max) = (params.get(first), params.get(last));
                let (from, to) = range(params, (first, min), (last, max))?;
                Condition::Days(from, to)
            }
            Form::True(condition) => is_true(params, first).then(|| condition.clone())?,
        };
        Some(Used {
            name: self.name,
            drops_dealers: self.drops_dealers,
            condition,
        })
    }

    /// Returns the OpenAPI descriptions of its parameters.
    fn describe(&self) -> impl Iterator<Item = Parameter> {
        self.params.iter().map(|(name, description)| {
            let description = &match self.drops_dealers {
                false => (*description).to_owned(),
                true => format!(
                    "{description} Drops dealers' vehicles, which have no auction; `X-LMN-Filtered-Out` counts them."
                ),
            };
            match &self.form {
                Form::Ids => csv::<Name>(name, IDS_MAX, description),
                Form::Keyword => describe::query::<Name>(name, description),
                Form::AnyName(_) | Form::AllNames(_) => csv::<Name>(name, VALUES_MAX, description),
                Form::AnyWord(_, _, describe) => describe(name, description),
                Form::AtMost(_, bounds) | Form::Between(_, bounds) => {
                    describe::bound(name, bounds, description)
                }
                Form::Days => describe::day(name, description),
                Form::True(_) => {
                    let only = describe::text().enum_values(Some(["true"]));
                    describe::query_text(name, description, only)
                }
            }
        })
    }
}

fn some<T>(values: Vec<T>) -> Option<Vec<T>> {
    (!values.is_empty()).then_some(values)
}

fn texts(params: &mut Params, name: &str, max: usize) -> Option<Vec<String>> {
    let names: Vec<Name> = params.csv(name, max);
    some(names.into_iter().map(|Name(text)| text).collect())
}

fn folded(params: &mut Params, name: &str) -> Option<Vec<String>> {
    let texts = texts(params, name, VALUES_MAX)?;
    Some(texts.iter().map(|it| search::fold(it)).collect())
}

/// Parses a keyword into its words.
fn keyword(params: &mut Params, name: &str) -> Option<Vec<String>> {
    let Name(text) = params.get(name)?;
    let words = search::words(&text);
    let fault = match words.len() {
        0 => Fault::new(
            IssueKind::InvalidValue,
            "`keyword` contains no letter or digit",
        ),
        1..=WORDS_MAX => return Some(words),
        _ => Fault::new(
            IssueKind::TooMany,
            format!("`keyword` takes at most {WORDS_MAX} words"),
        ),
    };
    params.complain(name, &text, fault);
    None
}

/// Returns the ends of a range, and reports an error if they are reversed; `None` if both are open.
fn range<T: PartialOrd + Copy + ToString>(
    params: &mut Params,
    (min_name, min): (&str, Option<T>),
    (max_name, max): (&str, Option<T>),
) -> Option<(Option<T>, Option<T>)> {
    if let (Some(min), Some(max)) = (min, max)
        && min > max
    {
        let message = format!("`{min_name}` is above `{max_name}`");
        let fault = Fault::new(IssueKind::OutOfRange, message);
        let at_most = format!("at most {}", max.to_string());
        params.complain(min_name, &min.to_string(), fault.expected(at_most));
    }
    (min.is_some() || max.is_some()).then_some((min, max))
}

/// Parses a parameter whose only value is `true`; returns whether it is present.
fn is_true(params: &mut Params, name: &str) -> bool {
    match params.text(name).as_deref() {
        None => false,
        Some("true") => true,
        Some(other) => {
            let message = format!("`{name}` can only be `true`; omit it otherwise");
            let fault = Fault::new(IssueKind::InvalidValue, message);
            params.complain(name, other, fault.expected("true"));
            false
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn canonical(query: &str) -> String {
        let read = ListVehicles::from_query(&mut Params::new(query));
        read.expect("the query is right").filter.canonical()
    }

    #[test]
    fn canonical_form_is_stable_and_independent_of_the_order_of_values() {
        let one = canonical("make=kia,Hyundai&source=sk,aj&orderable=true");
        assert_eq!(
            one,
            r#"make=["hyundai", "kia"];source=["aj", "sk"];orderable=true;"#
        );
        assert_eq!(
            one,
            canonical("orderable=true&source=aj,sk&make=HYUNDAI,kia,Kia")
        );
        assert_ne!(one, canonical("make=kia&source=sk,aj&orderable=true"));
        let numbers =
            "ids=a&year_max=2020&price_min_usd=5&mileage_max_km=7&auction_date_from=2026-04-20";
        assert_eq!(
            canonical(numbers),
            r#"ids=["a"];year=None..Some(2020);mileage_km=None..Some(7);price_usd=Some(5)..None;auction_date=Some(2026-04-20)..None;"#
        );
    }

    #[test]
    fn dropped_dealers_are_found_by_the_conditions_that_they_can_satisfy() {
        let read = |query| {
            ListVehicles::from_query(&mut Params::new(query))
                .unwrap()
                .filter
        };
        let strict = read("make=kia&accident_grade=A&source=dealer,sk&auction_count_min=1");
        assert!(strict.drops_dealers() && strict.covers_dealers());
        let dropped = strict.dropped_dealers();
        assert_eq!(dropped.canonical(), r#"make=["kia"];source=["dealer"];"#);
        assert!(!dropped.drops_dealers());
        assert!(!read("source=sk").covers_dealers());
    }
}
