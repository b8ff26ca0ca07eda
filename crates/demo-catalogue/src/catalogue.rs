//! The number of lots and dealers' vehicles, and the days of the auctions.
//!
//! The catalogue has the lots of ten working days ahead and five working days back, with a fixed number of vehicles
//! for each day. A lot depends only on the seed, its day and its index, and a dealer's vehicle only on the seed and
//! its index. So the catalogue of the next day is the same one, moved by a day.

use chrono::{Datelike, NaiveDate, TimeDelta, Weekday};

use crate::{
    chance::Chance,
    condition::Condition,
    offer::{Auction, Offer},
    vehicle::{AuctionResult, KoreanTime, Source, Vehicle},
};

/// Number of working days ahead whose lots are listed, today included.
const DAYS_AHEAD: i64 = 10;
/// Number of working days back whose lots are listed with their results.
const DAYS_BACK: i64 = 5;
/// First day on which dealers listed vehicles; must not depend on the current day.
const DEALERS_SINCE: Option<NaiveDate> = NaiveDate::from_ymd_opt(2025, 10, 1);

/// Number of vehicles of one day that have slots of their own.
const SLOTS_A_DAY: u64 = 16_384;
/// Number of consecutive days that have slots of their own.
const DAYS_OF_SLOTS: u64 = 1_000;
/// First slot of dealers' vehicles.
const DEALERS_SLOTS: u64 = DAYS_OF_SLOTS * SLOTS_A_DAY;
/// First of the additional slots for days with more vehicles, in a catalogue of up to two million.
const MORE_SLOTS: u64 = DEALERS_SLOTS + 500_000;
/// Number of additional slots of one day; sixteen consecutive days have such slots of their own.
const MORE_SLOTS_A_DAY: u64 = 131_072;

/// An auction hall.
struct Hall {
    source: Source,
    number: u32,
    location: &'static str,
    /// Start of its auctions, in minutes after midnight in Korea.
    start: i64,
    weekdays: &'static [Weekday],
}

const fn hall(
    source: Source,
    number: u32,
    location: &'static str,
    (hour, minute): (i64, i64),
    weekdays: &'static [Weekday],
) -> Hall {
    Hall {
        source,
        number,
        location,
        start: hour * 60 + minute,
        weekdays,
    }
}

/// The halls; every working day has at least two.
const HALLS: &[Hall] = &[
    hall(
        Source::Glovis,
        1064,
        "Glovis Bundang Auction, Seongnam",
        (13, 0),
        &[Weekday::Mon, Weekday::Tue],
    ),
    hall(
        Source::Glovis,
        1071,
        "Glovis Yangsan Auction, Yangsan",
        (13, 0),
        &[Weekday::Wed, Weekday::Thu],
    ),
    hall(
        Source::Glovis,
        1082,
        "Glovis Siheung Auction, Siheung",
        (13, 0),
        &[Weekday::Fri],
    ),
    hall(
        Source::Lotte,
        2011,
        "Lotte Auto Auction, Anseong",
        (12, 30),
        &[Weekday::Mon, Weekday::Thu],
    ),
    hall(
        Source::Kcar,
        3002,
        "K Car Auction, Osan",
        (10, 0),
        &[Weekday::Tue, Weekday::Fri],
    ),
    hall(
        Source::Sk,
        4005,
        "SK Auto Auction, Incheon",
        (14, 0),
        &[Weekday::Wed, Weekday::Fri],
    ),
    hall(
        Source::Aj,
        5003,
        "AJ Sellcar Auction, Pyeongtaek",
        (13, 30),
        &[Weekday::Mon, Weekday::Thu],
    ),
];

/// The cities of the dealers.
const CITIES: &[&str] = &[
    "Seoul",
    "Incheon",
    "Suwon",
    "Bucheon",
    "Ansan",
    "Goyang",
    "Gwangmyeong",
    "Daejeon",
    "Cheongju",
    "Cheonan",
    "Daegu",
    "Busan",
    "Ulsan",
    "Changwon",
    "Gwangju",
    "Jeonju",
    "Gangneung",
    "Jeju",
];

