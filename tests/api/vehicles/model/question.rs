//! [`Question`]: filters and a sort, and which vehicles answer them.

use chrono::{Days, NaiveDate};
use rand::{RngExt, rngs::StdRng, seq::IndexedRandom};

use super::{
    COLORS, FIRST_DAY, FUELS, GRADES, MAKES, MODELS, Name, OPTIONS, RESULTS, SORTS, SOURCES,
    TRANSMISSIONS, TRIMS, maybe, now, one,
    row::{Lot, Row},
};

/// What is asked; what is empty is not.
#[derive(Debug, Clone, Default)]
pub struct Question {
    ids: Vec<String>,
    /// Beginnings of words, as they are compared.
    keyword: Vec<String>,
    make: Vec<&'static Name>,
    model: Vec<&'static Name>,
    source: Vec<&'static str>,
    fuel: Vec<&'static str>,
    transmission: Vec<&'static str>,
    color: Vec<&'static Name>,
    options: Vec<&'static Name>,
    accident_grade: Vec<&'static str>,
    exterior_grade: Vec<&'static str>,
    auction_status: Vec<&'static str>,
    mileage_max: Option<i64>,
    year: (Option<i64>, Option<i64>),
    price: (Option<i64>, Option<i64>),
    auction_count: (Option<i64>, Option<i64>),
    auction_date: (Option<NaiveDate>, Option<NaiveDate>),
    is_orderable: bool,
    pub sort: Option<&'static str>,
}

/// A few values, now and then the same one twice.
fn some<T: Copy>(chance: &mut StdRng, ratio: (u32, u32), values: &[T]) -> Vec<T> {
    let count = chance.random_range(1..4);
    match chance.random_ratio(ratio.0, ratio.1) {
        true => (0..count).map(|_| one(chance, values)).collect(),
        false => Vec::new(),
    }
}

fn some_names(
    chance: &mut StdRng,
    ratio: (u32, u32),
    names: &'static [Name],
) -> Vec<&'static Name> {
    let names: Vec<_> = names.iter().collect();
    some(chance, ratio, &names)
}

/// A range, either end of which may be open.
fn range<T: Ord + Copy>(
    chance: &mut StdRng,
    ratio: (u32, u32),
    values: &[T],
) -> (Option<T>, Option<T>) {
    if !chance.random_ratio(ratio.0, ratio.1) {
        return (None, None);
    }
    let (one, other) = (maybe(chance, values), maybe(chance, values));
    match (one, other) {
        (Some(one), Some(other)) => (Some(one.min(other)), Some(one.max(other))),
        ends => ends,
    }
}

impl Question {
    /// Asks anything that the dealer rule allows.
    pub fn random(chance: &mut StdRng, rows: &[Row]) -> Self {
        let day = |days: u64| *FIRST_DAY + Days::new(days) - Days::new(1);
        let days: Vec<_> = (0..6).map(day).collect();
        let mut question = Self {
            keyword: Self::beginnings(chance),
            make: some_names(chance, (1, 2), MAKES),
            source: some(chance, (1, 3), SOURCES),
            fuel: some(chance, (1, 8), FUELS),
            transmission: some(chance, (1, 8), TRANSMISSIONS),
            color: some_names(chance, (1, 8), COLORS),
            options: some_names(chance, (1, 8), OPTIONS),
            accident_grade: some(chance, (1, 10), GRADES),
            exterior_grade: some(chance, (1, 10), GRADES),
            auction_status: some(chance, (1, 5), RESULTS),
            mileage_max: chance
                .random_ratio(1, 8)
                .then(|| chance.random_range(0..60_000)),
            year: range(chance, (1, 8), &[2015, 2016, 2017, 2018, 2019, 2020]),
            price: range(chance, (1, 6), &[1_000, 2_500, 3_000, 4_000, 6_000, 9_000]),
            auction_count: range(chance, (1, 10), &[0, 1, 2, 3]),
            auction_date: range(chance, (1, 6), &days),
            is_orderable: chance.random_ratio(1, 5),
            sort: maybe(chance, SORTS),
            ..Self::default()
        };
        if chance.random_ratio(1, 10) {
            let ids = rows.iter().map(|it| it.id.clone());
            let ids: Vec<_> = ids.chain(["nobodys".into(), "a b".into()]).collect();
            question.ids = (0..20)
                .map(|_| ids.choose(chance).unwrap().clone())
                .collect();
        }
        if !question.make.is_empty() {
            question.model = some_names(chance, (1, 2), MODELS);
        }
        if question.covers_dealers() && question.make.is_empty() && question.ids.is_empty() {
            question.source = some(chance, (1, 1), &SOURCES[1..]);
        }
        question
    }

