//! [`Frame`]: what every page shows around its content, and what its forms carry.

use std::sync::Arc;

use axum::{
    extract::{FromRef, FromRequestParts},
    http::{HeaderMap, Uri, request::Parts},
};
use uuid::Uuid;

use super::{
    row::Row,
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
