//! Extractors: a request's query, path and body as typed values, with everything that is wrong said at once.

use axum::{
    extract::FromRequestParts,
    http::{HeaderMap, HeaderValue, header, request::Parts},
    response::{IntoResponse, Response},
};
use chrono::NaiveDate;
use serde::Serialize;
use serde_json::{Map, Value};

use super::{
    fields::{Fields, FromBody},
    user,
};
use crate::{
    error::{ApiError, Fault, IssueKind, Issues},
    stamp::Stamp,
    word::Word,
};

/// Characters of a [`Name`].
pub(super) const NAME_CHARACTERS_MAX: usize = 128;

/// A value that a query parameter can hold.
pub(crate) trait FromText: Sized {
    /// Reads it.
    fn from_text(text: &str) -> Result<Self, Fault>;
}

impl<W: Word> FromText for W {
    fn from_text(text: &str) -> Result<Self, Fault> {
        W::parse(text).ok_or_else(|| {
            let words: Vec<_> = W::ALL.iter().map(|it| it.as_str()).collect();
            Fault::new(
                IssueKind::InvalidValue,
                "the value is none of those there are",
            )
            .expected(words.join(" "))
        })
    }
}

impl FromText for Stamp {
    /// Reads a time; a space where its sign should be is a `+` that nobody encoded.
    fn from_text(text: &str) -> Result<Self, Fault> {
        read_stamp(&text.replace(' ', "+"))
    }
}

impl FromText for NaiveDate {
    fn from_text(text: &str) -> Result<Self, Fault> {
        // chrono also takes years of other lengths, up to the ends of its own time, and days without their zeros.
        let is_as_long = text.len() == "2026-04-20".len();
        let date = Self::parse_from_str(text, "%Y-%m-%d").ok();
        date.filter(|date| is_as_long && date.to_string() == text)
            .ok_or_else(|| {
                Fault::new(IssueKind::InvalidFormat, "a day is written like 2026-04-20")
                    .expected("2026-04-20")
            })
    }
}

/// Reads a time as it is written in a body.
pub(super) fn read_stamp(text: &str) -> Result<Stamp, Fault> {
    Stamp::parse(text).map_err(|error| {
        Fault::new(IssueKind::InvalidFormat, error.to_string())
            .expected("2026-04-20T13:00:00+09:00")
    })
}

/// A name to compare with: not empty, and of bounded length.
#[derive(Debug)]
pub(crate) struct Name(pub String);

impl FromText for Name {
    fn from_text(text: &str) -> Result<Self, Fault> {
        let length = text.chars().count();
        // The database cannot hold a NUL, so no name there has one.
        if length == 0 {
            Err(Fault::new(IssueKind::InvalidValue, "the value is empty"))
        } else if text.contains('\0') {
            Err(Fault::new(
                IssueKind::InvalidValue,
                "the value holds a NUL character",
            ))
        } else if length > NAME_CHARACTERS_MAX {
            let message = format!("a value has at most {NAME_CHARACTERS_MAX} characters");
            Err(Fault::new(IssueKind::OutOfRange, message))
        } else {
            Ok(Self(text.to_owned()))
        }
    }
}

/// The parameters of a query string; unknown ones are ignored.
#[derive(Debug)]
pub(crate) struct Params {
    pairs: Vec<(String, String)>,
    issues: Issues,
    understands_dry_run: bool,
}

impl Params {
    /// Decodes a query string.
    pub(crate) fn new(query: &str) -> Self {
        let pairs = form_urlencoded::parse(query.as_bytes())
            .into_owned()
            .collect();
        Self {
            pairs,
            issues: Issues::default(),
            understands_dry_run: false,
        }
    }

    /// Returns a parameter's text; standing twice is an issue.
    pub(crate) fn text(&mut self, name: &str) -> Option<String> {
        let mut all = self
            .pairs
            .iter()
            .filter(|(key, _)| key == name)
            .map(|(_, value)| value);
        let first = all.next()?.clone();
        if all.next().is_some() {
            let message = format!("`{name}` stands twice");
            self.complain(name, &first, Fault::new(IssueKind::Duplicate, message));
        }
        Some(first)
    }

    /// Reads a parameter.
    pub(crate) fn get<T: FromText>(&mut self, name: &str) -> Option<T> {
        let text = self.text(name)?;
        T::from_text(&text)
            .map_err(|fault| self.complain(name, &text, fault))
            .ok()
    }

    /// Reads a comma-separated list of at most `max` values; absent is empty.
    pub(crate) fn csv<T: FromText>(&mut self, name: &str, max: usize) -> Vec<T> {
        let Some(text) = self.text(name) else {
            return Vec::new();
        };
        let items: Vec<&str> = text.split(',').map(str::trim).collect();
        if items.len() > max {
            let message = format!("`{name}` takes at most {max} values");
            self.complain(
                name,
                &items.len().to_string(),
                Fault::new(IssueKind::TooMany, message),
            );
            return Vec::new();
        }
        let mut values = Vec::with_capacity(items.len());
        for item in items {
            match T::from_text(item) {
                Ok(value) => values.push(value),
                Err(fault) => self.complain(name, item, fault),
            }
        }
        values
    }

