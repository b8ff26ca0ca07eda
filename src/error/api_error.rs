//! [`ApiError`]: every way in which a request can fail.

use std::{error::Error, net::IpAddr, panic::Location, sync::Arc};

use axum::{
    http::{HeaderValue, StatusCode, header},
    response::{IntoResponse, Response},
};
use serde_json::{Map, Value, json};

use super::{Issue, Issues, catalogue::Code};
use crate::{
    gate::rate_limit::model::Throttled,
    id::{OrderId, VehicleId},
    money::Usd,
    stamp::Stamp,
};

/// When to try again after a 503, in seconds.
const RETRY_AFTER_SECONDS: u64 = 2;

/// The cause of an opaque error: for the log, never for the partner.
type Source = Box<dyn Error + Send + Sync>;

/// An answer that is not a success: one variant for every entry of the catalogue that is in use, each with what its
/// sentence needs.
#[derive(Debug, thiserror::Error)]
#[expect(
    missing_docs,
    reason = "every variant is documented by its row in the catalogue"
)]
pub enum ApiError {
    #[error("The request has {} that must be corrected; see `details.issues`.", count(.0))]
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
    VehicleNotFound,
    #[error("You have no such order.")]
    OrderNotFound,
    #[error("You have no such event.")]
    EventNotFound,
    #[error("You have no webhook endpoint.")]
    WebhookEndpointNotFound,
    #[error("The vehicle as it was ordered is not kept for this order.")]
    OrderVehicleSnapshotNotFound,
    #[error("There is no such route; check the path.")]
    NotFound,
    #[error("This path does not answer the method; see `details.allow`.")]
    MethodNotAllowed,
    #[error("Orders for this vehicle closed at {cutoff_at}.")]
    PastOrderCutoff { cutoff_at: Stamp, now: Stamp },
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
    /// An error that a sandbox partner has asked for: like the real one in all that is answered.
    #[error(transparent)]
    Forced(Box<Self>),
}

/// Why a step of an order is refused: where the order is, and what can be done from there.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Refusal {
    /// The order's status, if there is an order.
    pub current_status: Option<&'static str>,
    /// Its sub-status, once it ships.
    pub current_fulfillment_detail: Option<&'static str>,
    /// What the partner can do now.
    pub allowed_actions: Vec<&'static str>,
}

impl ApiError {
    /// Wraps a bug: something that cannot happen did.
    #[track_caller]
    pub fn internal(source: impl Into<Source>) -> Self {
        Self::Internal {
            source: source.into(),
            at: Location::caller(),
        }
    }

    /// Wraps a passing inability: waiting and trying again helps.
    pub fn unavailable(source: impl Into<Source>) -> Self {
        Self::Unavailable {
            source: source.into(),
        }
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
            Self::VehicleNotFound => Code::VehicleNotFound,
            Self::OrderNotFound => Code::OrderNotFound,
            Self::EventNotFound => Code::EventNotFound,
            Self::WebhookEndpointNotFound => Code::WebhookEndpointNotFound,
            Self::OrderVehicleSnapshotNotFound => Code::OrderVehicleSnapshotNotFound,
            Self::NotFound => Code::NotFound,
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
            Self::VehicleNotFound
            | Self::OrderNotFound
            | Self::EventNotFound
            | Self::WebhookEndpointNotFound
            | Self::OrderVehicleSnapshotNotFound
            | Self::NotFound => StatusCode::NOT_FOUND,
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

    /// Returns when to try again, in seconds, where waiting helps.
    pub fn retry_after_seconds(&self) -> Option<u64> {
        if let Self::Forced(error) = self {
            return error.retry_after_seconds();
        }
        if let Self::RateLimited(throttled) = self {
            return Some(throttled.retry_after_seconds);
        }
        matches!(self, Self::Unavailable { .. }).then_some(RETRY_AFTER_SECONDS)
    }

    /// Returns the members of `error.details`.
    pub fn details(&self) -> Map<String, Value> {
        let details = match self {
            Self::Validation(issues) => {
                let mut details = json!({"issues": issues.all()});
                let more = [("field", issues.field()), ("reason", issues.reason())];
                let more = more
                    .into_iter()
                    .filter_map(|(name, it)| Some((name.to_owned(), it?.into())));
                if let Some(members) = details.as_object_mut() {
                    members.extend(more);
                }
                details
            }
            Self::InvalidCursor { reason } | Self::InvalidApiKey { reason } => {
                json!({"reason": reason})
            }
            Self::MissingMaxBid {
                listing_usd,
                received,
            } => json!({"listing_usd": listing_usd, "received": received}),
            Self::IpNotAllowed { client_ip } => json!({"client_ip": client_ip}),
            Self::NotThePartnersStep(refusal) => refusal.details("partner_not_authorized"),
            Self::OutOfSequence(refusal) => refusal.details("out_of_sequence"),
            Self::VehicleShared(refusal) => refusal.details("vehicle_shared"),
            Self::Forced(error) => return error.details(),
            Self::PastOrderCutoff { cutoff_at, now } => json!({"cutoff_at": cutoff_at, "now": now}),
            Self::DuplicateOrder { existing_order_id } => {
                json!({"existing_order_id": existing_order_id})
            }
            Self::VehicleUnavailable { vehicle_id } => json!({"vehicle_id": vehicle_id}),
            Self::IdempotencyKeyReused {
                original_vehicle_id,
                mismatch,
            } => {
                json!({"original_vehicle_id": original_vehicle_id, "mismatch": mismatch})
            }
            Self::RateLimited(throttled) => throttled.details(),
            Self::Unavailable { .. } => json!({"retry_after": RETRY_AFTER_SECONDS}),
            Self::MissingIdempotencyKey
            | Self::MissingApiKey
            | Self::VehicleNotFound
            | Self::OrderNotFound
            | Self::EventNotFound
            | Self::WebhookEndpointNotFound
            | Self::OrderVehicleSnapshotNotFound
            | Self::NotFound
            | Self::MethodNotAllowed
            | Self::PayloadTooLarge { .. }
            | Self::UnsupportedMediaType
            | Self::RequestTimeout
            | Self::Internal { .. } => Value::Null,
        };
        let Value::Object(members) = details else {
            return Map::new();
        };
        members
    }
}

impl Refusal {
    fn details(&self, reason: &str) -> Value {
        json!({
            "reason": reason,
            "current_status": self.current_status,
            "current_fulfillment_detail": self.current_fulfillment_detail,
            "allowed_actions": self.allowed_actions,
        })
    }
}

/// A response without a body: `http::observe` renders it from the error in the extensions.
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
        if crate::db::is_passing(&error) {
            Self::unavailable(error)
        } else {
            Self::internal(error)
        }
    }
}

fn count(issues: &Issues) -> String {
    match issues.all().len() {
        1 => "one issue".to_owned(),
        n => format!("{n} issues"),
    }
}
