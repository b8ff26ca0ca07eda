//! [`ApiError`]: every error that a request can end with.

use std::{error::Error, fmt, panic::Location, sync::Arc};

use axum::{
    http::{HeaderValue, StatusCode, header},
    response::{IntoResponse, Response},
};

use serde::Serialize;
use serde_json::{Map, Value};

use super::{
    catalogue::Code,
    issue::{Issues, cut},
    payloads::{
        DuplicateOrder, IdempotencyKeyReused, InvalidApiKey, InvalidCursor,
        InvalidStatusTransition, IpNotAllowed, MissingMaxBid, PastOrderCutoff, RateLimited,
        ServiceUnavailable, VehicleUnavailable,
    },
};

/// The details of every 503: the delay before a retry.
const UNAVAILABLE: ServiceUnavailable = ServiceUnavailable { retry_after: 2 };

/// The cause of an opaque error; it is logged and never sent to the partner.
type Source = Box<dyn Error + Send + Sync>;

/// An error response: one variant for every entry of the catalogue, with its details and what else its forms need.
#[derive(Debug, thiserror::Error)]
#[expect(
    missing_docs,
    reason = "every variant is documented by its row in the catalogue"
)]
pub enum ApiError {
    #[error("The request has {} listed with the place.", count(.0))]
    Validation(Issues),
    #[error("Send an `Idempotency-Key` header with a fresh UUID v4 on every POST and DELETE.")]
    MissingIdempotencyKey,
    #[error("The cursor cannot be used here; start again from the first page.")]
    InvalidCursor(InvalidCursor),
    #[error(
        "An order on an auction vehicle needs `max_bid_amount_usd`, a whole number of dollars of at least {}.",
        .0.listing_usd
    )]
    MissingMaxBid(MissingMaxBid),
    #[error("Send your API key in the `x-api-key` header.")]
    MissingApiKey,
    #[error(
        "The API key is not accepted; check that it is in force and belongs to this environment."
    )]
    InvalidApiKey(InvalidApiKey),
    #[error(
        "Requests from {} are not allowed for this partner; write to integrations@lmnauto.com to have the address added.",
        .0.client_ip
    )]
    IpNotAllowed(IpNotAllowed),
    #[error("{}", .refusal.reason.message())]
    InvalidStatusTransition {
        refusal: InvalidStatusTransition,
        /// The requested action, which only LendFoundry's form shows.
        requested_action: Option<&'static str>,
    },
    #[error("There is no such vehicle in the catalogue.")]
    VehicleNotFound(Asked),
    #[error("You have no such order.")]
    OrderNotFound(Asked),
    #[error("You have no such event.")]
    EventNotFound(Asked),
    #[error("You have no webhook endpoint.")]
    WebhookEndpointNotFound,
    #[error("The vehicle as it was ordered is not kept for this order.")]
    OrderVehicleSnapshotNotFound(Asked),
    #[error("There is no such route; check the path.")]
    NotFound(Asked),
    #[error("This path does not answer the method; use one of those that are listed.")]
    MethodNotAllowed,
    #[error("Orders for this vehicle closed at {}.", .0.cutoff_at)]
    PastOrderCutoff(PastOrderCutoff),
    #[error("You already have an open order for this vehicle: {}.", .0.existing_order_id)]
    DuplicateOrder(DuplicateOrder),
    #[error("This vehicle is no longer for sale.")]
    VehicleUnavailable(VehicleUnavailable),
    #[error("The request body is larger than {limit_bytes} bytes.")]
    PayloadTooLarge { limit_bytes: usize },
    #[error(
        "Send the body as JSON, with `Content-Type: application/json` and no content encoding."
    )]
    UnsupportedMediaType,
    #[error(
        "The request body did not arrive in time; send it again with the same Idempotency-Key."
    )]
    RequestTimeout,
    #[error("This Idempotency-Key already did something else; use a fresh key for a new request.")]
    IdempotencyKeyReused(IdempotencyKeyReused),
    #[error("Too many requests; wait {} s before the next one.", .0.retry_after)]
    RateLimited(RateLimited),
    #[error(
        "Something went wrong on our side; retry with the same Idempotency-Key, and tell us the request id if it persists."
    )]
    Internal {
        source: Source,
        at: &'static Location<'static>,
    },
    #[error(
        "The service cannot answer right now; retry with the same Idempotency-Key after the delay."
    )]
    Unavailable { source: Source },
    /// An error that a sandbox partner requested: its response is the same as that of the real error.
    #[error(transparent)]
    Forced(Box<Self>),
}

/// The text by which a request named something that does not exist, truncated; only for the response.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Asked(String);

impl Asked {
    /// Truncates the text.
    pub fn new(text: impl fmt::Display) -> Self {
        Self(cut(&text.to_string()))
    }

