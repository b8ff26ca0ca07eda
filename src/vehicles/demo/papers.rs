//! What identifies a car: its vehicle identification number, and the plate it wears in Korea.

use chrono::{Datelike, NaiveDate};

use super::chance::Chance;

/// The characters of a vehicle identification number: no I, O or Q.
const VIN_LETTERS: &[char] = &[
    'A', 'B', 'C', 'D', 'E', 'F', 'G', 'H', 'J', 'K', 'L', 'M', 'N', 'P', 'R', 'S', 'T', 'U', 'V',
    'W', 'X', 'Y', 'Z', '1', '2', '3', '4', '5', '6', '7', '8', '9',
];

/// The model years' characters, of which a cycle has thirty and 2010 is the first.
const YEAR_LETTERS: &str = "ABCDEFGHJKLMNPRSTVWXY123456789";

/// What each of the seventeen characters weighs in the check digit; the ninth is that digit.
const WEIGHTS: [u32; 17] = [8, 7, 6, 5, 4, 3, 2, 10, 0, 9, 8, 7, 6, 5, 4, 3, 2];

/// The letters of private cars' plates.
const PLATE_LETTERS: &str = "가나다라마거너더러머버서어저고노도로모보소오조구누두루무부수우주";

/// How many plates share their first number: letters times four-digit numbers from 1000.
const PLATES_PER_NUMBER: u64 = 32 * 9000;

/// Makes the number of a car whose maker writes `maker`, five characters, at its front.
pub(super) fn vin(chance: &mut Chance, maker: &str, year: i16) -> Option<String> {
    let version: Option<String> = (0..3).map(|_| chance.pick(VIN_LETTERS)).collect();
    let version = version?;
    let cycle = usize::try_from((year - 2010).rem_euclid(30)).ok()?;
    let year = YEAR_LETTERS.chars().nth(cycle)?;
    let plant = chance.pick(&['A', 'B', 'K', 'S', 'U'])?;
    let serial = chance.between(1_000, 999_999);
    let check = check_digit(&format!("{maker}{version}0{year}{plant}{serial:06}"))?;
    Some(format!("{maker}{version}{check}{year}{plant}{serial:06}"))
}

/// Makes the plate of a car in a `slot` that no other car has, below nineteen million.
///
/// Two cars with one plate are one car to us, listed again; so plates are not drawn but dealt.
pub(super) fn plate(
    chance: &mut Chance,
    seed: u64,
    slot: u64,
    registered: NaiveDate,
) -> Option<String> {
    // Since September 2019 a new plate has three digits in front; most older cars keep their two.
    let is_long = registered >= NaiveDate::from_ymd_opt(2019, 9, 1)? || chance.percent(25);
    let (first, numbers) = if is_long { (100, 600) } else { (1, 69) };
    // Multiplying by a number that shares no factor with the modulus deals every plate once.
    let dealt = slot * 61_803_397 + seed % 1_000_000_007;
    let dealt = dealt % (numbers * PLATES_PER_NUMBER);
    let letter = PLATE_LETTERS
        .chars()
        .nth(usize::try_from(dealt / 9000 % 32).ok()?)?;
    Some(format!(
        "{:02}{letter}{}",
        first + dealt / PLATES_PER_NUMBER,
        1000 + dealt % 9000
    ))
}

/// Returns the check digit of a vehicle identification number; `None` if a character is not allowed.
pub(super) fn check_digit(vin: &str) -> Option<char> {
    let mut sum = 0;
    for (character, weight) in vin.chars().zip(WEIGHTS) {
        sum += weight * value(character)?;
    }
    match sum % 11 {
        10 => Some('X'),
        rest => char::from_digit(rest, 10),
    }
}

fn value(character: char) -> Option<u32> {
    match character {
        '0'..='9' => character.to_digit(10),
        'A' | 'J' => Some(1),
        'B' | 'K' | 'S' => Some(2),
        'C' | 'L' | 'T' => Some(3),
        'D' | 'M' | 'U' => Some(4),
        'E' | 'N' | 'V' => Some(5),
        'F' | 'W' => Some(6),
        'G' | 'P' | 'X' => Some(7),
        'H' | 'Y' => Some(8),
        'R' | 'Z' => Some(9),
        _ => None,
    }
}

/// Returns the year that a car registered on that day is sold as: autumn's cars may be next year's already.
pub(super) fn model_year(chance: &mut Chance, registered: NaiveDate, last: i16) -> Option<i16> {
    let early = i16::from(registered.month() >= 10 && chance.percent(35));
    let year = i16::try_from(registered.year()).ok()?;
    Some((year + early).min(last.max(year)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn check_digits_are_those_of_real_numbers() {
        for vin in [
            "1M8GDM9AXKP042788",
            "11111111111111111",
            "5GZCZ43D13S812715",
        ] {
            assert_eq!(check_digit(vin), vin.chars().nth(8), "{vin}");
        }
        assert_eq!(check_digit("1M8GDM9AXKPO42788"), None);
    }

    #[test]
    fn the_model_year_is_the_tenth_character() {
        for (year, letter) in [
            (2009, '9'),
            (2010, 'A'),
            (2017, 'H'),
            (2018, 'J'),
            (2026, 'T'),
            (2031, '1'),
        ] {
            let vin = vin(&mut Chance::of(&[7]), "KMHGN", year).unwrap();
            assert_eq!((vin.len(), vin.chars().nth(9)), (17, Some(letter)), "{vin}");
        }
    }

    #[test]
    fn no_plate_is_dealt_twice() {
        for registered in ["2016-01-01", "2022-01-01"] {
            let mut seen = std::collections::HashSet::new();
            for slot in (0..19_000_000).step_by(317) {
                let mut chance = Chance::of(&[slot]);
                let plate = plate(&mut chance, u64::MAX, slot, registered.parse().unwrap());
                assert!(seen.insert(plate.unwrap()));
            }
        }
    }
}