/// Generates a catalogue of exactly `count` vehicles as of `today`, a calendar date in Korea, vehicle by vehicle, so
/// that it may be larger than memory.
///
/// Of ten vehicles, seven are lots of the next ten working days, one is a lot of the last five working days with its
/// result, and two are dealers' vehicles. For another day, the vehicles that are still listed are the same, with the
/// same ids.
pub fn vehicles(seed: u64, count: usize, today: NaiveDate) -> impl Iterator<Item = Vehicle> {
    let (dealers, past) = (count / 5, count / 10);
    let upcoming = count - dealers - past;
    let first = working_day(today);
    let ahead =
        days(first, DAYS_AHEAD, upcoming).map(move |(day, index)| lot(seed, day, index, false));
    let back = days(first - DAYS_BACK, DAYS_BACK, past)
        .map(move |(day, index)| lot(seed, day, index, true));
    let stock = (0..dealers).map(move |index| dealers_vehicle(seed, u64::try_from(index).ok()?));
    ahead.chain(back).chain(stock).flatten()
}

/// Distributes `total` lots over `count` days from `first`. A day always has the same number of lots, and any `count`
/// consecutive days have exactly `total`.
fn days(first: i64, count: i64, total: usize) -> impl Iterator<Item = (i64, u64)> {
    let total = i64::try_from(total).unwrap_or_default();
    let before = move |day: i64| (day * total).div_euclid(count);
    (first..first + count).flat_map(move |day| {
        let lots = u64::try_from(before(day + 1) - before(day)).unwrap_or_default();
        (0..lots).map(move |index| (day, index))
    })
}

/// Returns the number of a date's working day; a weekend counts as the Monday after it.
fn working_day(date: NaiveDate) -> i64 {
    let day = i64::from(date.num_days_from_ce()) - 1;
    day.div_euclid(7) * 5 + day.rem_euclid(7).min(5)
}

/// Returns the date of a working day.
fn date_of(working_day: i64) -> Option<NaiveDate> {
    let day = working_day.div_euclid(5) * 7 + working_day.rem_euclid(5) + 1;
    NaiveDate::from_num_days_from_ce_opt(i32::try_from(day).ok()?)
}

/// Generates a lot of an auction day; `held` states whether its auction is over.
fn lot(seed: u64, day: i64, index: u64, held: bool) -> Option<Vehicle> {
    let date = date_of(day)?;
    let mut chance = Chance::of(&[seed, 1, day.cast_unsigned(), index]);
    let open: Vec<&Hall> = HALLS
        .iter()
        .filter(|hall| hall.weekdays.contains(&date.weekday()))
        .collect();
    let hall = chance.pick(&open)?;
    let number = lot_number(seed ^ day.cast_unsigned(), index).to_string();
    let id = format!(
        "{}_{}_{}_{number}",
        hall.source.as_str(),
        date.format("%Y%m%d"),
        hall.number
    );
    let condition = Condition::draw(&mut chance)?;
    let result_at = KoreanTime::new(date, hall.start + 20 + chance.between(0, 240));
    let auction = Auction {
        lot_number: number,
        date: KoreanTime::new(date, hall.start),
        count: chance.weigh(COUNTS, |count| count.1)?.0,
        result: if held {
            result(index)
        } else {
            AuctionResult::Upcoming
        },
        result_at: held.then_some(result_at),
        accident_grade: chance.unless(4, condition.accident),
        exterior_grade: chance.unless(4, condition.exterior),
    };
    // Before the lot first appears, which is at most thirteen days ahead of its auction.
    let listed_on = date - TimeDelta::days(chance.between(14, 18));
    let offer = Offer {
        id,
        source: hall.source,
        location: hall.location,
        listed_at: KoreanTime::new(listed_on, chance.between(9 * 60, 18 * 60)),
        auction: Some(auction),
        condition,
        seed,
        slot: slot(day.cast_unsigned(), index),
    };
    offer.draw(&mut chance)
}

