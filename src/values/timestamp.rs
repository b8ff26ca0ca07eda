//! A time with the offset of the place where it happened.
//!
//! An auction in Korea prints as `+09:00`, a delivery in Lagos as `+01:00`, and the offset is stored. No time ever
//! prints as `Z`, and a time without an offset is refused.

use std::{fmt, str::FromStr};

use chrono::{
    DateTime, Datelike, FixedOffset, NaiveDate, NaiveTime, Offset, TimeDelta, Timelike, Utc,
};
use serde::{Serialize, Serializer};

/// An instant with a precision of milliseconds, and an offset from UTC.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Timestamp(DateTime<FixedOffset>);

/// The reason why a text is not a [`Timestamp`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum TimestampError {
    /// The instant is known, but not the offset of the place: `Z`, or `-00:00`.
    #[error("a time needs the offset of its place, such as +09:00 or +00:00; Z is not an offset")]
    NoOffset,
    /// Too early or too late for a four-digit year with every offset.
    #[error("a time lies between the years 1 and 9999")]
    OutOfRange,
    /// Not an RFC 3339 time.
    #[error("a time is written like 2026-04-20T13:00:00+09:00")]
    Malformed,
}

/// The range of times: 0001-01-02T00:00:00 to 9999-12-30T23:59:59 UTC, in unix seconds.
const FIRST_SECOND: i64 = -62_135_510_400;
const LAST_SECOND: i64 = 253_402_214_399;

/// Returns the offset of Korea, +09:00 in every year, even in years with another legal time.
fn korea() -> FixedOffset {
    FixedOffset::east_opt(9 * 60 * 60).unwrap_or(Utc.fix())
}

impl Timestamp {
    /// Creates a time in Korea from an instant.
    pub fn kst(instant: DateTime<Utc>) -> Self {
        Self(instant.with_timezone(&korea())).cut()
    }

    /// Creates a time from an instant and an offset of `minutes` offset_parts of UTC.
    pub fn at_offset(instant: DateTime<Utc>, minutes: i16) -> Option<Self> {
        let offset = FixedOffset::east_opt(i32::from(minutes) * 60)?;
        Some(Self(instant.with_timezone(&offset)).cut())
    }

    /// Parses RFC 3339 with an offset.
    pub fn parse(text: &str) -> Result<Self, TimestampError> {
        // chrono also accepts U+2212 as the minus of an offset.
        if !text.is_ascii() {
            return Err(TimestampError::Malformed);
        }
        let time = DateTime::parse_from_rfc3339(text).map_err(|_| TimestampError::Malformed)?;
        if text.ends_with(['Z', 'z']) || text.ends_with("-00:00") {
            return Err(TimestampError::NoOffset);
        }
        // chrono represents a leap second as a nanosecond above one second; PostgreSQL has no leap seconds.
        if time.nanosecond() >= 1_000_000_000 {
            return Err(TimestampError::Malformed);
        }
        // One day from both ends, so that the year has four digits with every offset.
        let seconds = time.timestamp();
        if !(FIRST_SECOND..=LAST_SECOND).contains(&seconds) {
            return Err(TimestampError::OutOfRange);
        }
        Ok(Self(time).cut())
    }

    /// Returns the instant.
    pub fn instant(self) -> DateTime<Utc> {
        self.0.to_utc()
    }

    /// Returns the offset, in minutes offset_parts of UTC.
    pub fn offset_minutes(self) -> i16 {
        i16::try_from(self.0.offset().local_minus_utc() / 60).unwrap_or_default()
    }

    /// Returns the start of a day in Korea.
    pub fn midnight_in_korea(day: NaiveDate) -> Self {
        let midnight =
            day.and_time(NaiveTime::MIN) - TimeDelta::seconds(korea().local_minus_utc().into());
        Self::kst(midnight.and_utc())
    }

    /// Returns the calendar date in Korea.
    pub fn day_in_korea(self) -> NaiveDate {
        self.0.with_timezone(&korea()).date_naive()
    }

    /// Returns midnight in Korea at the start of the day before this instant's Korean calendar date.
    pub fn order_cutoff(self) -> Self {
        let here = self.0.with_timezone(&korea());
        let since_midnight = here.time() - NaiveTime::MIN;
        Self(here - since_midnight - TimeDelta::days(1))
    }

    fn cut(self) -> Self {
        let milliseconds = self.0.nanosecond() / 1_000_000;
        Self(
            self.0
                .with_nanosecond(milliseconds * 1_000_000)
                .unwrap_or(self.0),
        )
    }
}

impl FromStr for Timestamp {
    type Err = TimestampError;

    fn from_str(text: &str) -> Result<Self, TimestampError> {
        Self::parse(text)
    }
}

/// The length of the longest time, in characters.
const CHARACTERS_MAX: usize = "2026-04-20T13:00:00.000+09:00".len();

/// The text of a [`Timestamp`], on the stack: an order has up to six times, and a page of orders has hundreds.
struct Text {
    bytes: [u8; CHARACTERS_MAX],
    length: usize,
}

