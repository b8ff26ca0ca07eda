//! A model of the catalogue in memory, written independently of the code under test.

mod question;
mod row;

use std::sync::LazyLock;

use chrono::{DateTime, Days, FixedOffset, NaiveDate, NaiveTime, Utc};
use rand::{RngExt, rngs::StdRng, seq::IndexedRandom};

pub use question::Search;
pub use row::Row;

/// A name as written, its normalized form, and its normalized words.
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
const SORTS: &[&str] = &[
    "auction_date_asc",
    "price_asc",
    "price_desc",
    "year_desc",
    "mileage_asc",
];

/// A future day in Korea; auctions are on this day and on the following ones.
static FIRST_DAY: LazyLock<NaiveDate> = LazyLock::new(|| {
    let today = Utc::now().with_timezone(&korea()).date_naive();
    today + Days::new(10)
});

fn korea() -> FixedOffset {
    FixedOffset::east_opt(9 * 3600).unwrap()
}

/// Returns the time at which the searches are made: noon of the first day, far from any midnight.
pub fn now() -> DateTime<FixedOffset> {
    at(0, NaiveTime::from_hms_opt(12, 0, 0).unwrap())
}

/// Returns a time on a day in Korea, `days` after the first one.
pub fn at(days: u64, time: NaiveTime) -> DateTime<FixedOffset> {
    let day = (*FIRST_DAY + Days::new(days)).and_time(time);
    day.and_local_timezone(korea()).unwrap()
}

/// Returns the times of auctions.
///
/// Some are close to midnight in Korea; some are so distant that a float cannot hold their milliseconds.
fn auctions() -> Vec<DateTime<FixedOffset>> {
    let time = |text: &str| text.parse::<NaiveTime>().unwrap();
    let mut times: Vec<_> = [
        (0, "10:00:00"),
        (1, "23:59:59.999"),
        (2, "00:00:00"),
        (2, "13:00:00"),
        (2, "23:59:59.999"),
        (3, "00:00:00"),
    ]
    .map(|(days, text)| at(days, time(text)))
    .to_vec();
    for text in [
        "9999-12-30T12:00:00.001+09:00",
        "9999-12-30T12:00:00.002+09:00",
    ] {
        times.push(text.parse().unwrap());
    }
    times
}

fn maybe<T: Copy>(rng: &mut StdRng, values: &[T]) -> Option<T> {
    let is_known = rng.random_ratio(3, 4);
    is_known.then(|| one(rng, values))
}

fn one<T: Copy>(rng: &mut StdRng, values: &[T]) -> T {
    *values.choose(rng).unwrap()
}

fn maybe_name(rng: &mut StdRng, names: &'static [Name]) -> Option<&'static Name> {
    let is_known = rng.random_ratio(3, 4);
    is_known.then(|| names.choose(rng).unwrap())
}