/// Returns the slot of a lot.
fn slot(day: u64, index: u64) -> u64 {
    match index.checked_sub(SLOTS_A_DAY) {
        None => day % DAYS_OF_SLOTS * SLOTS_A_DAY + index,
        Some(beyond) => MORE_SLOTS + day % 16 * MORE_SLOTS_A_DAY + beyond,
    }
}

/// Number of times a vehicle has come up for auction, and the percentage of lots with that number.
const COUNTS: &[(Option<i16>, i64)] = &[
    (Some(1), 66),
    (Some(2), 18),
    (Some(3), 8),
    (Some(4), 3),
    (Some(5), 2),
    (None, 3),
];

/// Generates a dealer's vehicle.
fn dealers_vehicle(seed: u64, index: u64) -> Option<Vehicle> {
    let mut chance = Chance::of(&[seed, 2, index]);
    // The multiplier is coprime to the modulus, so that every number occurs once.
    let number =
        36_000_000 + (index * 1_618_033 + Chance::of(&[seed]).next() % 4_000_000) % 4_000_000;
    let listed_on = DEALERS_SINCE? + TimeDelta::days(chance.between(0, 90));
    let offer = Offer {
        id: format!("encar_{number}"),
        source: Source::Dealer,
        location: chance.pick(CITIES)?,
        listed_at: KoreanTime::new(listed_on, chance.between(9 * 60, 20 * 60)),
        auction: None,
        condition: Condition::draw(&mut chance)?,
        seed,
        slot: DEALERS_SLOTS + index,
    };
    offer.draw(&mut chance)
}

/// Returns the number of a lot, which is unique on its day; the first 9,000 lots have scattered numbers of four digits.
fn lot_number(day: u64, index: u64) -> u64 {
    let scattered = (index * 1_619 + Chance::of(&[day]).next() % 9_000) % 9_000;
    1_000 + scattered + index / 9_000 * 10_000
}

/// Returns the result of a lot; of the first lots of a day, however few, at least a third are for sale at their price.
fn result(index: u64) -> AuctionResult {
    match index % 5 {
        1 => AuctionResult::Sold,
        3 => AuctionResult::NegotiationSold,
        4 => AuctionResult::NegotiationRequested,
        _ => AuctionResult::NoBid,
    }
}

#[cfg(test)]
mod tests {
    use std::collections::{BTreeMap, BTreeSet};

    use super::*;
    use crate::{papers::check_digit, vehicle::Grade};

    const SEED: u64 = 20_260_420;

    fn date(text: &str) -> NaiveDate {
        text.parse().unwrap()
    }

    /// Returns sixteen consecutive days, with two weekends and a leap day among them.
    fn some_days() -> impl Iterator<Item = NaiveDate> {
        date("2028-02-18").iter_days().take(16)
    }

    fn catalogue(seed: u64, count: usize, today: NaiveDate) -> Vec<Vehicle> {
        vehicles(seed, count, today).collect()
    }

    fn by_id(vehicles: Vec<Vehicle>) -> BTreeMap<String, Vehicle> {
        vehicles
            .into_iter()
            .map(|vehicle| (vehicle.id.clone(), vehicle))
            .collect()
    }

    #[test]
    fn same_seed_gives_the_same_vehicles() {
        let today = date("2026-04-20");
        let vehicles = catalogue(SEED, 500, today);
        assert_eq!(vehicles, catalogue(SEED, 500, today));
        assert_ne!(vehicles, catalogue(SEED + 1, 500, today));
        let text = |vehicle: &Vehicle| {
            format!(
                "{} {} {} {} USD",
                vehicle.id, vehicle.make, vehicle.model, vehicle.pricing.listing_usd
            )
        };
        // If these change, the vehicles of a seed are no longer the same in every version.
        assert_eq!(text(&vehicles[0]), "aj_20260420_5003_7355 Kia Ray 3880 USD");
        assert_eq!(text(&vehicles[499]), "encar_36684788 Volvo XC60 15940 USD");
    }

