//! Values on the command line: durations (`30d`, `24h`, `90m`, `45s`), start times given as a time or a duration,
//! amounts, and the values of enumerations.

use std::{fmt, str::FromStr};

use chrono::{DateTime, TimeDelta, Utc};
use clap::builder::{PossibleValuesParser, TypedValueParser};

use crate::values::{
    money::{FEE_MAX, Usd},
    string_enum::StringEnum,
    timestamp::Timestamp,
};

/// The maximum duration, in days: ten years.
const DAYS_MAX: i64 = 3_653;

/// A duration: a whole number of days, hours, minutes or seconds, from a second to ten years.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Span(TimeDelta);

/// The error of a text that is not a [`Span`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a duration is written like 30d, 24h, 90m or 45s, and is at most {DAYS_MAX} days")]
pub(super) struct InvalidSpan;

impl Span {
    /// Returns the duration.
    pub(super) fn length(self) -> TimeDelta {
        self.0
    }
}

impl FromStr for Span {
    type Err = InvalidSpan;

    fn from_str(text: &str) -> Result<Self, InvalidSpan> {
        let units = [('d', 86_400), ('h', 3_600), ('m', 60), ('s', 1)];
        let parse = |(unit, seconds): (char, i64)| {
            let number = text.strip_suffix(unit)?;
            let is_digits = number.bytes().all(|byte| byte.is_ascii_digit());
            let number: i64 = number.parse().ok().filter(|_| is_digits)?;
            number.checked_mul(seconds)
        };
        let seconds = units.into_iter().find_map(parse).ok_or(InvalidSpan)?;
        let fits = (1..=DAYS_MAX * 86_400).contains(&seconds);
        let length = TimeDelta::try_seconds(seconds).filter(|_| fits);
        length.map(Self).ok_or(InvalidSpan)
    }
}

/// A start time: a time, or a duration before now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Since {
    /// A time.
    Time(Timestamp),
    /// A duration before now.
    Ago(Span),
}

/// The error of a text that is not a [`Since`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct InvalidSince(String);

impl fmt::Display for InvalidSince {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}; or a duration before now, such as 24h", self.0)
    }
}

impl std::error::Error for InvalidSince {}

impl Since {
    /// Returns the time, given the current time.
    pub(super) fn instant(self, now: DateTime<Utc>) -> DateTime<Utc> {
        match self {
            Self::Time(time) => time.instant(),
            Self::Ago(span) => now - span.length(),
        }
    }
}

impl FromStr for Since {
    type Err = InvalidSince;

    fn from_str(text: &str) -> Result<Self, InvalidSince> {
        if let Ok(span) = text.parse() {
            return Ok(Self::Ago(span));
        }
        let time = Timestamp::parse(text).map_err(|error| InvalidSince(error.to_string()))?;
        Ok(Self::Time(time))
    }
}

/// Returns the parser of an enumeration. Help, errors and completions list its values.
pub(super) fn any_of<E>() -> impl TypedValueParser<Value = E>
where
    E: StringEnum + Send + Sync,
{
    one_of(|_| true)
}

/// Returns the parser of those values of an enumeration that are offered. Help, errors and completions list them.
pub(super) fn one_of<E>(is_offered: fn(E) -> bool) -> impl TypedValueParser<Value = E>
where
    E: StringEnum + Send + Sync,
{
    let offered = E::ALL.iter().copied().filter(|it| is_offered(*it));
    let words: Vec<&'static str> = offered.map(E::as_str).collect();
    PossibleValuesParser::new(words).try_map(|word| E::parse(&word).ok_or("is not a value"))
}

/// Parses an amount of whole US dollars.
pub(super) fn usd(text: &str) -> Result<Usd, String> {
    let number = text.parse().ok().and_then(Usd::new);
    number.ok_or_else(|| "an amount must be 1 to 10000000 whole US dollars".to_owned())
}

/// Parses a fee of whole US dollars.
pub(super) fn fee(text: &str) -> Result<i32, String> {
    let number = text.parse().ok().filter(|it| (0..=FEE_MAX).contains(it));
    let number = number.and_then(|it| i32::try_from(it).ok());
    number.ok_or_else(|| format!("a fee must be 0 to {FEE_MAX} whole US dollars"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn duration_is_a_number_and_a_unit() {
        for (text, seconds) in [
            ("30d", 30 * 86_400),
            ("24h", 86_400),
            ("90m", 5_400),
            ("45s", 45),
            ("3653d", 3_653 * 86_400),
            ("007s", 7),
        ] {
            let span: Span = text.parse().unwrap();
            assert_eq!(span.length().num_seconds(), seconds, "{text}");
        }
        for text in [
            "",
            "d",
            "30",
            "0s",
            "-1d",
            "+1d",
            "1.5h",
            "1w",
            "1 d",
            "1d12h",
            "30D",
            "3654d",
            "9223372036854775807d",
            "99999999999999999999s",
            "\u{0661}d",
        ] {
            assert_eq!(text.parse::<Span>(), Err(InvalidSpan), "{text}");
        }
    }

    #[test]
    fn start_time_is_a_time_or_a_duration_before_now() {
        let now = DateTime::from_timestamp_millis(1_776_654_000_000).unwrap();
        let instant = |text: &str| text.parse::<Since>().map(|it| it.instant(now));
        assert_eq!(instant("24h"), Ok(now - TimeDelta::hours(24)));
        let time = "2026-04-20T13:00:00+09:00";
        assert_eq!(instant(time), Ok(Timestamp::parse(time).unwrap().instant()));
        for text in ["", "yesterday", "2026-04-20T13:00:00Z", "2026-04-20"] {
            assert!(instant(text).is_err(), "{text}");
        }
    }

    proptest::proptest! {
        #[test]
        fn parsing_any_text_does_not_panic(text in "\\PC{0,24}|[0-9]{0,24}[dhms]") {
            let _ = text.parse::<Span>();
            let _ = text.parse::<Since>();
        }
    }
}