impl Text {
    fn of(time: &DateTime<FixedOffset>) -> Self {
        let mut text = Self {
            bytes: [b'0'; CHARACTERS_MAX],
            length: 0,
        };
        let (year, offset) = (time.year().unsigned_abs(), time.offset().local_minus_utc());
        text.number(year, 4);
        text.part(b'-', time.month());
        text.part(b'-', time.day());
        text.part(b'T', time.hour());
        text.part(b':', time.minute());
        text.part(b':', time.second());
        let milliseconds = time.nanosecond() / 1_000_000;
        if milliseconds > 0 {
            text.byte(b'.');
            text.number(milliseconds, 3);
        }
        let minutes = offset.unsigned_abs() / 60;
        text.part(if offset < 0 { b'-' } else { b'+' }, minutes / 60);
        text.part(b':', minutes % 60);
        text
    }

    fn part(&mut self, separator: u8, number: u32) {
        self.byte(separator);
        self.number(number, 2);
    }

    fn byte(&mut self, byte: u8) {
        if let Some(place) = self.bytes.get_mut(self.length) {
            *place = byte;
        }
        self.length += 1;
    }

    /// Writes the last `digits` digits of a number.
    fn number(&mut self, number: u32, digits: u32) {
        for power in (0..digits).rev() {
            let digit = number / 10_u32.pow(power) % 10;
            self.byte(b'0' + u8::try_from(digit).unwrap_or_default());
        }
    }

    fn as_str(&self) -> &str {
        let bytes = self.bytes.get(..self.length).unwrap_or_default();
        std::str::from_utf8(bytes).unwrap_or_default()
    }
}

impl fmt::Display for Timestamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(Text::of(&self.0).as_str())
    }
}

impl Serialize for Timestamp {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(Text::of(&self.0).as_str())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn timestamp(text: &str) -> Timestamp {
        Timestamp::parse(text).unwrap()
    }

    #[test]
    fn offset_is_kept() {
        for text in [
            "2026-04-20T13:00:00+09:00",
            "2026-04-20T05:00:00.250+01:00",
            "2026-04-20T05:00:00-03:30",
            "2026-04-20T05:00:00+00:00",
        ] {
            let timestamp = timestamp(text);
            assert_eq!(timestamp.to_string(), text);
            let stored = Timestamp::at_offset(timestamp.instant(), timestamp.offset_minutes());
            assert_eq!(stored.unwrap().to_string(), text);
        }
    }

    #[test]
    fn fraction_is_truncated_to_milliseconds() {
        assert_eq!(
            timestamp("2026-01-01T00:00:00.123987+09:00").to_string(),
            "2026-01-01T00:00:00.123+09:00"
        );
        assert_eq!(
            timestamp("2026-01-01T00:00:00.000987+09:00").to_string(),
            "2026-01-01T00:00:00+09:00"
        );
    }

    #[test]
    fn time_without_an_offset_is_refused() {
        for text in [
            "2026-04-20T13:00:00Z",
            "2026-04-20T13:00:00z",
            "2026-04-20T13:00:00-00:00",
        ] {
            assert_eq!(
                Timestamp::parse(text),
                Err(TimestampError::NoOffset),
                "{text}"
            );
        }
        for text in [
            "",
            "2026-04-20",
            "2026-04-20T13:00:00",
            "2026-02-30T13:00:00+09:00",
            "2026-04-20T24:00:00+09:00",
            "2026-06-30T23:59:60+00:00",
            "20260420T130000+0900",
            "2025-06-15T12:00:00\u{2212}05:00",
            "2025-06-15T12:00:00\u{ff0b}09:00",
            "2025\u{2212}06-15T12:00:00+09:00",
            "2025-06-15T12:00:0\u{ff10}+09:00",
        ] {
            assert_eq!(
                Timestamp::parse(text),
                Err(TimestampError::Malformed),
                "{text}"
            );
        }
    }

    #[test]
    fn cutoff_is_midnight_in_korea_on_the_day_before() {
        for (auction, cutoff) in [
            ("2026-04-20T13:00:00+09:00", "2026-04-19T00:00:00+09:00"),
            ("2026-04-20T00:00:00+09:00", "2026-04-19T00:00:00+09:00"),
            ("2026-04-20T23:59:59.999+09:00", "2026-04-19T00:00:00+09:00"),
            // The date in Korea counts, whatever the offset of the time.
            ("2026-04-19T16:00:00+00:00", "2026-04-19T00:00:00+09:00"),
            ("2026-01-01T10:00:00+09:00", "2025-12-31T00:00:00+09:00"),
            ("2028-03-01T10:00:00+09:00", "2028-02-29T00:00:00+09:00"),
        ] {
            assert_eq!(timestamp(auction).order_cutoff().to_string(), cutoff);
        }
    }

    #[test]
    fn korean_time_is_nine_hours_ahead_in_every_year() {
        for (text, korean) in [
            ("1905-06-01T00:00:00+00:00", "1905-06-01T09:00:00+09:00"),
            ("1987-07-01T00:00:00+00:00", "1987-07-01T09:00:00+09:00"),
        ] {
            assert_eq!(
                Timestamp::kst(timestamp(text).instant()).to_string(),
                korean
            );
        }
    }