    /// Reads a whole number within bounds.
    pub(crate) fn integer(
        &mut self,
        name: &str,
        bounds: std::ops::RangeInclusive<i64>,
    ) -> Option<i64> {
        let text = self.text(name)?;
        let (min, max) = (bounds.start(), bounds.end());
        let number = text.parse::<i64>().ok();
        if number.is_some_and(|number| bounds.contains(&number)) {
            return number;
        }
        let digits = text.strip_prefix('-').unwrap_or(&text);
        let is_whole = !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit());
        let kind = if is_whole {
            IssueKind::OutOfRange
        } else {
            IssueKind::InvalidType
        };
        let message = format!("`{name}` must be a whole number from {min} to {max}");
        self.complain(
            name,
            &text,
            Fault::new(kind, message).expected(format!("{min}..{max}")),
        );
        None
    }

    /// Says whether a parameter is there.
    pub(crate) fn has(&self, name: &str) -> bool {
        self.pairs.iter().any(|(key, _)| key == name)
    }

    /// Reads `dry_run`, which only who asks for it here understands.
    pub(crate) fn dry_run(&mut self) -> Option<bool> {
        self.understands_dry_run = true;
        match self.text("dry_run").as_deref() {
            None | Some("false") => Some(false),
            Some("true") => Some(true),
            Some(other) => {
                let fault = Fault::new(
                    IssueKind::InvalidValue,
                    "`dry_run` must be `true` or `false`",
                );
                self.complain("dry_run", other, fault.expected("true false"));
                None
            }
        }
    }

    /// Returns every issue, those with what any request may carry included.
    fn finish(mut self, headers: &HeaderMap) -> Issues {
        if !self.understands_dry_run
            && let Some(text) = self.text("dry_run")
        {
            let message = "`dry_run` is for `POST /v1/orders` only";
            self.complain(
                "dry_run",
                &text,
                Fault::new(IssueKind::InvalidValue, message),
            );
        }
        if let Err(issue) = user::read(headers) {
            self.issues.push(issue);
        }
        self.issues
    }

    /// Notes an issue with a parameter.
    pub(crate) fn complain(&mut self, name: &str, received: &str, fault: Fault) {
        self.issues.push(fault.at_json(name, &received.into()));
    }

    /// Gives access to the issues found so far.
    pub(crate) fn issues(&mut self) -> &mut Issues {
        &mut self.issues
    }
}

/// A value that is read from a whole query string.
pub(crate) trait FromQuery: Sized {
    /// Reads it, noting every issue; `None` only if one was noted.
    fn from_query(params: &mut Params) -> Option<Self>;
}

impl FromQuery for () {
    /// Reads the query of an operation that has no parameters.
    fn from_query(_: &mut Params) -> Option<Self> {
        Some(())
    }
}

/// Extracts a query.
#[derive(Debug)]
pub(crate) struct Query<T>(pub T);

impl<S: Sync, T: FromQuery> FromRequestParts<S> for Query<T> {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, ApiError> {
        let mut params = Params::new(parts.uri.query().unwrap_or_default());
        let value = T::from_query(&mut params);
        Ok(Self(params.finish(&parts.headers).or(value)?))
    }
}

/// The body of the request in hand, parsed by the idempotency layer before it looked for a replay.
#[derive(Debug, Clone)]
pub(crate) struct ParsedBody(pub std::sync::Arc<Map<String, Value>>);

/// Extracts a query and a JSON body; what is wrong with either is said in one answer.
#[derive(Debug)]
pub(crate) struct Input<Q, B>(pub Q, pub B);

impl<S: Sync, Q: FromQuery, B: FromBody> FromRequestParts<S> for Input<Q, B> {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, ApiError> {
        let Some(ParsedBody(members)) = parts.extensions.get() else {
            return Err(ApiError::internal(
                "a handler takes a body that no layer has read",
            ));
        };
        let mut params = Params::new(parts.uri.query().unwrap_or_default());
        let query = Q::from_query(&mut params);
        let mut issues = params.finish(&parts.headers);
        let body = B::from_body(&mut Fields::new(members, &mut issues));
        let (query, body) = issues.or(query.zip(body))?;
        Ok(Self(query, body))
    }
}

/// Answers 200 with a JSON body.
#[derive(Debug)]
pub(crate) struct Answer<T>(pub T);

impl<T: Serialize> IntoResponse for Answer<T> {
    fn into_response(self) -> Response {
        let json = HeaderValue::from_static("application/json");
        match serde_json::to_vec(&self.0) {
            Ok(body) => ([(header::CONTENT_TYPE, json)], body).into_response(),
            Err(error) => ApiError::internal(error).into_response(),
        }
    }
}
