//! Extractors of a request's query and of the identifier in its path, as typed values.

use axum::{
    extract::{FromRequestParts, RawPathParams},
    http::{HeaderMap, request::Parts},
};
use utoipa::{
    IntoParams, PartialSchema,
    openapi::path::{Parameter, ParameterIn},
};

use super::{
    describe,
    headers::read_user,
    text::{FromText, split_csv},
};
use crate::{
    errors::{ApiError, Fault, Issue, IssueKind, Issues, catalogue::Code},
    values::{
        id::{EventId, OrderId, PartnerId, RequestId, VehicleId},
        query,
    },
};

/// The most names and values that are reported because they are not UTF-8.
const UNREADABLE_MAX: usize = 50;
/// The path of an issue with a query, of which no parameter can be named.
const WHOLE_QUERY: &str = "query";

/// The parameters of a query string; unknown ones are ignored.
#[derive(Debug)]
pub(crate) struct Params {
    /// The names and values. A value that is not UTF-8 is `None`, and is reported.
    pairs: Vec<(String, Option<String>)>,
    issues: Issues,
    allows_dry_run: bool,
}

impl Params {
    /// Decodes a query string. Names and values that are not UTF-8 are issues.
    pub(crate) fn new(query: &str) -> Self {
        let mut params = Self {
            pairs: Vec::new(),
            issues: Issues::default(),
            allows_dry_run: false,
        };
        for (name, value) in query::parameters(query) {
            match name.as_utf8() {
                Some(known) => {
                    if value.as_utf8().is_none() {
                        params.report_unreadable(known, value.sent);
                    }
                    let text = value.as_utf8().map(str::to_owned);
                    params.pairs.push((known.to_owned(), text));
                }
                None => params.report_unreadable(WHOLE_QUERY, name.sent),
            }
        }
        params
    }

    fn report_unreadable(&mut self, path: &str, sent: &str) {
        if self.issues.all().len() < UNREADABLE_MAX {
            self.issues.push(not_utf8(path, Some(sent)));
        }
    }

    /// Returns the texts of a parameter, except for those that are not UTF-8.
    fn texts(&self, name: &str) -> impl Iterator<Item = &str> {
        let pairs = self.pairs.iter().filter(move |(key, _)| key == name);
        pairs.filter_map(|(_, value)| value.as_deref())
    }

    /// Returns a parameter's text; a second occurrence is an issue.
    pub(crate) fn text(&mut self, name: &str) -> Option<String> {
        let (first, is_repeated) = {
            let mut all = self.texts(name);
            (all.next()?.to_owned(), all.next().is_some())
        };
        if is_repeated {
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

    /// Parses a comma-separated list of at most `max` values; empty if the parameter is absent. Occurrences add up.
    pub(crate) fn csv<T: FromText>(&mut self, name: &str, max: usize) -> Vec<T> {
        let texts: Vec<String> = self.texts(name).map(str::to_owned).collect();
        let mut items = Vec::new();
        for text in &texts {
            match split_csv(text) {
                Ok(split) => items.extend(split),
                Err(fault) => self.complain(name, text, fault),
            }
        }
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
            match T::from_text(&item) {
                Ok(value) => values.push(value),
                Err(fault) => self.complain(name, &item, fault),
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

/// Returns the issue of a parameter whose bytes are not UTF-8.
fn not_utf8(path: &str, sent: Option<&str>) -> Issue {
    let message = format!("`{path}` is not UTF-8 after percent-decoding");
    let fault = Fault::new(IssueKind::InvalidFormat, message);
    fault.expected("percent-encoded UTF-8").at(path, sent)
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
    PartnerId "The partner's id." no_partner,
}

impl PathId for RequestId {
    const WHAT: &str =
        "The request's id: `X-Request-Id` of its response, in an error also `error.request_id`.";

    fn read(text: &str) -> Option<Self> {
        Self::parse(text)
    }

    fn not_found(text: &str) -> ApiError {
        ApiError::no_route(&format!("/v1/requests/{text}"))
    }
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
        // A route with an id has a parameter, so the only possible rejection is that of bytes that are not UTF-8.
        let params = RawPathParams::from_request_parts(parts, state).await;
        let params = params.map_err(|_| not_utf8(T::NAME, None))?;
        let found = params.iter().find(|(name, _)| *name == T::NAME);
        let text = found.map_or("", |(_, text)| text);
        T::read(text).map(Self).ok_or_else(|| T::not_found(text))
    }
}
