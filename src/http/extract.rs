//! Extractors of a request's query and of the identifier in its path, as typed values.

use axum::{
    extract::{FromRequestParts, RawPathParams},
    http::{HeaderMap, request::Parts},
};
use chrono::NaiveDate;
use utoipa::{
    IntoParams, PartialSchema,
    openapi::path::{Parameter, ParameterIn},
};

use super::{describe, headers::read_user};
use crate::{
    errors::{ApiError, Fault, IssueKind, Issues, catalogue::Code},
    values::{
        id::{EventId, OrderId, VehicleId},
        string_enum::StringEnum,
        timestamp::Timestamp,
    },
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

/// The parameters of a query string; unknown ones are ignored.
#[derive(Debug)]
pub(crate) struct Params {
    pairs: Vec<(String, String)>,
    issues: Issues,
    allows_dry_run: bool,
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
            allows_dry_run: false,
        }
    }

    /// Returns a parameter's text; a second occurrence is an issue.
    pub(crate) fn text(&mut self, name: &str) -> Option<String> {
        let mut all = self
            .pairs
            .iter()
            .filter(|(key, _)| key == name)
            .map(|(_, value)| value);
        let first = all.next()?.clone();
        if all.next().is_some() {
            let message = format!("`{name}` occurs twice");
            self.complain(name, &first, Fault::new(IssueKind::Duplicate, message));
        }
        Some(first)
    }

    /// Parses a parameter.
    pub(crate) fn get<T: FromText>(&mut self, name: &str) -> Option<T> {
        let text = self.text(name)?;
        T::from_text(&text)
            .map_err(|fault| self.complain(name, &text, fault))
            .ok()
    }

    /// Parses a comma-separated list of at most `max` values; empty if the parameter is absent.
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

    /// Parses a whole number within bounds.
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

    /// Returns whether a parameter is present.
    pub(crate) fn has(&self, name: &str) -> bool {
        self.pairs.iter().any(|(key, _)| key == name)
    }

    /// Parses `dry_run`; for an operation that does not call this, the parameter is an issue.
    pub(crate) fn dry_run(&mut self) -> Option<bool> {
        self.allows_dry_run = true;
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

    /// Returns every issue, including those with parameters and headers that any request may carry.
    pub(super) fn finish(mut self, headers: &HeaderMap) -> Issues {
        if !self.allows_dry_run
            && let Some(text) = self.text("dry_run")
        {
            let message = "`dry_run` is only allowed for `POST /v1/orders`";
            self.complain(
                "dry_run",
                &text,
                Fault::new(IssueKind::InvalidValue, message),
            );
        }
        if let Err(issue) = read_user(headers) {
            self.issues.push(issue);
        }
        self.issues
    }

    /// Records an issue with a parameter.
    pub(crate) fn complain(&mut self, name: &str, received: &str, fault: Fault) {
        self.issues.push(fault.at_json(name, &received.into()));
    }

    /// Returns the issues found so far.
    pub(crate) fn issues(&mut self) -> &mut Issues {
        &mut self.issues
    }
}

/// A value that is parsed from a whole query string.
pub(crate) trait FromQuery: Sized {
    /// Parses the value and records every issue; returns `None` only if an issue was recorded.
    fn from_query(params: &mut Params) -> Option<Self>;
}

impl FromQuery for () {
    /// Accepts the query of an operation that has no parameters.
    fn from_query(_: &mut Params) -> Option<Self> {
        Some(())
    }
}

/// Extractor of a query.
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

/// An identifier that can be a path parameter.
pub(crate) trait PathId: Sized {
    /// The parameter's description in the OpenAPI document.
    const WHAT: &str;
    /// The parameter's name in the route.
    const NAME: &str = "id";

    /// Parses the identifier.
    fn read(text: &str) -> Option<Self>;

    /// Returns the error for text that is not a valid identifier.
    fn not_found(text: &str) -> ApiError;
}

/// Implements [`PathId`] for the ids of resources.
macro_rules! path_ids {
    ($($id:ident $what:literal $not_found:ident,)+) => {
        $(impl PathId for $id {
            const WHAT: &str = $what;

            fn read(text: &str) -> Option<Self> {
                Self::parse(text)
            }

            fn not_found(text: &str) -> ApiError {
                ApiError::$not_found(text)
            }
        })+
    };
}

path_ids! {
    OrderId "The order's id." no_order,
    VehicleId "The vehicle's id." no_vehicle,
    EventId "The event's id." no_event,
}

impl PathId for Code {
    const WHAT: &str = "The error's code.";
    const NAME: &str = "code";

    fn read(text: &str) -> Option<Self> {
        Self::parse(text)
    }

    fn not_found(text: &str) -> ApiError {
        ApiError::no_route(&format!("/v1/errors/{text}"))
    }
}

/// Extractor of the identifier in the path.
#[derive(Debug)]
pub(crate) struct Id<T>(pub T);

impl<T: PathId + PartialSchema> IntoParams for Id<T> {
    fn into_params(_: impl Fn() -> Option<ParameterIn>) -> Vec<Parameter> {
        vec![describe::path::<T>(T::NAME, T::WHAT)]
    }
}

impl<S: Send + Sync, T: PathId> FromRequestParts<S> for Id<T> {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, ApiError> {
        let params = RawPathParams::from_request_parts(parts, state).await.ok();
        let mut params = params.iter().flat_map(RawPathParams::iter);
        let found = params.find(|(name, _)| *name == T::NAME);
        let text = found.map_or("", |(_, text)| text);
        T::read(text).map(Self).ok_or_else(|| T::not_found(text))
    }
}
