//! How many lots and dealers' cars there are, and when the auctions are held.
//!
//! Ten working days of lots to come and five of lots gone by, each of them a fixed number of cars. A lot depends on the
//! seed, its day and its index only, and a dealer's car on the seed and its index only: so tomorrow's catalogue is
//! today's, moved by a day.

use chrono::{DateTime, Datelike, NaiveDate, NaiveTime, TimeDelta, Utc, Weekday};

use super::{car::Offer, chance::Chance, condition::Condition};
use crate::{
    id::VehicleId,
    vehicles::model::{Auction, AuctionResult, Listing, Source},
    word::Word,
};

/// How many working days ahead lots are listed, today's included.
const DAYS_AHEAD: i64 = 10;
/// How many working days back lots are shown with their results.
const DAYS_BACK: i64 = 5;
/// The day from which dealers listed their cars; it cannot depend on today.
const DEALERS_SINCE: Option<NaiveDate> = NaiveDate::from_ymd_opt(2025, 10, 1);

/// How many cars of one day, and how many days after one another, have slots of their own; dealers' cars follow.
const SLOTS_A_DAY: u64 = 16_384;
const DAYS_OF_SLOTS: u64 = 1_000;
const DEALERS_SLOTS: u64 = DAYS_OF_SLOTS * SLOTS_A_DAY;
/// Where the slots of a catalogue of up to two million continue, when a day has more cars: so many a day, sixteen days
/// after one another.
const MORE_SLOTS: u64 = DEALERS_SLOTS + 500_000;
const MORE_SLOTS_A_DAY: u64 = 131_072;