    proptest::proptest! {
        #[test]
        fn time_prints_as_rfc_3339(
            milliseconds in FIRST_SECOND * 1000..LAST_SECOND * 1000,
            minutes in -1439_i16..=1439,
        ) {
            let instant = DateTime::from_timestamp_millis(milliseconds).unwrap();
            let timestamp = Timestamp::at_offset(instant, minutes).unwrap();
            let form = match milliseconds % 1000 {
                0 => "%Y-%m-%dT%H:%M:%S%:z",
                _ => "%Y-%m-%dT%H:%M:%S%.3f%:z",
            };
            let expected = timestamp.0.format(form).to_string();
            proptest::prop_assert_eq!(timestamp.to_string(), &*expected);
            proptest::prop_assert_eq!(serde_json::to_value(timestamp).unwrap(), expected);
        }
    }

    #[test]
    fn year_has_four_digits_with_every_offset() {
        for text in ["0001-01-02T00:00:00+00:00", "9999-12-30T23:59:59.999+00:00"] {
            let korean = Timestamp::kst(timestamp(text).instant()).to_string();
            assert_eq!(korean.len(), text.len(), "{korean}");
        }
        for text in [
            "0000-06-01T00:00:00+00:00",
            "0001-01-01T00:00:00+09:00",
            "9999-12-31T00:00:00+00:00",
            "9999-12-31T23:59:59-01:00",
        ] {
            assert_eq!(
                Timestamp::parse(text),
                Err(TimestampError::OutOfRange),
                "{text}"
            );
        }
    }

    proptest::proptest! {
        #[test]
        fn printed_time_parses_back(millis in -60_000_000_000_000_i64..250_000_000_000_000, minutes in -1439_i16..1440) {
            let instant = DateTime::from_timestamp_millis(millis).unwrap();
            let timestamp = Timestamp::at_offset(instant, minutes).unwrap();
            proptest::prop_assert_eq!(Timestamp::parse(&timestamp.to_string()), Ok(timestamp));
            proptest::prop_assert_eq!((timestamp.instant(), timestamp.offset_minutes()), (instant, minutes));
        }

        #[test]
        fn near_valid_time_is_accepted_only_as_the_calendar_allows(
            date in (0_u32..10_000, 0_u32..14, 0_u32..33),
            time in (0_u32..26, 0_u32..62, 0_u32..62),
            fraction in "(\\.[0-9]{1,9})?",
            letter in "[Tt]",
            place in "[Zz]|[+-]0[0-9]:[0-9]{2}|[+-][12][0-9]:[0-5][0-9]|[+-][0-9]{4}|",
        ) {
            let ((year, month, day), (hour, minute, second)) = (date, time);
            let text = format!("{year:04}-{month:02}-{day:02}{letter}{hour:02}:{minute:02}:{second:02}{fraction}{place}");
            let leap = year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
            let days = match month {
                1 | 3 | 5 | 7 | 8 | 10 | 12 => 31,
                4 | 6 | 9 | 11 => 30,
                2 => 28 + u32::from(leap),
                _ => 0,
            };
            let is_date = (1..=days).contains(&day) && hour < 24 && minute < 60 && second < 60;
            let offset_parts = place.split_once(':').map(|(hours, minutes)| {
                let sign = if place.starts_with('-') { -1 } else { 1 };
                (hours[1..].parse::<i32>().unwrap(), minutes.parse::<i32>().unwrap(), sign)
            });
            let valid_offset = offset_parts.filter(|(hours, minutes, _)| *hours < 24 && *minutes < 60);
            match Timestamp::parse(&text) {
                Ok(timestamp) => {
                    let (hours, minutes, sign) = valid_offset.unwrap();
                    proptest::prop_assert!(is_date && place != "-00:00", "{text}");
                    proptest::prop_assert_eq!(i32::from(timestamp.offset_minutes()), sign * (hours * 60 + minutes));
                    let expected_text = format!("{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}");
                    proptest::prop_assert!(timestamp.to_string().starts_with(&expected_text), "{text}");
                }
                Err(TimestampError::NoOffset) => {
                    proptest::prop_assert!(matches!(place.as_str(), "Z" | "z" | "-00:00"), "{text}");
                }
                Err(TimestampError::OutOfRange) => {
                    proptest::prop_assert!(is_date && (year <= 1 || year == 9_999), "{text}");
                }
                Err(TimestampError::Malformed) => {
                    let is_valid = is_date && (valid_offset.is_some() || matches!(place.as_str(), "Z" | "z"));
                    proptest::prop_assert!(!is_valid, "{text}");
                }
            }
        }

        #[test]
        fn parsing_never_panics(text in "\\PC*") {
            let _ = Timestamp::parse(&text);
        }

        #[test]
        fn cutoff_is_one_to_two_days_before(millis in 0_i64..4_000_000_000_000) {
            let auction = Timestamp::kst(DateTime::from_timestamp_millis(millis).unwrap());
            let before = auction.instant() - auction.order_cutoff().instant();
            proptest::prop_assert!(before >= TimeDelta::hours(24) && before < TimeDelta::hours(48));
        }
    }
}
