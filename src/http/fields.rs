//! The members of a JSON body, parsed one by one with all issues reported at once.

use std::ops::RangeInclusive;

use serde_json::{Map, Value};

use super::{
    body::CSV_TEXT,
    text::{FromText, read_stamp},
};
use crate::{
    errors::{Fault, IssueKind, Issues},
    values::{money::Usd, string_enum::StringEnum, timestamp::Timestamp},
};

/// The most items that one list may have.
const ITEMS_MAX: usize = 100;

/// The members of a JSON object; unknown ones are ignored.
#[derive(Debug)]
pub(crate) struct Fields<'a> {
    members: &'a Map<String, Value>,
    issues: &'a mut Issues,
    /// The path of the object in the body, with a trailing dot; empty for the body itself.
    path_prefix: String,
}

impl<'a> Fields<'a> {
    /// Wraps the members; issues with them are recorded in `issues`.
    pub(crate) fn new(members: &'a Map<String, Value>, issues: &'a mut Issues) -> Self {
        Self {
            members,
            issues,
            path_prefix: String::new(),
        }
    }

    /// Wraps the members of an object inside the body; `place` comes before their names in issues.
    pub(crate) fn within(
        members: &'a Map<String, Value>,
        issues: &'a mut Issues,
        place: &str,
    ) -> Self {
        Self {
            members,
            issues,
            path_prefix: place.to_owned(),
        }
    }

