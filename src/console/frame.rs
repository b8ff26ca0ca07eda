//! Values that templates show: [`Frame`], the parts of every page around its content and the token of its forms,
//! and [`Row`], a value of the operator API.

use std::sync::Arc;

use axum::{
    extract::{FromRef, FromRequestParts},
    http::{HeaderMap, Uri, request::Parts},
    response::Response,
};
use http_body_util::BodyExt;
use serde::Serialize;
use serde_json::Value;
use uuid::Uuid;

use super::{
    session::{self, SESSION_COOKIE},
    texts::{Language, Texts},
    words::translate,
};
use crate::{
    errors::ApiError,
    http::cursor::Cursors,
    operators::model::{Operator, Role},
    request::RequestContext,
    values::string_enum::StringEnum,
};

/// The frame of a page: the operator, the language, and the token of its forms.
#[derive(Debug)]
pub(crate) struct Frame {
    /// The texts in the language of the page.
    pub t: &'static Texts,
    /// The path and query of the page.
    pub path: String,
    language: Language,
    operator: Option<Arc<Operator>>,
    form_token: String,
}

impl Frame {
    /// Returns the frame of the page that responds to a request.
    pub(crate) fn of(
        headers: &HeaderMap,
        uri: &Uri,
        context: &RequestContext,
        cursors: &Cursors,
    ) -> Self {
        let language = Language::of(headers);
        let session = session::cookie(headers, SESSION_COOKIE).unwrap_or_default();
        let path = uri.path_and_query().map(ToString::to_string);
        Self {
            t: language.texts(),
            path: path.unwrap_or_else(|| "/".to_owned()),
            language,
            operator: context.operator().cloned(),
            form_token: session::form_token(cursors, session),
        }
    }

    /// Returns the tag of the language.
    pub(crate) fn language(&self) -> &'static str {
        self.language.as_str()
    }

    /// Returns whether somebody is signed in.
    pub(crate) fn is_signed_in(&self) -> bool {
        self.operator.is_some()
    }

    /// Returns the name and the role of the operator.
    pub(crate) fn operator(&self) -> String {
        let operator = self.operator.as_ref();
        let text = operator.map(|it| format!("{} · {}", it.name, self.say(it.role.as_str())));
        text.unwrap_or_default()
    }

    /// Returns whether the operator may do what needs a role.
    pub(crate) fn can(&self, needed: &str) -> bool {
        let operator = self.operator.as_ref().zip(Role::parse(needed));
        operator.is_some_and(|(operator, needed)| operator.role.allows(needed))
    }

    /// Returns the token of the forms.
    pub(crate) fn form_token(&self) -> &str {
        &self.form_token
    }

    /// Returns a new idempotency key. A form that is sent twice has the same key, because it was rendered once.
    pub(crate) fn new_key(&self) -> Uuid {
        Uuid::new_v4()
    }

    /// Returns a word of the API in the language of the page, or the word itself if it has no translation.
    pub(crate) fn say(&self, word: &str) -> String {
        translate(word, self.language).map_or_else(|| word.to_owned(), str::to_owned)
    }

    /// Returns a member that is a word of the API in the language of the page.
    pub(crate) fn word(&self, row: &Row, pointer: &str) -> String {
        self.say(&row.text(pointer))
    }

    /// Returns whether two texts are equal, such as an option and the chosen one.
    pub(crate) fn is_same(&self, one: &str, other: &str) -> bool {
        one == other
    }

    /// Returns the attribute that marks the entry of the navigation that a page belongs to.
    pub(crate) fn current(&self, section: &str) -> &'static str {
        let path = self.path.split('?').next().unwrap_or_default();
        let rest = path.strip_prefix(section);
        let is_below = |it: &str| it.is_empty() || (section != "/" && it.starts_with('/'));
        match rest.is_some_and(is_below) {
            true => "aria-current=\"page\"",
            false => "",
        }
    }

    /// Returns the link to this page in the other language.
    pub(crate) fn other_language_link(&self) -> String {
        let mut query = form_urlencoded::Serializer::new(String::new());
        query.append_pair("to", self.language.other().as_str());
        query.append_pair("then", &self.path);
        format!("/language?{}", query.finish())
    }

    /// Returns the link to the next page of a list, or nothing on the last page.
    pub(crate) fn next_link(&self, list: &Row) -> String {
        if !list.has("/next_cursor") {
            return String::new();
        }
        let (path, query) = self.path.split_once('?').unwrap_or((&self.path, ""));
        let parameters = form_urlencoded::parse(query.as_bytes());
        let mut next = form_urlencoded::Serializer::new(String::new());
        next.extend_pairs(parameters.filter(|(name, _)| name != "cursor"));
        next.append_pair("cursor", &list.text("/next_cursor"));
        format!("{path}?{}", next.finish())
    }
}

impl<S: Sync> FromRequestParts<S> for Frame
where
    Cursors: FromRef<S>,
{
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, ApiError> {
        let context = RequestContext::of(&parts.extensions)?;
        let cursors = Cursors::from_ref(state);
        Ok(Self::of(&parts.headers, &parts.uri, context, &cursors))
    }
}

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

    use crate::console::frame::*;

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
