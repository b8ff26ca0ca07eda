//! The catalogue as the contract tells of it, written out again in memory: no line of it is the product's.

use chrono::{DateTime, Days, FixedOffset, NaiveDate};
use rand::{RngExt, rngs::StdRng, seq::IndexedRandom};
use serde_json::{Value, json};

/// A name as it is written, as it is compared, and the words in it as they are compared: all spelled out by hand.
#[derive(Debug)]
pub struct Name(&'static str, &'static str, &'static [&'static str]);

const MAKES: &[Name] = &[
    Name("Kia", "kia", &["kia"]),
    Name("KIA", "kia", &["kia"]),
    Name("ＫＩＡ", "kia", &["kia"]),
    Name("기아", "기아", &["기아"]),
    Name("\u{1100}\u{1175}\u{110b}\u{1161}", "기아", &["기아"]),
    Name("Hyundai", "hyundai", &["hyundai"]),
    Name("현대", "현대", &["현대"]),
    Name("Mercedes-Benz", "mercedes-benz", &["mercedes", "benz"]),
    Name("Citro\u{eb}n", "citro\u{eb}n", &["citro\u{eb}n"]),
    Name("CITROE\u{308}N", "citro\u{eb}n", &["citro\u{eb}n"]),
    Name("O'Hara \\ Co", "o'hara \\ co", &["o", "hara", "co"]),
];

const MODELS: &[Name] = &[
    Name("K5", "k5", &["k5"]),
    Name("k5", "k5", &["k5"]),
    Name("Ｋ５", "k5", &["k5"]),
    Name("K3", "k3", &["k3"]),
    Name("E-Class (W213)", "e-class (w213)", &["e", "class", "w213"]),
    Name("3시리즈", "3시리즈", &["3시리즈"]),
    Name("그랜저 IG", "그랜저 ig", &["그랜저", "ig"]),
    Name("50% & 'x':*", "50% & 'x':*", &["50", "x"]),
    Name("!", "!", &[]),
];

const TRIMS: &[Name] = &[
    Name("Prestige 2.0", "", &["prestige", "2", "0"]),
    Name("PRESTIGE", "", &["prestige"]),
    Name("노블레스", "", &["노블레스"]),
    Name("kia 에디션", "", &["kia", "에디션"]),
];

const COLORS: &[Name] = &[
    Name("Black", "black", &[]),
    Name("BLACK", "black", &[]),
    Name("검정", "검정", &[]),
    Name("off-white", "off-white", &[]),
];

const OPTIONS: &[Name] = &[
    Name("sunroof", "sunroof", &[]),
    Name("Sunroof", "sunroof", &[]),
    Name("HUD", "hud", &[]),
    Name("어라운드뷰", "어라운드뷰", &[]),
    Name("rear 'camera' \\", "rear 'camera' \\", &[]),
];

const SOURCES: &[&str] = &["dealer", "glovis", "sk", "aj", "lotte", "kcar"];
const FUELS: &[&str] = &["gasoline", "diesel", "plug_in_hybrid"];
const TRANSMISSIONS: &[&str] = &["auto", "manual", "cvt", "dct"];
const GRADES: &[&str] = &["A", "B", "F"];
const RESULTS: &[&str] = &["upcoming", "no_bid", "sold", "negotiation_requested"];
/// About midnights in Korea, where a day begins; and so far away that a fraction has no place in a float any more.
const DATES: &[&str] = &[
    "2026-04-18T10:00:00+09:00",
    "2026-04-19T23:59:59.999+09:00",
    "2026-04-20T00:00:00+09:00",
    "2026-04-20T13:00:00+09:00",
    "2026-04-20T23:59:59.999+09:00",
    "2026-04-21T00:00:00+09:00",
    "9999-12-30T12:00:00.001+09:00",
    "9999-12-30T12:00:00.002+09:00",
];
const SORTS: &[&str] = &[
    "auction_date_asc",
    "price_asc",
    "price_desc",
    "year_desc",
    "mileage_asc",
];

/// A car.
#[derive(Debug, Clone)]
pub struct Row {
    pub id: String,
    source: &'static str,
    make: &'static Name,
    model: &'static Name,
    trim: Option<&'static Name>,
    year: i64,
    mileage_km: i64,
    listing_usd: i64,
    fuel: Option<&'static str>,
    transmission: Option<&'static str>,
    color: Option<&'static Name>,
    options: Vec<&'static Name>,
    auction: Option<Lot>,
    is_withdrawn: bool,
}

