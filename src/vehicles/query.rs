//! What `GET /v1/vehicles` takes: every filter, as it is read and as the document tells it.

use std::ops::RangeInclusive;

use chrono::NaiveDate;
use utoipa::{
    IntoParams,
    openapi::path::{Parameter, ParameterIn},
};

use super::{
    filter::{Filter, Span},
    model::{AuctionResult, Fuel, Grade, Source, Transmission},
    sort::Sort,
    terms,
};
use crate::{
    error::{Fault, IssueKind},
    http::{
        describe::{self, csv},
        extract::{FromQuery, Name, Params},
        page::{IDS_MAX, PageQuery, read_sort},
    },
};

/// Names or words in one filter.
const VALUES_MAX: usize = 100;
/// Words in a keyword.
const WORDS_MAX: usize = 16;
/// What the numbers of a car can be.
const YEARS: RangeInclusive<i64> = 1900..=2100;
const KILOMETRES: RangeInclusive<i64> = 0..=10_000_000;
const DOLLARS: RangeInclusive<i64> = 0..=10_000_000;
const COUNTS: RangeInclusive<i64> = 0..=1_000;

/// What `GET /v1/vehicles` takes.
#[derive(Debug)]
pub(super) struct ListVehicles {
    pub(super) filter: Filter,
    pub(super) sort: (&'static str, Sort),
    pub(super) page: PageQuery,
}

impl FromQuery for ListVehicles {
    fn from_query(params: &mut Params) -> Option<Self> {
        let filter = Filter {
            ids: names(params, "ids", IDS_MAX),
            keyword: keyword(params),
            make: folded(params, "make"),
            model: folded(params, "model"),
            year: span(params, "year_min", "year_max", YEARS),
            mileage_km: Span {
                min: None,
                max: params.integer("mileage_max_km", KILOMETRES),
            },
            price_usd: span(params, "price_min_usd", "price_max_usd", DOLLARS),
            source: params.csv("source", VALUES_MAX),
            fuel: params.csv("fuel", VALUES_MAX),
            transmission: params.csv("transmission", VALUES_MAX),
            color: folded(params, "color"),
            accident_grade: params.csv("accident_grade", VALUES_MAX),
            exterior_grade: params.csv("exterior_grade", VALUES_MAX),
            options: folded(params, "options_include"),
            auction_status: params.csv("auction_status", VALUES_MAX),
            auction_date: days(params),
            auction_count: span(params, "auction_count_min", "auction_count_max", COUNTS),
        };
        if params.has("model") && !params.has("make") {
            let fault = Fault::new(IssueKind::Requires, "`model` needs `make` beside it");
            params
                .issues()
                .push(fault.expected("make").at("model", None));
        }
        let open_to_dealers = !params.has("source") || filter.source.contains(&Source::Dealer);
        if open_to_dealers && !params.has("make") && !params.has("ids") {
            let message =
                "dealers' cars are listed by `make` (or `ids`); or name auction houses in `source`";
            params.issues().push(
                Fault::new(IssueKind::Requires, message)
                    .expected("make")
                    .at("make", None),
            );
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

fn names(params: &mut Params, name: &str, max: usize) -> Vec<String> {
    let names: Vec<Name> = params.csv(name, max);
    names.into_iter().map(|Name(text)| text).collect()
}

fn folded(params: &mut Params, name: &str) -> Vec<String> {
    let names = names(params, name, VALUES_MAX);
    names.iter().map(|it| terms::fold(it)).collect()
}

/// Reads `keyword` as its words.
fn keyword(params: &mut Params) -> Vec<String> {
    let Some(Name(text)) = params.get("keyword") else {
        return Vec::new();
    };
    let words = terms::words(&text);
    let fault = match words.len() {
        0 => Fault::new(
            IssueKind::InvalidValue,
            "`keyword` has neither a letter nor a digit",
        ),
        1..=WORDS_MAX => return words,
        _ => Fault::new(
            IssueKind::TooMany,
            format!("`keyword` takes at most {WORDS_MAX} words"),
        ),
    };
    params.complain("keyword", &text, fault);
    Vec::new()
}

/// Reads a range from the parameters of its ends.
fn span(params: &mut Params, min: &str, max: &str, bounds: RangeInclusive<i64>) -> Span<i64> {
    let span = Span {
        min: params.integer(min, bounds.clone()),
        max: params.integer(max, bounds),
    };
    check_order(params, span, min, max)
}

/// Reads the range of the auction's days.
fn days(params: &mut Params) -> Span<NaiveDate> {
    let (from, to) = ("auction_date_from", "auction_date_to");
    let span = Span {
        min: params.get(from),
        max: params.get(to),
    };
    check_order(params, span, from, to)
}

fn check_order<T: PartialOrd + Copy + ToString>(
    params: &mut Params,
    span: Span<T>,
    min_name: &str,
    max_name: &str,
) -> Span<T> {
    if let (Some(min), Some(max)) = (span.min, span.max)
        && min > max
    {
        let message = format!("`{min_name}` is above `{max_name}`");
        let fault = Fault::new(IssueKind::OutOfRange, message);
        let at_most = format!("at most {}", max.to_string());
        params.complain(min_name, &min.to_string(), fault.expected(at_most));
    }
    span
}

impl IntoParams for ListVehicles {
    fn into_params(no: impl Fn() -> Option<ParameterIn>) -> Vec<Parameter> {
        let sort = "The order of the list. `auction_date_asc` puts dealers' cars last.";
        let mut parameters = of_any_car();
        parameters.extend(of_auctions());
        parameters.push(describe::sort(Sort::ALL, sort));
        parameters.extend(PageQuery::into_params(no));
        parameters
    }
}

/// Describes the filters that any car can satisfy.
fn of_any_car() -> Vec<Parameter> {
    let names = |name, what: &str| csv::<Name>(name, VALUES_MAX, &format!("{what}, in any case."));
    let ids = "These cars; an id that names none is silently missing.";
    let keyword =
        "Every word is the beginning of a word of make, model or trim, in any case and script.";
    let source =
        "Cars of these sources. Without it, or with `dealer` in it, `make` or `ids` is needed.";
    let mileage = "At most this far driven, in kilometres.";
    vec![
        csv::<Name>("ids", IDS_MAX, ids),
        describe::query::<Name>("keyword", keyword),
        names("make", "Cars of these brands"),
        names("model", "These models. It needs `make`"),
        describe::bound("year_min", &YEARS, "The oldest model year."),
        describe::bound("year_max", &YEARS, "The newest model year."),
        describe::bound("mileage_max_km", &KILOMETRES, mileage),
        describe::bound(
            "price_min_usd",
            &DOLLARS,
            "At least this price, in whole US dollars.",
        ),
        describe::bound(
            "price_max_usd",
            &DOLLARS,
            "At most this price, in whole US dollars.",
        ),
        csv::<Source>("source", VALUES_MAX, source),
        csv::<Fuel>("fuel", VALUES_MAX, "What it runs on."),
        csv::<Transmission>("transmission", VALUES_MAX, "How its gears change."),
        names("color", "Bodies of these colors"),
        names("options_include", "All of this equipment"),
    ]
}

/// Describes the filters that a dealer's car cannot satisfy.
fn of_auctions() -> Vec<Parameter> {
    let drops = |what: &str| {
        format!(
            "{what} It drops dealers' cars, which have none; `X-LMN-Filtered-Out` says how many."
        )
    };
    let grade = |name, what| csv::<Grade>(name, VALUES_MAX, &drops(what));
    let day = |name, what| describe::day(name, &drops(what));
    let count = |name, what| describe::bound(name, &COUNTS, &drops(what));
    vec![
        grade("accident_grade", "Grades of frame and body."),
        grade("exterior_grade", "Grades of the outside."),
        csv::<AuctionResult>(
            "auction_status",
            VALUES_MAX,
            &drops("Auctions that stand like this."),
        ),
        day(
            "auction_date_from",
            "The first day of the auction, in Korea.",
        ),
        day("auction_date_to", "The last day of the auction, in Korea."),
        count("auction_count_min", "It has come up this often at least."),
        count("auction_count_max", "It has come up this often at most."),
    ]
}