    fn beginnings(chance: &mut StdRng) -> Vec<String> {
        let names = [MAKES, MODELS, TRIMS].into_iter().flatten();
        let words: Vec<_> = names.flat_map(|it| it.2).copied().collect();
        let words = some(chance, (1, 5), &words);
        let mut cut = |word: &str| {
            let length = word.chars().count();
            word.chars().take(chance.random_range(1..=length)).collect()
        };
        words.into_iter().take(2).map(&mut cut).collect()
    }

    /// Says whether dealers' vehicles are asked for.
    pub fn covers_dealers(&self) -> bool {
        self.source.is_empty() || self.source.contains(&"dealer")
    }

    /// Says whether something is asked that no dealer's vehicle has.
    pub fn is_strict(&self) -> bool {
        let lists = [
            &self.accident_grade,
            &self.exterior_grade,
            &self.auction_status,
        ];
        lists.iter().any(|it| !it.is_empty())
            || self.auction_count != (None, None)
            || self.auction_date != (None, None)
    }

    /// Returns it as a query, in spellings that mean the same.
    pub fn query(&self, chance: &mut StdRng) -> String {
        let mut query = form_urlencoded::Serializer::new(String::new());
        let mut list = |name: &str, values: Vec<String>| {
            if !values.is_empty() {
                query.append_pair(name, &values.join(one(chance, &[",", ", ", " ,"])));
            }
        };
        list("ids", self.ids.clone());
        for (name, names) in [
            ("make", &self.make),
            ("model", &self.model),
            ("color", &self.color),
            ("options_include", &self.options),
        ] {
            let spell = |it: &&Name| match it.0.len() % 3 {
                0 => it.0.to_uppercase(),
                1 => it.0.to_lowercase(),
                _ => it.0.to_owned(),
            };
            list(name, names.iter().map(spell).collect());
        }
        for (name, words) in [
            ("source", &self.source),
            ("fuel", &self.fuel),
            ("transmission", &self.transmission),
            ("accident_grade", &self.accident_grade),
            ("exterior_grade", &self.exterior_grade),
            ("auction_status", &self.auction_status),
        ] {
            list(name, words.iter().map(|it| (*it).to_owned()).collect());
        }
        if !self.keyword.is_empty() {
            let words = self.keyword.join(one(chance, &[" ", "-", " (", "/ "]));
            let text = if chance.random() {
                words.to_uppercase()
            } else {
                words
            };
            query.append_pair("keyword", &text);
        }
        let mut value = |name: &str, value: Option<String>| {
            if let Some(value) = value {
                query.append_pair(name, &value);
            }
        };
        let text = |number: Option<i64>| number.map(|it| it.to_string());
        value("mileage_max_km", text(self.mileage_max));
        value("year_min", text(self.year.0));
        value("year_max", text(self.year.1));
        value("price_min_usd", text(self.price.0));
        value("price_max_usd", text(self.price.1));
        value("auction_count_min", text(self.auction_count.0));
        value("auction_count_max", text(self.auction_count.1));
        value(
            "auction_date_from",
            self.auction_date.0.map(|it| it.to_string()),
        );
        value(
            "auction_date_to",
            self.auction_date.1.map(|it| it.to_string()),
        );
        value("orderable", self.is_orderable.then(|| "true".to_owned()));
        value("sort", self.sort.map(str::to_owned));
        query.finish()
    }

