//! Forty queries of the catalogue: every filter and sort, alone and in the most expensive combinations allowed.
//!
//! Values in braces are replaced: see [`Query::of`] and [`Values`].

use anyhow::ensure;

use super::database::Database;

/// All makes of the demo catalogue.
const MAKES: &str = "hyundai,kia,genesis,ssangyong,kg+mobility,chevrolet,renault+samsung,renault+korea,bmw,\
                     mercedes-benz,audi,volvo";
/// All auction houses, without dealers.
const HOUSES: &str = "source=glovis,sk,aj,lotte,kcar";
/// All colors of the demo catalogue.
const COLORS: &str =
    "white,pearl+white,black,gray,dark+gray,silver,blue,navy,red,brown,green,beige";
/// Equipment of most vehicles of the demo catalogue.
const OPTIONS: &str = "abs,bluetooth,alloy_wheels,parking_sensors";
/// Largest number of values of one filter, which may repeat.
const VALUES_MAX: usize = 100;

/// A query of `GET /v1/vehicles`.
#[derive(Debug)]
pub struct Query {
    /// The name in tables.
    pub name: &'static str,
    /// The query string, with values in braces.
    text: &'static str,
    /// The number of vehicles before the page; fewer in a small catalogue.
    pub depth: usize,
}

const fn first(name: &'static str, text: &'static str) -> Query {
    deep(name, text, 0)
}

const fn deep(name: &'static str, text: &'static str, depth: usize) -> Query {
    Query { name, text, depth }
}

/// The queries.
#[rustfmt::skip]
pub static QUERIES: [Query; 40] = [
    first("common make, by auction", "make=hyundai"),
    first("common make, by price", "make=hyundai&sort=price_asc"),
    first("common make, by falling price", "make=hyundai&sort=price_desc"),
    first("common make, by year", "make=hyundai&sort=year_desc"),
    first("common make, by mileage", "make=hyundai&sort=mileage_asc"),
    first("rare make, by price", "make=kg+mobility&sort=price_asc"),
    first("make and model, by mileage", "make=hyundai&model=grandeur&sort=mileage_asc"),
    first("100 makes, by year", "make={100_makes}&sort=year_desc"),
    first("rare fuel, by mileage", "{houses}&fuel=hydrogen&sort=mileage_asc"),
    first("transmission, by falling price", "{houses}&transmission=manual&sort=price_desc"),
    first("100 colors, by price", "{houses}&color={100_colors}&sort=price_asc"),
    first("100 options, by mileage", "{houses}&options_include={100_options}&sort=mileage_asc"),
    first("five options, color and fuel, by price",
        "{houses}&options_include=sunroof,hud,around_view,memory_seats,premium_audio&color=red&fuel=diesel&sort=price_asc"),
    first("wide range of prices, by mileage",
        "make={makes}&price_min_usd=2000&price_max_usd=60000&sort=mileage_asc"),
    first("new, by price", "make={makes}&year_min=2023&sort=price_asc"),
    first("low price and new, by year", "make={makes}&price_max_usd=6000&year_min=2024&sort=year_desc"),
    first("low mileage and old, by mileage", "make={makes}&mileage_max_km=30000&year_max=2013&sort=mileage_asc"),
    first("older half and lower mileage than any of it, by price",
        "make={makes}&year_max={half_year}&mileage_max_km={no_mileage}&sort=price_asc"),
    first("older half, dearer half and less driven half, by auction",
        "make={makes}&year_max={half_year}&price_min_usd={half_price}&mileage_max_km={half_mileage}"),
    first("100 ids, by falling price", "ids={100_ids}&sort=price_desc"),
    first("100 ids, dealers' counted", "ids={100_ids}&auction_status=upcoming"),
    first("keyword of one letter, by price", "{houses}&keyword=s&sort=price_asc"),
    first("keyword of five words, by mileage",
        "make=hyundai,kia,genesis&keyword=sorento+2.2+diesel+noblesse&sort=mileage_asc"),
    first("keyword of sixteen letters, by year",
        "{houses}&keyword=s+2+d+4+s+2+d+4+s+2+d+4+s+2+d+4&sort=year_desc"),
    first("accident grades, dealers' counted, by price",
        "make={makes}&accident_grade=A,B,C,D,F&sort=price_asc"),
    first("exterior grade and three ranges, dealers' counted, by falling price",
        "make={makes}&exterior_grade=F&price_max_usd=60000&mileage_max_km=400000&year_min=2010&sort=price_desc"),
    first("many times at auction, dealers' counted, by mileage",
        "make=kia&auction_count_min=5&auction_count_max=9&sort=mileage_asc"),
    first("rare state of the auction, by year", "{houses}&auction_status=negotiation_sold&sort=year_desc"),
    first("auctions of some days, by price",
        "{houses}&auction_date_from={first_day}&auction_date_to={middle_day}&sort=price_asc"),
    first("auctions from a day on, dealers' counted, by mileage",
        "make=kia&auction_date_from={middle_day}&sort=mileage_asc"),
    first("orderable, by auction", "make={makes}&orderable=true"),
    first("orderable, by price", "make={makes}&orderable=true&sort=price_asc"),
    first("orderable, by falling price", "make={makes}&orderable=true&sort=price_desc"),
    first("orderable, by year", "make={makes}&orderable=true&sort=year_desc"),
    first("orderable, by mileage", "make={makes}&orderable=true&sort=mileage_asc"),
    first("nothing matches", "make=hyundai&fuel=hydrogen&transmission=manual&color=yellow"),
    deep("auctions to come, deep", "{houses}&auction_status=upcoming", 20_000),
    deep("common make, by price, deep", "make=hyundai&sort=price_asc", 20_000),
    deep("wide range of prices, by mileage, deep",
        "make={makes}&price_min_usd=2000&price_max_usd=60000&sort=mileage_asc", 20_000),
    deep("orderable, by year, deep", "make={makes}&orderable=true&sort=year_desc", 20_000),
];

