//! The fields of a line: members of JSON objects, read one by one while their errors are collected.

use std::{fmt, ops::RangeInclusive};

use chrono::{DateTime, Datelike, NaiveDate, Utc};
use serde_json::{Map, Value};

use crate::values::{id::VehicleId, money::Usd, string_enum::StringEnum, timestamp::Timestamp};

/// Maximum number of characters of a name, such as a make, trim, color, location or license plate.
const NAME_CHARACTERS_MAX: usize = 200;
/// Maximum number of characters of a URL.
const URL_CHARACTERS_MAX: usize = 2_048;
/// Maximum number of characters of a text in sentences.
const PROSE_CHARACTERS_MAX: usize = 20_000;
/// Maximum number of entries of a list.
const ITEMS_MAX: usize = 500;
/// The years that a model year, a date or a time may have.
pub(super) const YEARS: RangeInclusive<i64> = 1900..=2100;
/// Maximum number of characters of a wrong value that its error repeats.
const RECEIVED_CHARACTERS_MAX: usize = 64;

/// The members of one object, and the errors found in them.
pub(super) struct Fields<'a> {
    members: &'a Map<String, Value>,
    /// The part of a member's path before its name.
    path: &'a str,
    reasons: &'a mut Vec<String>,
}

impl<'a> Fields<'a> {
    /// Creates a reader of an object whose members' paths begin with `path`.
    pub(super) fn of(
        members: &'a Map<String, Value>,
        path: &'a str,
        reasons: &'a mut Vec<String>,
    ) -> Self {
        Self {
            members,
            path,
            reasons,
        }
    }

    /// Returns a member; `None` if it is absent or null.
    pub(super) fn value(&self, name: &str) -> Option<&'a Value> {
        self.members.get(name).filter(|value| !value.is_null())
    }

    /// Records an error of a member.
    pub(super) fn complain(&mut self, name: &str, error: impl fmt::Display) {
        self.reasons.push(format!("{}{name}: {error}", self.path));
    }

    /// Reads an optional member.
    pub(super) fn optional<T>(
        &mut self,
        name: &str,
        read: impl FnOnce(&Value) -> Result<T, String>,
    ) -> Option<T> {
        let read = read(self.value(name)?);
        read.map_err(|error| self.complain(name, error)).ok()
    }

    /// Reads a required member.
    pub(super) fn required<T>(
        &mut self,
        name: &str,
        read: impl FnOnce(&Value) -> Result<T, String>,
    ) -> Option<T> {
        if self.value(name).is_none() {
            self.complain(name, "is required");
        }
        self.optional(name, read)
    }

    /// Reads a list of values; an absent list is empty.
    pub(super) fn list<T>(
        &mut self,
        name: &str,
        read: impl Fn(&Value) -> Result<T, String>,
    ) -> Vec<T> {
        let mut values = Vec::new();
        for (n, value) in self.entries(name).iter().enumerate() {
            match read(value) {
                Ok(value) => values.push(value),
                Err(error) => self.complain(&format!("{name}[{n}]"), error),
            }
        }
        values
    }

    /// Reads a list of objects; an absent list is empty.
    pub(super) fn items<T>(
        &mut self,
        name: &str,
        read: impl Fn(&mut Fields) -> Option<T>,
    ) -> Vec<T> {
        let mut items = Vec::new();
        for (n, value) in self.entries(name).iter().enumerate() {
            items.extend(self.members_of(&format!("{name}[{n}]"), value, &read));
        }
        items
    }

    fn entries(&mut self, name: &str) -> &'a [Value] {
        match self.value(name) {
            None => &[],
            Some(Value::Array(values)) if values.len() <= ITEMS_MAX => values,
            Some(Value::Array(_)) => {
                self.complain(name, format_args!("has more than {ITEMS_MAX} entries"));
                &[]
            }
            Some(value) => {
                self.complain(name, wrong(value, "a list"));
                &[]
            }
        }
    }

    /// Reads an object, if it is present.
    pub(super) fn object<T>(
        &mut self,
        name: &str,
        read: impl FnOnce(&mut Fields) -> Option<T>,
    ) -> Option<T> {
        let value = self.value(name)?;
        self.members_of(name, value, read)
    }

    fn members_of<T>(
        &mut self,
        name: &str,
        value: &Value,
        read: impl FnOnce(&mut Fields) -> Option<T>,
    ) -> Option<T> {
        let Value::Object(members) = value else {
            self.complain(name, wrong(value, "an object"));
            return None;
        };
        let path = format!("{}{name}.", self.path);
        read(&mut Fields::of(members, &path, self.reasons))
    }
}