    #[test]
    fn catalogue_has_exactly_the_requested_number_of_vehicles() {
        for count in [0, 1, 7, 10, 99, 500, 5000] {
            for today in some_days().step_by(3) {
                let vehicles = catalogue(SEED, count, today);
                assert_eq!(vehicles.len(), count, "{today}");
                assert_eq!(by_id(vehicles).len(), count, "{today}");
            }
        }
    }

    #[test]
    fn next_day_lists_mostly_the_same_vehicles() {
        let mut yesterday = by_id(catalogue(SEED, 500, date("2028-02-17")));
        for today in some_days() {
            let vehicles = by_id(catalogue(SEED, 500, today));
            let known = vehicles
                .iter()
                .filter_map(|(id, vehicle)| Some((vehicle, yesterday.get(id)?)));
            let mut same = 0;
            for (vehicle, before) in known {
                let mut before = before.clone();
                if before.auction_result == Some(AuctionResult::Upcoming) {
                    before.auction_result = vehicle.auction_result;
                    before.result_at = vehicle.result_at;
                    before.order_cutoff_at = vehicle.order_cutoff_at;
                    before.buy_now = vehicle.buy_now;
                }
                assert_eq!(*vehicle, before);
                same += 1;
            }
            assert!(same >= 430, "{today}: {same}");
            yesterday = vehicles;
        }
    }

    #[test]
    fn vehicles_satisfy_the_rules_of_the_model() {
        for today in some_days() {
            let midnight = KoreanTime::new(today, 0);
            for vehicle in catalogue(SEED, 500, today) {
                assert_eq!(
                    vehicle.source == Source::Dealer,
                    vehicle.auction_date.is_none(),
                    "{}",
                    vehicle.id
                );
                assert!(vehicle.listed_at < midnight, "{}", vehicle.id);
                assert!(
                    (1_500..=70_000).contains(&vehicle.pricing.listing_usd),
                    "{}",
                    vehicle.id
                );
                assert!(
                    (100..450_000).contains(&vehicle.mileage_km),
                    "{} {}",
                    vehicle.id,
                    vehicle.mileage_km
                );
                let first = vehicle.first_registered_on;
                let year = first.map_or(0, |first| i32::from(vehicle.year) - first.year());
                assert!((0..=1).contains(&year), "{}", vehicle.id);
                assert!(
                    first.is_none_or(|first| KoreanTime::new(first, 0) < vehicle.listed_at),
                    "{}",
                    vehicle.id
                );
                assert_eq!(
                    vehicle.thumbnail_url.is_none(),
                    vehicle.photos.is_empty(),
                    "{}",
                    vehicle.id
                );
                let Some(held_at) = vehicle.auction_date else {
                    continue;
                };
                let is_open = vehicle.auction_result == Some(AuctionResult::Upcoming);
                assert_eq!(vehicle.result_at.is_none(), is_open, "{}", vehicle.id);
                assert_eq!(held_at >= midnight, is_open, "{}", vehicle.id);
                assert!(
                    vehicle
                        .result_at
                        .is_none_or(|at| at > held_at && at < midnight)
                );
                assert!(vehicle.listed_at < held_at, "{}", vehicle.id);
                let lot = vehicle.lot_number.unwrap();
                assert!(vehicle.id.ends_with(&format!("_{lot}")), "{}", vehicle.id);
                let front = format!(
                    "{}_{}_",
                    vehicle.source.as_str(),
                    held_at.date().format("%Y%m%d")
                );
                assert!(vehicle.id.starts_with(&front), "{}", vehicle.id);
            }
        }
    }

