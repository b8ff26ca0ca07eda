//! [`ApiError`]: every error that a request can end with.

use std::{error::Error, fmt, net::IpAddr, panic::Location, sync::Arc};

use axum::{
    http::{HeaderValue, StatusCode, header},
    response::{IntoResponse, Response},
};

use super::{Issue, Issues, Refusal, catalogue::Code, issue::cut};
use crate::{
    middleware::rate_limit::model::Throttled,
    values::{
        id::{OrderId, VehicleId},
        money::Usd,
        timestamp::Timestamp,
    },
};

/// The delay before a retry after a 503, in seconds.
const RETRY_AFTER_SECONDS: u64 = 2;

/// The cause of an opaque error; it is logged and never sent to the partner.
type Source = Box<dyn Error + Send + Sync>;

/// An error response: one variant for every entry of the catalogue that is in use, each with the values that its
/// message needs.
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
    InvalidCursor { reason: &'static str },
    #[error(
        "An order on an auction vehicle needs `max_bid_amount_usd`, a whole number of dollars of at least {listing_usd}."
    )]
    MissingMaxBid {
        listing_usd: Usd,
        received: Option<i64>,
    },
    #[error("Send your API key in the `x-api-key` header.")]
    MissingApiKey,
    #[error(
        "The API key is not accepted; check that it is in force and belongs to this environment."
    )]
    InvalidApiKey { reason: &'static str },
    #[error(
        "Requests from {client_ip} are not allowed for this partner; write to integrations@lmnauto.com to have the address added."
    )]
    IpNotAllowed { client_ip: IpAddr },
    #[error(
        "This change is made by LMN, not by partners; read the order again to see what you can do."
    )]
    NotThePartnersStep(Refusal),
    #[error(
        "The order's present state does not allow this; read the order again to see what you can do."
    )]
    OutOfSequence(Refusal),
    #[error(
        "This sandbox step needs your own open order on the vehicle and nobody else's; try it on another vehicle."
    )]
    VehicleShared(Refusal),
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
    #[error("Orders for this vehicle closed at {cutoff_at}.")]
    PastOrderCutoff {
        cutoff_at: Timestamp,
        now: Timestamp,
    },
    #[error("You already have an open order for this vehicle: {existing_order_id}.")]
    DuplicateOrder { existing_order_id: OrderId },
    #[error("This vehicle is no longer for sale.")]
    VehicleUnavailable { vehicle_id: VehicleId },
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
    IdempotencyKeyReused {
        original_vehicle_id: Option<VehicleId>,
        mismatch: Vec<&'static str>,
    },
    #[error("Too many requests; wait {} s before the next one.", .0.retry_after_seconds)]
    RateLimited(Throttled),
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

    /// Adds the requested action if the error is a refused change of an order's state.
    pub(crate) fn requesting(mut self, action: &'static str) -> Self {
        if let Self::NotThePartnersStep(refusal)
        | Self::OutOfSequence(refusal)
        | Self::VehicleShared(refusal) = &mut self
        {
            refusal.requested_action = Some(action);
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

    /// Returns the entry of the catalogue.
    pub fn code(&self) -> Code {
        match self {
            Self::Validation(_) => Code::ValidationError,
            Self::MissingIdempotencyKey => Code::MissingIdempotencyKey,
            Self::InvalidCursor { .. } => Code::InvalidCursor,
            Self::MissingMaxBid { .. } => Code::MissingMaxBid,
            Self::MissingApiKey => Code::MissingApiKey,
            Self::InvalidApiKey { .. } => Code::InvalidApiKey,
            Self::IpNotAllowed { .. } => Code::IpNotAllowed,
            Self::NotThePartnersStep(_) | Self::OutOfSequence(_) | Self::VehicleShared(_) => {
                Code::InvalidStatusTransition
            }
            Self::VehicleNotFound(_) => Code::VehicleNotFound,
            Self::OrderNotFound(_) => Code::OrderNotFound,
            Self::EventNotFound(_) => Code::EventNotFound,
            Self::WebhookEndpointNotFound => Code::WebhookEndpointNotFound,
            Self::OrderVehicleSnapshotNotFound(_) => Code::OrderVehicleSnapshotNotFound,
            Self::NotFound(_) => Code::NotFound,
            Self::MethodNotAllowed => Code::MethodNotAllowed,
            Self::PastOrderCutoff { .. } => Code::PastOrderCutoff,
            Self::DuplicateOrder { .. } => Code::DuplicateOrder,
            Self::VehicleUnavailable { .. } => Code::VehicleUnavailable,
            Self::PayloadTooLarge { .. } => Code::PayloadTooLarge,
            Self::UnsupportedMediaType => Code::UnsupportedMediaType,
            Self::RequestTimeout => Code::RequestTimeout,
            Self::IdempotencyKeyReused { .. } => Code::IdempotencyKeyReused,
            Self::RateLimited(_) => Code::RateLimited,
            Self::Internal { .. } => Code::InternalError,
            Self::Unavailable { .. } => Code::ServiceUnavailable,
            Self::Forced(error) => error.code(),
        }
    }

    /// Returns the HTTP status.
    pub fn status(&self) -> StatusCode {
        match self {
            Self::Validation(_)
            | Self::MissingIdempotencyKey
            | Self::InvalidCursor { .. }
            | Self::MissingMaxBid { .. } => StatusCode::BAD_REQUEST,
            Self::MissingApiKey | Self::InvalidApiKey { .. } => StatusCode::UNAUTHORIZED,
            Self::IpNotAllowed { .. } | Self::NotThePartnersStep(_) => StatusCode::FORBIDDEN,
            Self::VehicleNotFound(_)
            | Self::OrderNotFound(_)
            | Self::EventNotFound(_)
            | Self::WebhookEndpointNotFound
            | Self::OrderVehicleSnapshotNotFound(_)
            | Self::NotFound(_) => StatusCode::NOT_FOUND,
            Self::MethodNotAllowed => StatusCode::METHOD_NOT_ALLOWED,
            Self::OutOfSequence(_)
            | Self::VehicleShared(_)
            | Self::PastOrderCutoff { .. }
            | Self::DuplicateOrder { .. } => StatusCode::CONFLICT,
            Self::VehicleUnavailable { .. } => StatusCode::GONE,
            Self::PayloadTooLarge { .. } => StatusCode::PAYLOAD_TOO_LARGE,
            Self::UnsupportedMediaType => StatusCode::UNSUPPORTED_MEDIA_TYPE,
            Self::RequestTimeout => StatusCode::REQUEST_TIMEOUT,
            Self::IdempotencyKeyReused { .. } => StatusCode::UNPROCESSABLE_ENTITY,
            Self::RateLimited(_) => StatusCode::TOO_MANY_REQUESTS,
            Self::Internal { .. } => StatusCode::INTERNAL_SERVER_ERROR,
            Self::Unavailable { .. } => StatusCode::SERVICE_UNAVAILABLE,
            Self::Forced(error) => error.status(),
        }
    }

    /// Returns the delay before a retry, in seconds, if waiting helps.
    pub fn retry_after_seconds(&self) -> Option<u64> {
        if let Self::Forced(error) = self {
            return error.retry_after_seconds();
        }
        if let Self::RateLimited(throttled) = self {
            return Some(throttled.retry_after_seconds);
        }
        matches!(self, Self::Unavailable { .. }).then_some(RETRY_AFTER_SECONDS)
    }
}

/// Builds a response without a body; `middleware::request_context` renders it from the error in its extensions.
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

impl From<Issues> for ApiError {
    fn from(issues: Issues) -> Self {
        Self::Validation(issues)
    }
}

impl From<Issue> for ApiError {
    fn from(issue: Issue) -> Self {
        Self::Validation(issue.into())
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