/// Returns the error of a value that is not as expected.
fn wrong(value: &Value, expected: impl fmt::Display) -> String {
    let text = value.to_string();
    let cut: String = text.chars().take(RECEIVED_CHARACTERS_MAX).collect();
    let more = if cut.len() < text.len() { "…" } else { "" };
    format!("{cut}{more} is not {expected}")
}

/// Reads a short text.
pub(super) fn name(value: &Value) -> Result<String, String> {
    text(value, NAME_CHARACTERS_MAX)
}

/// Reads a URL, as text.
pub(super) fn url(value: &Value) -> Result<String, String> {
    text(value, URL_CHARACTERS_MAX)
}

/// Reads sentences.
pub(super) fn prose(value: &Value) -> Result<String, String> {
    text(value, PROSE_CHARACTERS_MAX)
}

fn text(value: &Value, characters_max: usize) -> Result<String, String> {
    let text = value.as_str().ok_or_else(|| wrong(value, "a string"))?;
    if text.trim().is_empty() {
        return Err("is empty; use null for a missing value".to_owned());
    }
    // PostgreSQL cannot store a NUL in a text.
    if text.contains('\0') {
        return Err("contains a NUL character".to_owned());
    }
    // A character is at least one byte, so that shorter texts need no count.
    if text.len() > characters_max && text.chars().nth(characters_max).is_some() {
        return Err(format!("has more than {characters_max} characters"));
    }
    Ok(text.to_owned())
}

/// Reads a value of a fixed list.
pub(super) fn word<W: StringEnum>(value: &Value) -> Result<W, String> {
    value.as_str().and_then(W::parse).ok_or_else(|| {
        let words: Vec<&str> = W::ALL.iter().map(|word| word.as_str()).collect();
        wrong(value, format_args!("one of {}", words.join(", ")))
    })
}

/// Reads a vehicle's id.
pub(super) fn vehicle_id(value: &Value) -> Result<VehicleId, String> {
    let id = value.as_str().and_then(VehicleId::parse);
    id.ok_or_else(|| {
        wrong(
            value,
            "1 to 64 of A-Z, a-z, 0-9, _ and -, other than `facets`",
        )
    })
}

/// Returns a reader of an integer in a range.
pub(super) fn integer<N: TryFrom<i64>>(
    range: RangeInclusive<i64>,
) -> impl Fn(&Value) -> Result<N, String> {
    move |value| {
        let number = value.as_i64().filter(|it| range.contains(it));
        let number = number.and_then(|it| N::try_from(it).ok());
        let (low, high) = (range.start(), range.end());
        number.ok_or_else(|| wrong(value, format_args!("an integer from {low} to {high}")))
    }
}

/// Reads an amount in US dollars.
pub(super) fn usd(value: &Value) -> Result<Usd, String> {
    let amount = value.as_i64().and_then(Usd::new);
    amount.ok_or_else(|| wrong(value, "an amount of 1 to 10000000 whole US dollars"))
}

/// Reads an RFC 3339 time with a numeric UTC offset.
pub(super) fn time(value: &Value) -> Result<DateTime<Utc>, String> {
    let text = value.as_str().ok_or_else(|| wrong(value, "a time"))?;
    let time =
        Timestamp::parse(text).map_err(|error| wrong(value, format_args!("a time: {error}")))?;
    let time = time.instant();
    let year = i64::from(time.year());
    YEARS
        .contains(&year)
        .then_some(time)
        .ok_or_else(|| wrong(value, "a time from 1900 to 2100"))
}

/// Reads a calendar date.
pub(super) fn date(value: &Value) -> Result<NaiveDate, String> {
    let day = value.as_str().and_then(|text| {
        let day: NaiveDate = text.parse().ok()?;
        let is_plain = day.to_string() == text && YEARS.contains(&day.year().into());
        is_plain.then_some(day)
    });
    day.ok_or_else(|| wrong(value, "a date such as 2021-03-15, from 1900 to 2100"))
}
