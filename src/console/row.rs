//! [`Row`]: a value of the operator API, from which a template takes what it shows.

use axum::response::Response;
use http_body_util::BodyExt;
use serde::Serialize;
use serde_json::Value;

use crate::errors::ApiError;

/// The offset of times that are shown without one.
const KOREA: &str = "+09:00";
/// Characters of a time up to its minute, and up to its second.
const MINUTE: usize = 16;
const SECOND: usize = 19;

/// A value of the operator API. Its members are named by JSON pointers; one that is null or absent is shown as nothing.
#[derive(Debug, Clone, Default)]
pub(crate) struct Row(Value);

impl Row {
    /// Returns the value of a view.
    pub(crate) fn new(view: &impl Serialize) -> Result<Self, ApiError> {
        serde_json::to_value(view)
            .map(Self)
            .map_err(ApiError::internal)
    }

    /// Returns the value in the response of a handler of the operator API.
    pub(crate) async fn read(response: Response) -> Result<Self, ApiError> {
        let body = response.into_body().collect().await;
        let bytes = body.map_err(ApiError::internal)?.to_bytes();
        serde_json::from_slice(&bytes)
            .map(Self)
            .map_err(ApiError::internal)
    }

    fn get(&self, pointer: &str) -> &Value {
        self.0.pointer(pointer).unwrap_or(&Value::Null)
    }

    /// Returns a member as text.
    pub(crate) fn text(&self, pointer: &str) -> String {
        match self.get(pointer) {
            Value::Null => String::new(),
            Value::String(text) => text.clone(),
            other @ (Value::Bool(_) | Value::Number(_) | Value::Array(_) | Value::Object(_)) => {
                other.to_string()
            }
        }
    }

    /// Returns a member as JSON over several lines.
    pub(crate) fn json(&self, pointer: &str) -> String {
        format!("{:#}", self.get(pointer))
    }

    /// Returns an amount with its currency.
    pub(crate) fn usd(&self, pointer: &str) -> String {
        let amount = self.get(pointer).as_i64();
        amount
            .map(|it| format!("${}", grouped(it)))
            .unwrap_or_default()
    }

    /// Returns a whole number, its digits in groups.
    pub(crate) fn number(&self, pointer: &str) -> String {
        self.get(pointer).as_i64().map(grouped).unwrap_or_default()
    }

    /// Returns a time up to its minute, with its offset unless that is Korea's.
    pub(crate) fn time(&self, pointer: &str) -> String {
        self.time_to(pointer, MINUTE)
    }

    /// Returns a time up to its second.
    pub(crate) fn second(&self, pointer: &str) -> String {
        self.time_to(pointer, SECOND)
    }

    /// Returns a time in the form of a field for local times.
    pub(crate) fn local_time(&self, pointer: &str) -> String {
        let time = self.text(pointer);
        time.get(..MINUTE).unwrap_or_default().to_owned()
    }

    fn time_to(&self, pointer: &str, characters: usize) -> String {
        let time = self.text(pointer);
        let Some((shown, rest)) = time.split_at_checked(characters) else {
            return time;
        };
        let shown = shown.replacen('T', " ", 1);
        match rest.find(['+', '-', 'Z']).and_then(|it| rest.get(it..)) {
            None | Some(KOREA) => shown,
            Some(offset) => format!("{shown} {offset}"),
        }
    }

    /// Returns whether a member is there, and neither null nor an empty text or list.
    pub(crate) fn has(&self, pointer: &str) -> bool {
        match self.get(pointer) {
            Value::Null => false,
            Value::String(text) => !text.is_empty(),
            Value::Array(items) => !items.is_empty(),
            Value::Object(members) => !members.is_empty(),
            Value::Bool(_) | Value::Number(_) => true,
        }
    }

    /// Returns whether a member is this word.
    pub(crate) fn says(&self, pointer: &str, word: &str) -> bool {
        self.get(pointer).as_str() == Some(word)
    }

    /// Returns whether a member is true.
    pub(crate) fn is_true(&self, pointer: &str) -> bool {
        self.get(pointer).as_bool() == Some(true)
    }

    /// Returns the items of a list.
    pub(crate) fn rows(&self, pointer: &str) -> Vec<Self> {
        let items = self.get(pointer).as_array();
        items.into_iter().flatten().cloned().map(Self).collect()
    }
}

/// Returns a number with its digits in groups of three.
pub(crate) fn grouped(number: i64) -> String {
    let digits = number.unsigned_abs().to_string();
    let mut text = String::from(if number < 0 { "-" } else { "" });
    for (place, digit) in digits.chars().enumerate() {
        if place > 0 && (digits.len() - place).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn members_are_shown_as_people_read_them() {
        let row = Row(json!({
            "a": {"b": 1_234_567}, "c": -1000, "d": 7, "e": null,
            "at": "2026-04-20T13:00:05+09:00", "there": "2026-04-20T04:00:05-03:00", "day": "2026-04-20",
        }));
        assert_eq!(row.usd("/a/b"), "$1,234,567");
        assert_eq!(
            (row.number("/c"), row.number("/d")),
            ("-1,000".into(), "7".into())
        );
        assert_eq!(row.time("/at"), "2026-04-20 13:00");
        assert_eq!(row.second("/at"), "2026-04-20 13:00:05");
        assert_eq!(row.time("/there"), "2026-04-20 04:00 -03:00");
        assert_eq!(row.time("/day"), "2026-04-20");
        for nothing in ["/e", "/f", "/a/x"] {
            assert_eq!(
                (row.text(nothing), row.usd(nothing)),
                (String::new(), String::new())
            );
            assert!(!row.has(nothing) && row.rows(nothing).is_empty());
        }
    }
}