    fn sort(&self) -> &'static str {
        self.sort.unwrap_or("auction_date_asc")
    }

    /// Says whether one vehicle comes before another.
    pub fn is_before(&self, one: &Row, other: &Row) -> bool {
        let (one, other) = (one.place(self.sort()), other.place(self.sort()));
        match self.sort().ends_with("_desc") {
            true => one > other,
            false => one < other,
        }
    }

    /// Returns the ids of the vehicles that match, in order.
    pub fn answer(&self, rows: &[Row]) -> Vec<String> {
        let sort = self.sort();
        let mut found: Vec<_> = rows.iter().filter(|row| self.matches(row)).collect();
        found.sort_by_key(|row| row.place(sort));
        if sort.ends_with("_desc") {
            found.reverse();
        }
        found.into_iter().map(|row| row.id.clone()).collect()
    }

    /// Returns what `X-LMN-Filtered-Out` says; empty if it is not there.
    pub fn filtered_out(&self, rows: &[Row]) -> String {
        if !self.is_strict() || !self.covers_dealers() {
            return String::new();
        }
        let dropped = rows
            .iter()
            .filter(|row| row.source == "dealer" && self.matches_as_any_vehicle(row));
        format!("dealer={}", dropped.count())
    }

    /// Says whether a vehicle matches.
    pub fn matches(&self, row: &Row) -> bool {
        self.matches_as_any_vehicle(row)
            && (!self.is_strict() || row.auction.as_ref().is_some_and(|it| self.matches_lot(it)))
    }

    fn matches_as_any_vehicle(&self, row: &Row) -> bool {
        let names = |asked: &[&Name], name: Option<&Name>| {
            asked.is_empty() || name.is_some_and(|name| asked.iter().any(|it| it.1 == name.1))
        };
        let words = |asked: &[&str], word: Option<&str>| {
            asked.is_empty() || word.is_some_and(|word| asked.contains(&word))
        };
        !row.is_withdrawn
            && (self.ids.is_empty() || self.ids.contains(&row.id))
            && self
                .keyword
                .iter()
                .all(|asked| row.words().any(|it| it.starts_with(asked)))
            && names(&self.make, Some(row.make))
            && names(&self.model, Some(row.model))
            && names(&self.color, row.color)
            && self
                .options
                .iter()
                .all(|asked| row.options.iter().any(|it| it.1 == asked.1))
            && words(&self.source, Some(row.source))
            && words(&self.fuel, row.fuel)
            && words(&self.transmission, row.transmission)
            && self.mileage_max.is_none_or(|max| row.mileage_km <= max)
            && is_within(self.year, Some(row.year))
            && is_within(self.price, Some(row.listing_usd))
            && (!self.is_orderable || is_orderable(row))
    }

    fn matches_lot(&self, lot: &Lot) -> bool {
        let words = |asked: &[&str], word: Option<&str>| {
            asked.is_empty() || word.is_some_and(|word| asked.contains(&word))
        };
        words(&self.accident_grade, lot.accident_grade)
            && words(&self.exterior_grade, lot.exterior_grade)
            && words(&self.auction_status, Some(lot.result))
            && is_within(self.auction_count, lot.count)
            && is_within(self.auction_date, Some(lot.date.date_naive()))
    }
}

/// Says whether a vehicle can be ordered: before its cutoff, which is the midnight a day before that of its auction.
fn is_orderable(row: &Row) -> bool {
    let today = now().date_naive();
    row.auction.as_ref().is_none_or(|it| match it.result {
        "upcoming" => today < it.date.date_naive() - Days::new(1),
        result => result == "no_bid",
    })
}

fn is_within<T: Ord>((min, max): (Option<T>, Option<T>), value: Option<T>) -> bool {
    if min.is_none() && max.is_none() {
        return true;
    }
    value.is_some_and(|value| {
        min.is_none_or(|min| value >= min) && max.is_none_or(|max| value <= max)
    })
}