    /// Returns the text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

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

    /// Returns the error for a vehicle that does not exist.
    pub fn no_vehicle(id: impl fmt::Display) -> Self {
        Self::VehicleNotFound(Asked::new(id))
    }

    /// Returns the error for an order that the partner does not have.
    pub fn no_order(id: impl fmt::Display) -> Self {
        Self::OrderNotFound(Asked::new(id))
    }

    /// Returns the error for an event that the partner does not have.
    pub fn no_event(id: impl fmt::Display) -> Self {
        Self::EventNotFound(Asked::new(id))
    }

    /// Returns the error for a route that does not exist.
    pub fn no_route(path: &str) -> Self {
        Self::NotFound(Asked::new(path))
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

    /// Returns the underlying error, without the [`ApiError::Forced`] wrapper.
    pub(super) fn plain(&self) -> &Self {
        if let Self::Forced(error) = self {
            return error.plain();
        }
        self
    }

    /// Returns the entry of the catalogue, and the details if the entry has any.
    fn parts(&self) -> (Code, Option<&dyn Details>) {
        match self {
            Self::Validation(issues) => (Code::ValidationError, Some(issues)),
            Self::MissingIdempotencyKey => (Code::MissingIdempotencyKey, None),
            Self::InvalidCursor(details) => (Code::InvalidCursor, Some(details)),
            Self::MissingMaxBid(details) => (Code::MissingMaxBid, Some(details)),
            Self::MissingApiKey => (Code::MissingApiKey, None),
            Self::InvalidApiKey(details) => (Code::InvalidApiKey, Some(details)),
            Self::IpNotAllowed(details) => (Code::IpNotAllowed, Some(details)),
            Self::InvalidStatusTransition { refusal, .. } => {
                (Code::InvalidStatusTransition, Some(refusal))
            }
            Self::VehicleNotFound(_) => (Code::VehicleNotFound, None),
            Self::OrderNotFound(_) => (Code::OrderNotFound, None),
            Self::EventNotFound(_) => (Code::EventNotFound, None),
            Self::WebhookEndpointNotFound => (Code::WebhookEndpointNotFound, None),
            Self::OrderVehicleSnapshotNotFound(_) => (Code::OrderVehicleSnapshotNotFound, None),
            Self::NotFound(_) => (Code::NotFound, None),
            Self::MethodNotAllowed => (Code::MethodNotAllowed, None),
            Self::PastOrderCutoff(details) => (Code::PastOrderCutoff, Some(details)),
            Self::DuplicateOrder(details) => (Code::DuplicateOrder, Some(details)),
            Self::VehicleUnavailable(details) => (Code::VehicleUnavailable, Some(details)),
            Self::PayloadTooLarge { .. } => (Code::PayloadTooLarge, None),
            Self::UnsupportedMediaType => (Code::UnsupportedMediaType, None),
            Self::RequestTimeout => (Code::RequestTimeout, None),
            Self::IdempotencyKeyReused(details) => (Code::IdempotencyKeyReused, Some(details)),
            Self::RateLimited(details) => (Code::RateLimited, Some(details)),
            Self::Internal { .. } => (Code::InternalError, None),
            Self::Unavailable { .. } => (Code::ServiceUnavailable, Some(&UNAVAILABLE)),
            Self::Forced(error) => error.parts(),
        }
    }

    /// Returns the entry of the catalogue.
    pub fn code(&self) -> Code {
        self.parts().0
    }

    /// Returns the members of `error.details`, without those that the router adds to a 405.
    pub(super) fn details(&self) -> Map<String, Value> {
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

from_details! {
    InvalidCursor MissingMaxBid InvalidApiKey IpNotAllowed PastOrderCutoff DuplicateOrder
    VehicleUnavailable IdempotencyKeyReused RateLimited
}

impl From<InvalidStatusTransition> for ApiError {
    fn from(refusal: InvalidStatusTransition) -> Self {
        Self::InvalidStatusTransition {
            refusal,
            requested_action: None,
        }
    }
}

impl From<sqlx::Error> for ApiError {
    #[track_caller]
    fn from(error: sqlx::Error) -> Self {
        if crate::database::is_transient(&error) {
            Self::unavailable(error)
        } else {
            Self::internal(error)
        }
    }
}

/// A failure of a statement that several requests share.
impl From<Arc<sqlx::Error>> for ApiError {
    #[track_caller]
    fn from(error: Arc<sqlx::Error>) -> Self {
        if crate::database::is_transient(&error) {
            Self::unavailable(error)
        } else {
            Self::internal(error)
        }
    }
}

fn count(issues: &Issues) -> String {
    match issues.all().len() {
        1 => "one issue that must be corrected; it is".to_owned(),
        n => format!("{n} issues that must be corrected; each is"),
    }
}
