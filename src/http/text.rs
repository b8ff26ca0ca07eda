//! Values that are parsed from the text of a parameter, and comma-separated lists of such texts.

use std::borrow::Cow;

use chrono::NaiveDate;

use crate::{
    errors::{Fault, IssueKind, catalogue::Code},
    values::{string_enum::StringEnum, timestamp::Timestamp},
};

/// The longest [`Name`], in characters.
pub(super) const NAME_CHARACTERS_MAX: usize = 128;

/// A value that can be parsed from a query parameter.
pub(crate) trait FromText: Sized {
    /// Reads it.
    fn from_text(text: &str) -> Result<Self, Fault>;
}

impl<W: StringEnum> FromText for W {
    fn from_text(text: &str) -> Result<Self, Fault> {
        W::parse(text).ok_or_else(|| {
            let words: Vec<_> = W::ALL.iter().map(|it| it.as_str()).collect();
            Fault::new(
                IssueKind::InvalidValue,
                "the value is not one of the allowed values",
            )
            .expected(words.join(" "))
        })
    }
}

impl FromText for Code {
    fn from_text(text: &str) -> Result<Self, Fault> {
        Self::parse(text).ok_or_else(|| {
            let message = "the value is not an error code";
            let codes = Self::ALL.map(Self::as_str).join(" ");
            Fault::new(IssueKind::InvalidValue, message).expected(codes)
        })
    }
}

impl FromText for Timestamp {
    /// Parses a time; a space in place of the sign is a `+` that was not percent-encoded.
    fn from_text(text: &str) -> Result<Self, Fault> {
        read_stamp(&text.replace(' ', "+"))
    }
}

impl FromText for NaiveDate {
    fn from_text(text: &str) -> Result<Self, Fault> {
        // chrono also accepts years of other lengths and days or months without leading zeros.
        let has_length = text.len() == "2026-04-20".len();
        let date = Self::parse_from_str(text, "%Y-%m-%d").ok();
        date.filter(|date| has_length && date.to_string() == text)
            .ok_or_else(|| {
                Fault::new(IssueKind::InvalidFormat, "a day is written like 2026-04-20")
                    .expected("2026-04-20")
            })
    }
}

/// Parses a time in the form used in bodies.
pub(super) fn read_stamp(text: &str) -> Result<Timestamp, Fault> {
    Timestamp::parse(text).map_err(|error| {
        Fault::new(IssueKind::InvalidFormat, error.to_string())
            .expected("2026-04-20T13:00:00+09:00")
    })
}

/// A name to compare with: not empty, and at most 128 characters.
#[derive(Debug)]
pub(crate) struct Name(pub String);

impl FromText for Name {
    fn from_text(text: &str) -> Result<Self, Fault> {
        let length = text.chars().count();
        // PostgreSQL text cannot contain a NUL, so no stored name matches.
        if length == 0 {
            Err(Fault::new(IssueKind::InvalidValue, "the value is empty"))
        } else if text.contains('\0') {
            Err(Fault::new(
                IssueKind::InvalidValue,
                "the value contains a NUL character",
            ))
        } else if length > NAME_CHARACTERS_MAX {
            let message = format!("a value has at most {NAME_CHARACTERS_MAX} characters");
            Err(Fault::new(IssueKind::OutOfRange, message))
        } else {
            Ok(Self(text.to_owned()))
        }
    }
}

/// Splits a comma-separated list. White space around an item does not count. An item in double quotes may contain commas,
/// and quotes that are doubled.
pub(super) fn split_csv(text: &str) -> Result<Vec<Cow<'_, str>>, Fault> {
    let mut items = Vec::new();
    let mut rest = text;
    loop {
        let (item, after) = match rest.trim_start().strip_prefix('"') {
            Some(quoted) => read_quoted(quoted).ok_or_else(bad_quotes)?,
            None => match rest.split_once(',') {
                Some((item, after)) => (item.trim().into(), Some(after)),
                None => (rest.trim().into(), None),
            },
        };
        items.push(item);
        match after {
            Some(after) => rest = after,
            None => return Ok(items),
        }
    }
}

/// Reads an item after its opening quote. Returns it and, if a comma follows, the text after the comma.
fn read_quoted(text: &str) -> Option<(Cow<'_, str>, Option<&str>)> {
    let mut item = String::new();
    let mut rest = text;
    loop {
        let (part, after) = rest.split_once('"')?;
        item.push_str(part);
        if let Some(after) = after.strip_prefix('"') {
            item.push('"');
            rest = after;
            continue;
        }
        let after = after.trim_start();
        let next = after.strip_prefix(',');
        return (next.is_some() || after.is_empty()).then_some((item.into(), next));
    }
}

fn bad_quotes() -> Fault {
    let message = "a value in double quotes must be closed, and a quote inside it doubled";
    Fault::new(IssueKind::InvalidFormat, message).expected(r#""White, pearl""#)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn list_is_split_at_commas_outside_quotes() {
        let lists: [(&str, &[&str]); 10] = [
            ("", &[""]),
            (" ", &[""]),
            ("a", &["a"]),
            ("a,b ,, c", &["a", "b", "", "c"]),
            (r#""White, pearl""#, &["White, pearl"]),
            (r#" "White, pearl" , black"#, &["White, pearl", "black"]),
            (r#""5"" rims","#, &["5\" rims", ""]),
            (r#""""a""""#, &["\"a\""]),
            (r#""""#, &[""]),
            (r#"5" rims"#, &["5\" rims"]),
        ];
        for (text, items) in lists {
            assert_eq!(split_csv(text).unwrap(), items, "{text}");
        }
        for text in [r#"""#, r#""a"#, r#""a"b"#, r#"b,"a, c"#, r#""a"""#] {
            assert!(split_csv(text).is_err(), "{text}");
        }
    }

    proptest::proptest! {
        #[test]
        fn every_value_can_be_written_in_quotes(values in proptest::collection::vec("[a\", ,가]{0,5}", 1..4)) {
            let quoted: Vec<_> = values.iter().map(|it| format!("\"{}\"", it.replace('"', "\"\""))).collect();
            let text = quoted.join(" , ");
            proptest::prop_assert_eq!(split_csv(&text).unwrap(), values);
        }
    }
}