/// Its auction.
#[derive(Debug, Clone)]
struct Lot {
    date: DateTime<FixedOffset>,
    result: &'static str,
    count: Option<i64>,
    accident_grade: Option<&'static str>,
    exterior_grade: Option<&'static str>,
}

fn maybe<T: Copy>(chance: &mut StdRng, values: &[T]) -> Option<T> {
    let is_known = chance.random_ratio(3, 4);
    is_known.then(|| one(chance, values))
}

fn one<T: Copy>(chance: &mut StdRng, values: &[T]) -> T {
    *values.choose(chance).unwrap()
}

fn maybe_name(chance: &mut StdRng, names: &'static [Name]) -> Option<&'static Name> {
    let is_known = chance.random_ratio(3, 4);
    is_known.then(|| names.choose(chance).unwrap())
}

impl Row {
    /// Makes a car that ties with others in everything but its id.
    pub fn random(chance: &mut StdRng, number: usize) -> Self {
        let source = one(chance, SOURCES);
        let source = if chance.random_ratio(1, 5) {
            "dealer"
        } else {
            source
        };
        let auction = (source != "dealer").then(|| Lot {
            date: one(chance, DATES).parse().unwrap(),
            result: one(chance, RESULTS),
            count: maybe(chance, &[1, 2, 3]),
            accident_grade: maybe(chance, GRADES),
            exterior_grade: maybe(chance, GRADES),
        });
        // Ids are compared as bytes, whatever a locale says of case and punctuation.
        let beginning = one(chance, &["a", "A", "_", "-", "9", "b", "B"]);
        Self {
            id: format!("{beginning}{}", number * 37 % 1_000),
            source,
            make: MAKES.choose(chance).unwrap(),
            model: MODELS.choose(chance).unwrap(),
            trim: maybe_name(chance, TRIMS),
            year: chance.random_range(2016..2021),
            mileage_km: chance.random_range(0..6) * 10_000,
            listing_usd: chance.random_range(1..8) * 1_000,
            fuel: maybe(chance, FUELS),
            transmission: maybe(chance, TRANSMISSIONS),
            color: maybe_name(chance, COLORS),
            options: OPTIONS
                .sample(chance, 2)
                .filter(|it| it.0 != "HUD" || number.is_multiple_of(3))
                .collect(),
            auction,
            is_withdrawn: chance.random_ratio(1, 20),
        }
    }

    /// Returns its columns.
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

    /// Returns where it stands in a sort that goes up, or down.
    fn place(&self, sort: &str) -> (i64, &str) {
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

    fn words(&self) -> impl Iterator<Item = &'static str> {
        let names = [Some(self.make), Some(self.model), self.trim];
        names
            .into_iter()
            .flatten()
            .flat_map(|it| it.2.iter().copied())
    }
}

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
        let day = |days: u64| NaiveDate::from_ymd_opt(2026, 4, 17).unwrap() + Days::new(days);
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

    /// Says whether dealers' cars are asked for.
    pub fn covers_dealers(&self) -> bool {
        self.source.is_empty() || self.source.contains(&"dealer")
    }

    /// Says whether something is asked that no dealer's car has.
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
        value("sort", self.sort.map(str::to_owned));
        query.finish()
    }

    /// Returns the ids of the cars that match, in order.
    pub fn answer(&self, rows: &[Row]) -> Vec<String> {
        let sort = self.sort.unwrap_or("auction_date_asc");
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
            .filter(|row| row.source == "dealer" && self.matches_as_any_car(row));
        format!("dealer={}", dropped.count())
    }

    /// Says whether a car matches.
    pub fn matches(&self, row: &Row) -> bool {
        self.matches_as_any_car(row)
            && (!self.is_strict() || row.auction.as_ref().is_some_and(|it| self.matches_lot(it)))
    }

    fn matches_as_any_car(&self, row: &Row) -> bool {
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

fn is_within<T: Ord>((min, max): (Option<T>, Option<T>), value: Option<T>) -> bool {
    if min.is_none() && max.is_none() {
        return true;
    }
    value.is_some_and(|value| {
        min.is_none_or(|min| value >= min) && max.is_none_or(|max| value <= max)
    })
}
