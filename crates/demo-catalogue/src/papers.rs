//! Identifiers of a vehicle: its vehicle identification number (VIN) and its Korean license plate.

use chrono::{Datelike, NaiveDate};

use crate::chance::Chance;

/// The characters that are drawn for a VIN; I, O and Q are not allowed in one.
const VIN_LETTERS: &[char] = &[
    'A', 'B', 'C', 'D', 'E', 'F', 'G', 'H', 'J', 'K', 'L', 'M', 'N', 'P', 'R', 'S', 'T', 'U', 'V',
    'W', 'X', 'Y', 'Z', '1', '2', '3', '4', '5', '6', '7', '8', '9',
];

/// The characters of the model years: a cycle of thirty that begins with 2010.
const YEAR_LETTERS: &str = "ABCDEFGHJKLMNPRSTVWXY123456789";

/// The weights of the seventeen characters in the check digit, which is the ninth character.
const WEIGHTS: [u32; 17] = [8, 7, 6, 5, 4, 3, 2, 10, 0, 9, 8, 7, 6, 5, 4, 3, 2];

/// The letters of the plates of private vehicles.
const PLATE_LETTERS: &str = "가나다라마거너더러머버서어저고노도로모보소오조구누두루무부수우주";

/// The number of plates that share their first number: 32 letters times the four-digit numbers from 1000.
const PLATES_PER_NUMBER: u64 = 32 * 9000;

/// Generates the VIN of a vehicle; `maker` is its first five characters.
pub(crate) fn vin(chance: &mut Chance, maker: &str, year: i16) -> Option<String> {
    let version: Option<String> = (0..3).map(|_| chance.pick(VIN_LETTERS)).collect();
    let version = version?;
    let cycle = usize::try_from((year - 2010).rem_euclid(30)).ok()?;
    let year = YEAR_LETTERS.chars().nth(cycle)?;
    let plant = chance.pick(&['A', 'B', 'K', 'S', 'U'])?;
    let serial = chance.between(1_000, 999_999);
    let check = check_digit(&format!("{maker}{version}0{year}{plant}{serial:06}"))?;
    Some(format!("{maker}{version}{check}{year}{plant}{serial:06}"))
}

/// Generates the plate of a vehicle with the number `slot`, which no other vehicle has and which is below nineteen
/// million.
///
/// Two vehicles with the same plate count as one vehicle that is listed again, so plates are not drawn at random but
/// derived from `slot`.
pub(crate) fn plate(
    chance: &mut Chance,
    seed: u64,
    slot: u64,
    registered: NaiveDate,
) -> Option<String> {
    // New plates begin with three digits since September 2019; most older vehicles keep plates with two.
    let is_long = registered >= NaiveDate::from_ymd_opt(2019, 9, 1)? || chance.percent(25);
    let (first, numbers) = if is_long { (100, 600) } else { (1, 69) };
    // Multiplication by a number that is coprime to the modulus yields every plate once.
    let index = slot * 61_803_397 + seed % 1_000_000_007;
    let index = index % (numbers * PLATES_PER_NUMBER);
    let letter = PLATE_LETTERS
        .chars()
        .nth(usize::try_from(index / 9000 % 32).ok()?)?;
    Some(format!(
        "{:02}{letter}{}",
        first + index / PLATES_PER_NUMBER,
        1000 + index % 9000
    ))
}

/// Returns the check digit of a VIN; `None` if a character is not allowed.
pub(crate) fn check_digit(vin: &str) -> Option<char> {
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

/// Draws the model year of a vehicle by the day of its registration: from October on, it may be the next year.
pub(crate) fn model_year(chance: &mut Chance, registered: NaiveDate, last: i16) -> Option<i16> {
    let next_year = i16::from(registered.month() >= 10 && chance.percent(35));
    let year = i16::try_from(registered.year()).ok()?;
    Some((year + next_year).min(last.max(year)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn check_digits_match_those_of_real_vins() {
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
    fn model_year_is_the_tenth_character() {
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
    fn plates_are_unique() {
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
