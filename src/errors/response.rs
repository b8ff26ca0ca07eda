//! The part of [`ApiError`] that is the same for every code: its conversion from other errors and to a response.

use std::{borrow::Borrow, fmt, panic::Location, sync::Arc};

use axum::{
    http::{HeaderValue, StatusCode, header},
    response::{IntoResponse, Response},
};
use serde::Serialize;
use serde_json::{Map, Value};

use super::{
    api_error::{ApiError, Source, UNAVAILABLE},
    catalogue::Code,
};

impl ApiError {
    /// Wraps a bug: a condition that must not occur.
    #[track_caller]
    pub fn internal(source: impl Into<Source>) -> Self {
        Self::Internal {
            source: source.into(),
            at: Location::caller(),
        }
    }

    /// Wraps a temporary failure: retrying later helps.
    pub fn unavailable(source: impl Into<Source>) -> Self {
        Self::Unavailable {
            source: source.into(),
        }
    }

    /// Adds the requested action if the error is a refused change of an order's status.
    pub(crate) fn requesting(mut self, action: &'static str) -> Self {
        if let Self::InvalidStatusTransition {
            requested_action, ..
        } = &mut self
        {
            *requested_action = Some(action);
        }
        self
    }

    /// Replaces the message if the error is a refused change of an order's status. `cause` becomes a sentence.
    pub(crate) fn explaining(mut self, cause: impl fmt::Display) -> Self {
        if let Self::InvalidStatusTransition { explanation, .. } = &mut self {
            let cause = cause.to_string();
            let mut letters = cause.chars();
            let first = letters.next().map(char::to_uppercase);
            *explanation = first.map(|it| format!("{it}{}.", letters.as_str()));
        }
        self
    }

    /// Returns the underlying error, without the [`ApiError::Forced`] wrapper.
    fn plain(&self) -> &Self {
        if let Self::Forced(error) = self {
            return error.plain();
        }
        self
    }

    /// Returns the entry of the catalogue.
    pub fn code(&self) -> Code {
        self.parts().0
    }

    /// Returns the members of `error.details`, without those that the router adds to a 405.
    pub(crate) fn details(&self) -> Map<String, Value> {
        self.parts().1.map(Details::members).unwrap_or_default()
    }

    /// Returns the HTTP status: the only one in the code's row, or the one that the reason of a refusal selects.
    pub fn status(&self) -> StatusCode {
        if let Self::InvalidStatusTransition { refusal, .. } = self.plain() {
            return refusal.reason.status();
        }
        let status = self.code().entry().statuses.first();
        let status = status.and_then(|it| StatusCode::from_u16(*it).ok());
        // Every row has a valid status, so the fallback is never used.
        status.unwrap_or(StatusCode::INTERNAL_SERVER_ERROR)
    }

    /// Returns the delay before a retry, in seconds, if waiting helps.
    pub fn retry_after_seconds(&self) -> Option<u64> {
        let plain = self.plain();
        if let Self::RateLimited(details) = plain {
            return Some(details.retry_after);
        }
        matches!(plain, Self::Unavailable { .. }).then_some(UNAVAILABLE.retry_after)
    }
}

/// The details of an error, whatever their type.
pub(super) trait Details {
    /// Returns them as members of a JSON object.
    fn members(&self) -> Map<String, Value>;
}

impl<T: Serialize> Details for T {
    fn members(&self) -> Map<String, Value> {
        // Structs of strings and numbers always serialize.
        let Ok(Value::Object(members)) = serde_json::to_value(self) else {
            return Map::new();
        };
        members
    }
}

/// Builds a response without a body; the outermost layer renders it from the error in its extensions.
impl IntoResponse for ApiError {
    fn into_response(self) -> Response {
        let mut response = self.status().into_response();
        let headers = response.headers_mut();
        let should_retry = if self.code().entry().retry.should_retry() {
            "true"
        } else {
            "false"
        };
        headers.insert("lmn-should-retry", HeaderValue::from_static(should_retry));
        if let Some(seconds) = self.retry_after_seconds() {
            headers.insert(header::RETRY_AFTER, seconds.into());
        }
        if let Self::Forced(error) = &self
            && matches!(**error, Self::MethodNotAllowed)
        {
            // For a real 405 the router adds the methods.
            headers.insert(header::ALLOW, HeaderValue::from_static("GET,HEAD"));
        }
        response.extensions_mut().insert(Arc::new(self));
        response
    }
}

impl From<sqlx::Error> for ApiError {
    #[track_caller]
    fn from(error: sqlx::Error) -> Self {
        failed_statement(error)
    }
}

/// A failure of a statement that several requests share.
impl From<Arc<sqlx::Error>> for ApiError {
    #[track_caller]
    fn from(error: Arc<sqlx::Error>) -> Self {
        failed_statement(error)
    }
}

/// Wraps the error of a statement: as a temporary failure if a retry can succeed, and otherwise as a bug.
#[track_caller]
fn failed_statement(error: impl Borrow<sqlx::Error> + Into<Source>) -> ApiError {
    if crate::database::is_transient(error.borrow()) {
        ApiError::unavailable(error)
    } else {
        ApiError::internal(error)
    }
}

/// Implements the conversion of details to the error that they belong to.
macro_rules! from_details {
    ($($details:ident)+) => {
        $(impl From<$details> for ApiError {
            fn from(details: $details) -> Self {
                Self::$details(details)
            }
        })+
    };
}
pub(super) use from_details;
