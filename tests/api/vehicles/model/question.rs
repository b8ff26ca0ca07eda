//! [`Search`]: filters and a sort, and the vehicles that match them.

use chrono::{Days, NaiveDate};
use rand::{RngExt, rngs::StdRng, seq::IndexedRandom};

use super::{
    COLORS, FIRST_DAY, FUELS, GRADES, MAKES, MODELS, Name, OPTIONS, RESULTS, SORTS, SOURCES,
    TRANSMISSIONS, TRIMS, maybe, now, one,
    row::{Lot, Row},
};

/// The parameters of a search. Empty ones are not sent.
#[derive(Debug, Clone, Default)]
pub struct Search {
    ids: Vec<String>,
    /// Prefixes of normalized words.
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

/// Returns a few random values, possibly with repetitions, or none.
fn some<T: Copy>(rng: &mut StdRng, ratio: (u32, u32), values: &[T]) -> Vec<T> {
    let count = rng.random_range(1..4);
    match rng.random_ratio(ratio.0, ratio.1) {
        true => (0..count).map(|_| one(rng, values)).collect(),
        false => Vec::new(),
    }
}

fn some_names(rng: &mut StdRng, ratio: (u32, u32), names: &'static [Name]) -> Vec<&'static Name> {
    let names: Vec<_> = names.iter().collect();
    some(rng, ratio, &names)
}

/// Returns a random range; either end may be open.
fn range<T: Ord + Copy>(
    rng: &mut StdRng,
    ratio: (u32, u32),
    values: &[T],
) -> (Option<T>, Option<T>) {
    if !rng.random_ratio(ratio.0, ratio.1) {
        return (None, None);
    }
    let (one, other) = (maybe(rng, values), maybe(rng, values));
    match (one, other) {
        (Some(one), Some(other)) => (Some(one.min(other)), Some(one.max(other))),
        ends => ends,
    }
}

impl Search {
    /// Makes a random search that is valid: one that covers dealers' vehicles names makes or ids.
    pub fn random(rng: &mut StdRng, rows: &[Row]) -> Self {
        let day = |days: u64| *FIRST_DAY + Days::new(days) - Days::new(1);
        let days: Vec<_> = (0..6).map(day).collect();
        let mut search = Self {
            keyword: Self::word_prefixes(rng),
            make: some_names(rng, (1, 2), MAKES),
            source: some(rng, (1, 3), SOURCES),
            fuel: some(rng, (1, 8), FUELS),
            transmission: some(rng, (1, 8), TRANSMISSIONS),
            color: some_names(rng, (1, 8), COLORS),
            options: some_names(rng, (1, 8), OPTIONS),
            accident_grade: some(rng, (1, 10), GRADES),
            exterior_grade: some(rng, (1, 10), GRADES),
            auction_status: some(rng, (1, 5), RESULTS),
            mileage_max: rng.random_ratio(1, 8).then(|| rng.random_range(0..60_000)),
            year: range(rng, (1, 8), &[2015, 2016, 2017, 2018, 2019, 2020]),
            price: range(rng, (1, 6), &[1_000, 2_500, 3_000, 4_000, 6_000, 9_000]),
            auction_count: range(rng, (1, 10), &[0, 1, 2, 3]),
            auction_date: range(rng, (1, 6), &days),
            is_orderable: rng.random_ratio(1, 5),
            sort: maybe(rng, SORTS),
            ..Self::default()
        };
        if rng.random_ratio(1, 10) {
            let ids = rows.iter().map(|it| it.id.clone());
            let ids: Vec<_> = ids.chain(["unknown".into(), "a b".into()]).collect();
            search.ids = (0..20).map(|_| ids.choose(rng).unwrap().clone()).collect();
        }
        if !search.make.is_empty() {
            search.model = some_names(rng, (1, 2), MODELS);
        }
        if search.covers_dealers() && search.make.is_empty() && search.ids.is_empty() {
            search.source = some(rng, (1, 1), &SOURCES[1..]);
        }
        search
    }

    fn word_prefixes(rng: &mut StdRng) -> Vec<String> {
        let names = [MAKES, MODELS, TRIMS].into_iter().flatten();
        let words: Vec<_> = names.flat_map(|it| it.2).copied().collect();
        let words = some(rng, (1, 5), &words);
        let mut cut = |word: &str| {
            let length = word.chars().count();
            word.chars().take(rng.random_range(1..=length)).collect()
        };
        words.into_iter().take(2).map(&mut cut).collect()
    }

    /// Returns whether the search covers dealers' vehicles.
    pub fn covers_dealers(&self) -> bool {
        self.source.is_empty() || self.source.contains(&"dealer")
    }

    /// Returns whether the search has a filter that no dealer's vehicle can match.
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

    /// Returns the search as a query string, with random equivalent spellings.
    pub fn query(&self, rng: &mut StdRng) -> String {
        let mut query = form_urlencoded::Serializer::new(String::new());
        let mut list = |name: &str, values: Vec<String>| {
            if !values.is_empty() {
                query.append_pair(name, &values.join(one(rng, &[",", ", ", " ,"])));
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
            let words = self.keyword.join(one(rng, &[" ", "-", " (", "/ "]));
            let text = if rng.random() {
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

    /// Returns whether one vehicle comes before another in the sort.
    pub fn is_before(&self, one: &Row, other: &Row) -> bool {
        let (one, other) = (one.place(self.sort()), other.place(self.sort()));
        match self.sort().ends_with("_desc") {
            true => one > other,
            false => one < other,
        }
    }

    /// Returns the ids of the vehicles that match, in order.
    pub fn matching_ids(&self, rows: &[Row]) -> Vec<String> {
        let sort = self.sort();
        let mut found: Vec<_> = rows.iter().filter(|row| self.matches(row)).collect();
        found.sort_by_key(|row| row.place(sort));
        if sort.ends_with("_desc") {
            found.reverse();
        }
        found.into_iter().map(|row| row.id.clone()).collect()
    }

    /// Returns the expected value of `X-LMN-Filtered-Out`; empty if the header is absent.
    pub fn filtered_out(&self, rows: &[Row]) -> String {
        if !self.is_strict() || !self.covers_dealers() {
            return String::new();
        }
        let dropped = rows
            .iter()
            .filter(|row| row.source == "dealer" && self.matches_as_any_vehicle(row));
        format!("dealer={}", dropped.count())
    }

    /// Returns whether a vehicle matches.
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

/// Returns whether a vehicle can be ordered. The cutoff is midnight at the start of the day before the auction.
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