/// An auction hall.
struct Hall {
    source: Source,
    number: u32,
    location: &'static str,
    /// When its auctions begin, in minutes after midnight in Korea.
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

/// The halls; every working day has two at least.
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

/// Where dealers have their yards.
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

/// Makes a catalogue of exactly so many vehicles as it stands on `today`, Korea's calendar date.
///
/// Seven of ten are lots of the coming ten working days, one is a lot of the last five with its result, and two are
/// dealers' cars. Called with another day, it gives the same cars under the same ids as far as they are still listed.
pub fn catalogue(seed: u64, vehicles: usize, today: NaiveDate) -> Vec<Listing> {
    cars(seed, vehicles, today).collect()
}

/// Makes the same catalogue car by car, so that it may be larger than memory.
pub fn cars(seed: u64, vehicles: usize, today: NaiveDate) -> impl Iterator<Item = Listing> {
    let (dealers, past) = (vehicles / 5, vehicles / 10);
    let upcoming = vehicles - dealers - past;
    let first = working_day(today);
    let ahead =
        days(first, DAYS_AHEAD, upcoming).map(move |(day, index)| lot(seed, day, index, false));
    let back = days(first - DAYS_BACK, DAYS_BACK, past)
        .map(move |(day, index)| lot(seed, day, index, true));
    let stock = (0..dealers).map(move |index| dealers_car(seed, u64::try_from(index).ok()?));
    ahead.chain(back).chain(stock).flatten()
}

/// Deals `total` lots to so many days from `first`: to each the same number whenever it is asked for, and in any such
/// number of days in a row exactly `total`.
fn days(first: i64, count: i64, total: usize) -> impl Iterator<Item = (i64, u64)> {
    let total = i64::try_from(total).unwrap_or_default();
    let before = move |day: i64| (day * total).div_euclid(count);
    (first..first + count).flat_map(move |day| {
        let lots = u64::try_from(before(day + 1) - before(day)).unwrap_or_default();
        (0..lots).map(move |index| (day, index))
    })
}

/// Counts the working days up to a date; a weekend counts as the Monday after it.
fn working_day(date: NaiveDate) -> i64 {
    let day = i64::from(date.num_days_from_ce()) - 1;
    day.div_euclid(7) * 5 + day.rem_euclid(7).min(5)
}

/// Returns the date of a working day.
fn date_of(working_day: i64) -> Option<NaiveDate> {
    let day = working_day.div_euclid(5) * 7 + working_day.rem_euclid(5) + 1;
    NaiveDate::from_num_days_from_ce_opt(i32::try_from(day).ok()?)
}

/// Returns the instant so many minutes after midnight in Korea, which has kept the same offset since 1988.
fn korean(date: NaiveDate, minutes: i64) -> DateTime<Utc> {
    date.and_time(NaiveTime::MIN).and_utc() + TimeDelta::minutes(minutes - 9 * 60)
}

/// Makes a lot of an auction day, held already or not.
fn lot(seed: u64, day: i64, index: u64, held: bool) -> Option<Listing> {
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
    let starts_at = korean(date, hall.start);
    let wait = TimeDelta::minutes(20 + chance.between(0, 240));
    let auction = Auction {
        lot_number: Some(number),
        date: starts_at,
        count: chance.weigh(COUNTS, |count| count.1)?.0,
        result: if held {
            result(index)
        } else {
            AuctionResult::Upcoming
        },
        result_at: held.then(|| starts_at + wait),
        accident_grade: chance.unless(4, condition.accident),
        exterior_grade: chance.unless(4, condition.exterior),
    };
    // Before it can be seen at all, thirteen days ahead of its auction at most.
    let listed_on = date - TimeDelta::days(chance.between(14, 18));
    let offer = Offer {
        id: VehicleId::parse(&id)?,
        source: hall.source,
        location: hall.location,
        listed_at: korean(listed_on, chance.between(9 * 60, 18 * 60)),
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

/// How often a car has come up, and of how many hundred cars that is true.
const COUNTS: &[(Option<i16>, i64)] = &[
    (Some(1), 66),
    (Some(2), 18),
    (Some(3), 8),
    (Some(4), 3),
    (Some(5), 2),
    (None, 3),
];

/// Makes a car of a dealer's stock.
fn dealers_car(seed: u64, index: u64) -> Option<Listing> {
    let mut chance = Chance::of(&[seed, 2, index]);
    // The multiplier shares no factor with the modulus, so that every number comes up once.
    let number =
        36_000_000 + (index * 1_618_033 + Chance::of(&[seed]).next() % 4_000_000) % 4_000_000;
    let listed_on = DEALERS_SINCE? + TimeDelta::days(chance.between(0, 90));
    let offer = Offer {
        id: VehicleId::parse(&format!("encar_{number}"))?,
        source: Source::Dealer,
        location: chance.pick(CITIES)?,
        listed_at: korean(listed_on, chance.between(9 * 60, 20 * 60)),
        auction: None,
        condition: Condition::draw(&mut chance)?,
        seed,
        slot: DEALERS_SLOTS + index,
    };
    offer.draw(&mut chance)
}

/// Numbers the lots of a day: scattered over four digits, and each number once.
fn lot_number(day: u64, index: u64) -> u64 {
    let scattered = (index * 1_619 + Chance::of(&[day]).next() % 9_000) % 9_000;
    1_000 + scattered + index / 9_000 * 10_000
}

/// Returns what became of a lot: of the first few, however few, a third at least are for sale at their price.
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
    use crate::vehicles::{demo::papers::check_digit, model::Grade};

    const SEED: u64 = 20_260_420;

    fn date(text: &str) -> NaiveDate {
        text.parse().unwrap()
    }

    /// Sixteen days in a row, two weekends and a leap day among them.
    fn some_days() -> impl Iterator<Item = NaiveDate> {
        date("2028-02-18").iter_days().take(16)
    }

    fn by_id(cars: Vec<Listing>) -> BTreeMap<VehicleId, Listing> {
        cars.into_iter().map(|car| (car.id.clone(), car)).collect()
    }

    #[test]
    fn the_same_seed_makes_the_same_cars() {
        let today = date("2026-04-20");
        let cars = catalogue(SEED, 500, today);
        assert_eq!(cars, catalogue(SEED, 500, today));
        assert_ne!(cars, catalogue(SEED + 1, 500, today));
        let told =
            |car: &Listing| format!("{} {} {} {}", car.id, car.make, car.model, car.listing_usd);
        // If these change, catalogues made before and after no longer fit together.
        assert_eq!(told(&cars[0]), "aj_20260420_5003_7355 Kia Ray 3880 USD");
        assert_eq!(told(&cars[499]), "encar_36684788 Volvo XC60 15940 USD");
    }

    #[test]
    fn there_are_exactly_as_many_as_asked_for() {
        for count in [0, 1, 7, 10, 99, 500, 5000] {
            for today in some_days().step_by(3) {
                let cars = catalogue(SEED, count, today);
                assert_eq!(cars.len(), count, "{today}");
                assert_eq!(by_id(cars).len(), count, "{today}");
            }
        }
    }

    #[test]
    fn tomorrow_lists_mostly_the_same_cars() {
        let mut yesterday = by_id(catalogue(SEED, 500, date("2028-02-17")));
        for today in some_days() {
            let cars = by_id(catalogue(SEED, 500, today));
            let known = cars
                .iter()
                .filter_map(|(id, car)| Some((car, yesterday.get(id)?)));
            let mut same = 0;
            for (car, before) in known {
                let mut before = before.clone();
                if let (Some(old), Some(new)) = (&mut before.auction, &car.auction)
                    && old.result == AuctionResult::Upcoming
                {
                    (old.result, old.result_at) = (new.result, new.result_at);
                }
                assert_eq!(*car, before);
                same += 1;
            }
            assert!(same >= 430, "{today}: {same}");
            yesterday = cars;
        }
    }

    #[test]
    fn every_car_is_what_the_model_says() {
        for today in some_days() {
            let midnight = korean(today, 0);
            for car in catalogue(SEED, 500, today) {
                assert_eq!(
                    car.source == Source::Dealer,
                    car.auction.is_none(),
                    "{}",
                    car.id
                );
                assert!(car.listed_at < midnight, "{}", car.id);
                assert!(
                    (1_500..=70_000).contains(&car.listing_usd.dollars()),
                    "{}",
                    car.id
                );
                assert!(
                    (100..450_000).contains(&car.mileage_km),
                    "{} {}",
                    car.id,
                    car.mileage_km
                );
                let first = car.details.first_registered_on;
                let year = first.map_or(0, |first| i32::from(car.year) - first.year());
                assert!((0..=1).contains(&year), "{}", car.id);
                assert!(
                    first.is_none_or(|first| korean(first, 0) < car.listed_at),
                    "{}",
                    car.id
                );
                assert_eq!(
                    car.thumbnail_url.is_none(),
                    car.details.photos.is_empty(),
                    "{}",
                    car.id
                );
                let Some(auction) = car.auction else { continue };
                let is_open = auction.result == AuctionResult::Upcoming;
                assert_eq!(auction.result_at.is_none(), is_open, "{}", car.id);
                assert_eq!(auction.date >= midnight, is_open, "{}", car.id);
                assert!(
                    auction
                        .result_at
                        .is_none_or(|at| at > auction.date && at < midnight)
                );
                assert!(car.listed_at < auction.date, "{}", car.id);
                let lot = auction.lot_number.unwrap();
                assert!(car.id.as_str().ends_with(&format!("_{lot}")), "{}", car.id);
                let front = format!(
                    "{}_{}_",
                    car.source.as_str(),
                    (auction.date + TimeDelta::hours(9)).format("%Y%m%d")
                );
                assert!(car.id.as_str().starts_with(&front), "{}", car.id);
            }
        }
    }

    #[test]
    fn there_is_something_of_everything() {
        for (today, count) in some_days().flat_map(|day| [(day, 500), (day, 100)]) {
            let cars = catalogue(SEED, count, today);
            let (lots, stock): (Vec<_>, Vec<_>) =
                cars.into_iter().partition(|car| car.auction.is_some());
            assert_eq!(stock.len(), count / 5);
            let far = korean(today, 2 * 24 * 60);
            let open = lots.iter().filter(|car| {
                car.upcoming_auction()
                    .is_some_and(|auction| auction.state().order_cutoff_at().instant() > far)
            });
            assert!(open.count() * 100 >= lots.len() * 40, "{today}");
            let near = lots.iter().filter(|car| {
                car.upcoming_auction()
                    .is_some_and(|auction| auction.date < korean(today, 4 * 24 * 60))
            });
            assert!(near.count() >= 3, "{today}");
            let held = lots.iter().filter(|car| car.upcoming_auction().is_none());
            let (buy_now, gone): (Vec<_>, Vec<_>) = held.partition(|car| car.is_buy_now());
            assert_eq!(buy_now.len() + gone.len(), count / 10);
            assert!(buy_now.len() * 3 >= count / 10, "{today}");
        }
        let cars = catalogue(SEED, 2000, date("2026-04-20"));
        for source in Source::ALL {
            assert!(cars.iter().any(|car| car.source == *source), "{source:?}");
        }
        for result in AuctionResult::ALL {
            let found = |car: &Listing| {
                car.auction
                    .as_ref()
                    .is_some_and(|auction| auction.result == *result)
            };
            assert!(cars.iter().any(found), "{result:?}");
        }
        for grade in Grade::ALL {
            let found = |car: &Listing| {
                car.auction
                    .as_ref()
                    .is_some_and(|auction| auction.accident_grade == Some(*grade))
            };
            assert!(cars.iter().any(found), "{grade:?}");
        }
        assert!(cars.iter().any(|car| car.trim.is_none()));
        assert!(cars.iter().any(|car| car.fuel.is_none()));
        assert!(cars.iter().any(|car| car.details.photos.is_empty()));
        assert!(cars.iter().any(|car| car.details.inspection.is_none()));
        assert!(
            cars.iter()
                .map(|car| car.make.as_str())
                .collect::<BTreeSet<_>>()
                .len()
                >= 11
        );
    }

    #[test]
    fn no_two_cars_share_their_papers() {
        let cars = catalogue(SEED, 5000, date("2026-04-20"));
        let vins: Vec<&str> = cars
            .iter()
            .filter_map(|car| car.details.vin.as_deref())
            .collect();
        for vin in &vins {
            assert_eq!(vin.len(), 17);
            assert_eq!(check_digit(vin), vin.chars().nth(8), "{vin}");
        }
        assert_eq!(vins.iter().collect::<BTreeSet<_>>().len(), vins.len());
        let plates: Vec<_> = cars
            .iter()
            .filter_map(|car| car.details.license_plate.as_ref())
            .collect();
        assert_eq!(plates.iter().collect::<BTreeSet<_>>().len(), plates.len());
    }

    #[test]
    fn two_million_cars_have_slots_of_their_own() {
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