impl Query {
    /// Returns the query string for a catalogue.
    pub fn of(&self, values: &Values) -> String {
        let numbers = [
            ("{half_year}", values.half_year),
            ("{half_price}", values.half_price),
            ("{half_mileage}", values.half_mileage),
            ("{no_mileage}", values.no_mileage),
        ];
        let mut text = self
            .text
            .replace("{houses}", HOUSES)
            .replace("{makes}", MAKES)
            .replace("{100_makes}", &repeated(MAKES))
            .replace("{100_colors}", &repeated(COLORS))
            .replace("{100_options}", &repeated(OPTIONS))
            .replace("{100_ids}", &values.ids.join(","))
            .replace("{first_day}", &values.first_day)
            .replace("{middle_day}", &values.middle_day);
        for (name, number) in numbers {
            text = text.replace(name, &number.to_string());
        }
        text
    }
}

/// Repeats values up to [`VALUES_MAX`].
fn repeated(values: &str) -> String {
    let values = values.split(',').cycle().take(VALUES_MAX);
    values.collect::<Vec<_>>().join(",")
}

/// Values of a catalogue that occur in queries.
#[derive(Debug, sqlx::FromRow)]
pub struct Values {
    /// Ids of random vehicles.
    ids: Vec<String>,
    /// The median year, price and mileage.
    half_year: i32,
    half_price: i32,
    half_mileage: i32,
    /// A mileage lower than that of every vehicle of the older half.
    no_mileage: i32,
    /// The first day of the auctions to come, in Korea, and their median day.
    first_day: String,
    middle_day: String,
}

impl Values {
    /// Reads the values of a catalogue.
    pub async fn read(database: &Database) -> anyhow::Result<Self> {
        let mut connection = database.connect().await?;
        let values: Self = sqlx::query_as(
            "with half as (
                 select percentile_disc(0.5) within group (order by year) as year,
                        percentile_disc(0.5) within group (order by listing_usd) as price,
                        percentile_disc(0.5) within group (order by mileage_km) as mileage,
                        min(auction_date) filter (where auction_result = 'upcoming') as first,
                        percentile_disc(0.5) within group (order by auction_date)
                            filter (where auction_result = 'upcoming') as middle
                 from vehicles where withdrawn_at is null
             )
             select array(select id from vehicles where withdrawn_at is null order by md5(id) limit 100) as ids,
                    year::integer as half_year, price as half_price, mileage as half_mileage,
                    (select min(mileage_km) - 1 from vehicles where vehicles.year <= half.year) as no_mileage,
                    to_char(first at time zone 'Asia/Seoul', 'YYYY-MM-DD') as first_day,
                    to_char(middle at time zone 'Asia/Seoul', 'YYYY-MM-DD') as middle_day
             from half",
        )
        .fetch_one(&mut connection)
        .await?;
        ensure!(
            values.no_mileage > 0,
            "a vehicle of the older half has no mileage"
        );
        Ok(values)
    }
}