    /// Returns the text of a CSV body.
    pub(crate) fn csv_text(&self) -> Option<&'a str> {
        self.members.get(CSV_TEXT)?.as_str()
    }

    /// Returns the items of a required list of 1 to `max` items, whatever they are.
    pub(crate) fn items(&mut self, name: &str, max: usize) -> Option<&'a [Value]> {
        self.require(&[name]);
        let value = self.members.get(name).filter(|value| !value.is_null())?;
        let Value::Array(items) = value else {
            let message = format!("`{name}` must be a list");
            let fault = Fault::new(IssueKind::InvalidType, message);
            self.complain(name, fault.expected("array"));
            return None;
        };
        if items.is_empty() {
            let message = format!("`{name}` must have at least one item");
            self.complain(name, Fault::new(IssueKind::OutOfRange, message));
        } else if items.len() > max {
            let message = format!("`{name}` has at most {max} items");
            self.complain(name, Fault::new(IssueKind::TooMany, message));
        } else {
            return Some(items);
        }
        None
    }

    /// Returns whether a member is present and not null.
    pub(crate) fn has(&self, name: &str) -> bool {
        self.members.get(name).is_some_and(|value| !value.is_null())
    }

    /// Returns whether a member is present, even if it is null.
    pub(crate) fn names(&self, name: &str) -> bool {
        self.members.contains_key(name)
    }

    /// Parses a required string.
    pub(crate) fn text(&mut self, name: &str) -> Option<String> {
        if !self.names(name) {
            self.missing(name);
        }
        self.string(name, self.members.get(name)?)
    }

    /// Parses a string of at most `max` characters that may be null or absent.
    pub(crate) fn optional_text(&mut self, name: &str, max: usize) -> Option<String> {
        let text = self.optional_string(name)?;
        if text.contains('\0') {
            let message = format!("`{name}` contains a NUL character");
            self.complain(name, Fault::new(IssueKind::InvalidValue, message));
        } else if text.chars().count() > max {
            let message = format!("`{name}` has at most {max} characters");
            self.complain(name, Fault::new(IssueKind::OutOfRange, message));
        } else {
            return Some(text);
        }
        None
    }

    /// Parses an enumeration value that may be null or absent.
    pub(crate) fn optional_word<W: StringEnum>(&mut self, name: &str) -> Option<W> {
        let text = self.optional_string(name)?;
        self.checked(name, W::from_text(&text))
    }

    /// Parses a boolean that may be null or absent.
    pub(crate) fn optional_bool(&mut self, name: &str) -> Option<bool> {
        let value = self.members.get(name).filter(|value| !value.is_null())?;
        if value.as_bool().is_none() {
            let message = format!("`{name}` must be `true` or `false`");
            let fault = Fault::new(IssueKind::InvalidType, message);
            self.complain(name, fault.expected("boolean"));
        }
        value.as_bool()
    }

    /// Parses a list of at least one enumeration value that may be null or absent; duplicates are dropped.
    pub(crate) fn optional_words<W: StringEnum>(&mut self, name: &str) -> Option<Vec<W>> {
        let value = self.members.get(name).filter(|value| !value.is_null())?;
        let Value::Array(items) = value else {
            let message = format!("`{name}` must be a list");
            let fault = Fault::new(IssueKind::InvalidType, message);
            self.complain(name, fault.expected("array or null"));
            return None;
        };
        if items.is_empty() {
            let message = format!("`{name}` must name at least one, or be null for all");
            self.complain(name, Fault::new(IssueKind::OutOfRange, message));
        }
        let mut words = Vec::new();
        for (n, item) in items.iter().enumerate().take(ITEMS_MAX) {
            let text = item.as_str().ok_or_else(|| {
                let message = format!("`{name}` lists strings");
                Fault::new(IssueKind::InvalidType, message).expected("string")
            });
            let read = text.and_then(W::from_text);
            match read {
                Ok(word) if words.contains(&word) => {}
                Ok(word) => words.push(word),
                Err(fault) => {
                    let path = format!("{}{name}[{n}]", self.path_prefix);
                    self.issues.push(fault.at_json(path, item));
                }
            }
        }
        if items.len() > ITEMS_MAX {
            let message = format!("`{name}` lists at most {ITEMS_MAX}");
            self.complain(name, Fault::new(IssueKind::TooMany, message));
        }
        Some(words)
    }

    /// Parses a required time.
    pub(crate) fn timestamp(&mut self, name: &str) -> Option<Timestamp> {
        self.require(&[name]);
        self.optional_stamp(name)
    }

    /// Parses a time that may be null or absent.
    pub(crate) fn optional_stamp(&mut self, name: &str) -> Option<Timestamp> {
        let text = self.optional_string(name)?;
        self.checked(name, read_stamp(&text))
    }

    /// Parses an amount that may be null or absent.
    pub(crate) fn optional_usd(&mut self, name: &str) -> Option<Usd> {
        let range = 1..=Usd::MAX.dollars().into();
        self.optional_integer_in(name, range).and_then(Usd::new)
    }

    /// Parses a whole number within a range that may be null or absent.
    pub(crate) fn optional_integer_in(
        &mut self,
        name: &str,
        range: RangeInclusive<i64>,
    ) -> Option<i64> {
        let number = self.optional_integer(name, *range.end())?;
        if range.contains(&number) {
            return Some(number);
        }
        let message = format!("`{name}` must be at least {}", range.start());
        self.complain(name, Fault::new(IssueKind::OutOfRange, message));
        None
    }

    /// Parses a whole number of at most `max` that may be null or absent.
    ///
    /// A number below the range of `i64` becomes `i64::MIN`, which every lower bound rejects.
    pub(crate) fn optional_integer(&mut self, name: &str, max: i64) -> Option<i64> {
        let value = self.members.get(name).filter(|value| !value.is_null())?;
        let too_large = || {
            let message = format!("`{name}` must be at most {max}");
            Fault::new(IssueKind::OutOfRange, message)
        };
        let fault = match (value.as_i64(), value.as_f64()) {
            (Some(number), _) if number <= max => return Some(number),
            (Some(_), _) => too_large(),
            // JSON numbers beyond 64 bits are parsed as floats; whole ones still count as whole.
            (None, Some(float)) if float.fract() == 0.0 && float >= i64::MAX as f64 => too_large(),
            (None, Some(float)) if float.fract() == 0.0 && float <= i64::MIN as f64 => {
                return Some(i64::MIN);
            }
            (None, Some(_)) => {
                let message =
                    format!("`{name}` must be a whole number, without a fraction or exponent");
                Fault::new(IssueKind::InvalidType, message)
            }
            (None, None) => {
                let message = format!("`{name}` must be a whole number or null");
                Fault::new(IssueKind::InvalidType, message)
            }
        };
        self.complain(name, fault.expected("integer or null"));
        None
    }

    /// Parses an object that may be null or absent.
    pub(crate) fn optional_object(&mut self, name: &str) -> Option<Fields<'_>> {
        let value = self.members.get(name).filter(|value| !value.is_null())?;
        let Value::Object(members) = value else {
            let message = format!("`{name}` must be an object");
            let fault = Fault::new(IssueKind::InvalidType, message);
            self.complain(name, fault.expected("object"));
            return None;
        };
        Some(Fields {
            members,
            issues: self.issues,
            path_prefix: format!("{}{name}.", self.path_prefix),
        })
    }

    /// Records an issue unless exactly one of the members is present.
    pub(crate) fn exactly_one(&mut self, names: &[&str]) {
        let given: Vec<_> = names.iter().filter(|name| self.has(name)).collect();
        let list = names.join("`, `");
        match (given.as_slice(), names) {
            ([], [first, ..]) => {
                let message = format!("one of `{list}` is required");
                let fault = Fault::new(IssueKind::RequiredFieldMissing, message);
                self.issues.push(fault.at(*first, None));
            }
            ([_, second, ..], _) => {
                let message = format!("only one of `{list}` can be sent at once");
                self.complain(second, Fault::new(IssueKind::InvalidValue, message));
            }
            _ => {}
        }
    }

    /// Records an issue for each of the members that is present, although this request does not allow it.
    pub(crate) fn none_of(&mut self, names: &[&str], reason: &str) {
        for name in names
            .iter()
            .filter(|name| self.has(name))
            .copied()
            .collect::<Vec<_>>()
        {
            let message = format!("`{name}` {reason}");
            self.complain(name, Fault::new(IssueKind::InvalidValue, message));
        }
    }

    /// Records an issue for each of the members that is absent or null.
    pub(crate) fn require(&mut self, names: &[&str]) {
        for name in names {
            if !self.has(name) {
                self.missing(name);
            }
        }
    }

    /// Records that a required member is absent.
    fn missing(&mut self, name: &str) {
        self.issues.missing(&format!("{}{name}", self.path_prefix));
    }

    /// Records an issue with a member.
    pub(crate) fn complain(&mut self, name: &str, fault: Fault) {
        let value = self.members.get(name).unwrap_or(&Value::Null);
        let path = format!("{}{name}", self.path_prefix);
        self.issues.push(fault.at_json(path, value));
    }

    fn optional_string(&mut self, name: &str) -> Option<String> {
        let value = self.members.get(name).filter(|value| !value.is_null())?;
        self.string(name, value)
    }

    fn string(&mut self, name: &str, value: &Value) -> Option<String> {
        let Value::String(text) = value else {
            let message = format!("`{name}` must be a string");
            let fault = Fault::new(IssueKind::InvalidType, message);
            self.complain(name, fault.expected("string"));
            return None;
        };
        Some(text.clone())
    }

    fn checked<T>(&mut self, name: &str, read: Result<T, Fault>) -> Option<T> {
        read.map_err(|fault| self.complain(name, fault)).ok()
    }
}

/// A value that is parsed from a JSON object.
pub(crate) trait FromBody: Sized {
    /// Parses the value and records every issue; returns `None` only if an issue was recorded.
    fn from_body(fields: &mut Fields<'_>) -> Option<Self>;
}