    #[test]
    fn catalogue_covers_every_source_result_and_grade() {
        for (today, count) in some_days().flat_map(|day| [(day, 500), (day, 100)]) {
            let vehicles = catalogue(SEED, count, today);
            let (lots, stock): (Vec<_>, Vec<_>) = vehicles
                .into_iter()
                .partition(|vehicle| vehicle.auction_date.is_some());
            assert_eq!(stock.len(), count / 5);
            let (upcoming, held): (Vec<&Vehicle>, Vec<_>) = lots
                .iter()
                .partition(|vehicle| vehicle.auction_result == Some(AuctionResult::Upcoming));
            let far = KoreanTime::new(today, 2 * 24 * 60);
            let open = upcoming.iter().filter(|it| it.order_cutoff_at > Some(far));
            assert!(open.count() * 100 >= lots.len() * 40, "{today}");
            let soon = KoreanTime::new(today, 4 * 24 * 60);
            let near = upcoming.iter().filter(|it| it.auction_date < Some(soon));
            assert!(near.count() >= 3, "{today}");
            let (buy_now, gone): (Vec<_>, Vec<_>) = held.into_iter().partition(|it| it.buy_now);
            assert_eq!(buy_now.len() + gone.len(), count / 10);
            assert!(buy_now.len() * 3 >= count / 10, "{today}");
        }
        let vehicles = catalogue(SEED, 2000, date("2026-04-20"));
        use Source::{Aj, Dealer, Glovis, Kcar, Lotte, Sk};
        for source in [Dealer, Glovis, Sk, Aj, Lotte, Kcar] {
            let found = vehicles.iter().any(|vehicle| vehicle.source == source);
            assert!(found, "{source:?}");
        }
        for result in [
            AuctionResult::Upcoming,
            AuctionResult::NoBid,
            AuctionResult::Sold,
            AuctionResult::NegotiationSold,
            AuctionResult::NegotiationRequested,
        ] {
            let found = |vehicle: &Vehicle| vehicle.auction_result == Some(result);
            assert!(vehicles.iter().any(found), "{result:?}");
        }
        for grade in [Grade::A, Grade::B, Grade::C, Grade::D, Grade::F] {
            let found = |vehicle: &Vehicle| vehicle.accident_grade == Some(grade);
            assert!(vehicles.iter().any(found), "{grade:?}");
        }
        let lacks: [fn(&Vehicle) -> bool; 4] = [
            |vehicle| vehicle.trim.is_none(),
            |vehicle| vehicle.fuel.is_none(),
            |vehicle| vehicle.photos.is_empty(),
            |vehicle| vehicle.inspection.is_none(),
        ];
        assert!(lacks.iter().all(|lacks| vehicles.iter().any(lacks)));
        assert!(
            vehicles
                .iter()
                .map(|vehicle| vehicle.make)
                .collect::<BTreeSet<_>>()
                .len()
                >= 11
        );
    }

    #[test]
    fn vins_and_plates_are_unique() {
        let vehicles = catalogue(SEED, 5000, date("2026-04-20"));
        let vins: Vec<&str> = vehicles
            .iter()
            .filter_map(|vehicle| vehicle.vin.as_deref())
            .collect();
        for vin in &vins {
            assert_eq!(vin.len(), 17);
            assert_eq!(check_digit(vin), vin.chars().nth(8), "{vin}");
        }
        assert_eq!(vins.iter().collect::<BTreeSet<_>>().len(), vins.len());
        let plates: Vec<_> = vehicles
            .iter()
            .filter_map(|vehicle| vehicle.license_plate.as_ref())
            .collect();
        assert_eq!(plates.iter().collect::<BTreeSet<_>>().len(), plates.len());
    }

    #[test]
    fn slots_of_two_million_vehicles_are_unique() {
        let first = working_day(date("2026-04-20"));
        let ahead = days(first, DAYS_AHEAD, 1_400_000);
        let back = days(first - DAYS_BACK, DAYS_BACK, 200_000);
        let lots = ahead
            .chain(back)
            .map(|(day, n)| slot(day.cast_unsigned(), n));
        let mut seen = vec![false; 19_000_000];
        for slot in lots.chain(DEALERS_SLOTS..DEALERS_SLOTS + 400_000) {
            let seen = &mut seen[usize::try_from(slot).unwrap()];
            assert!(!std::mem::replace(seen, true), "{slot}");
        }
    }
}
