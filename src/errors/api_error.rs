//! [`ApiError`]: every error that a request can end with.

use std::{error::Error, fmt, panic::Location};

use serde_json::{Value, json};

use super::{
    catalogue::Code,
    issue::{IssueKind, Issues, cut},
    payloads::{
        DuplicateOrder, EXAMPLE_ORDER, IdempotencyKeyReused, InvalidApiKey, InvalidCursor,
        InvalidOperatorToken, InvalidStatusTransition, IpNotAllowed, MissingMaxBid,
        PastOrderCutoff, RefusalReason, RoleNotAllowed, ServiceUnavailable, VehicleUnavailable,
        example_vehicle,
    },
    rate_limited::RateLimited,
    response::{Details, from_details},
};
use crate::values::timestamp::Timestamp;

/// The details of every 503: the delay before a retry.
pub(super) const UNAVAILABLE: ServiceUnavailable = ServiceUnavailable { retry_after: 2 };

/// The cause of an opaque error; it is logged and never sent to the partner.
pub(super) type Source = Box<dyn Error + Send + Sync>;

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
    #[error("{}", .explanation.as_deref().unwrap_or(.refusal.reason.message()))]
    InvalidStatusTransition {
        refusal: InvalidStatusTransition,
        /// The requested action, which only LendFoundry's form shows.
        requested_action: Option<&'static str>,
        /// A message that says more than that of the reason.
        explanation: Option<String>,
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
    #[error("Send your token as `Authorization: Bearer lmn_op_…`.")]
    MissingOperatorToken,
    #[error("The operator token is not accepted; check that it is complete and in force.")]
    InvalidOperatorToken(InvalidOperatorToken),
    #[error("The role `{}` may not do this; it needs {}.", .0.role, .0.needed.join(" or "))]
    RoleNotAllowed(RoleNotAllowed),
    #[error("There is no such partner.")]
    PartnerNotFound(Asked),
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

    /// Returns LendFoundry's details of a resource that does not exist.
    fn lendfoundry(&self, resource_type: &str) -> Value {
        json!({"resource_type": resource_type, "resource_id": self.0})
    }
}

impl ApiError {
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

    /// Returns the error for a partner that does not exist.
    pub fn no_partner(id: impl fmt::Display) -> Self {
        Self::PartnerNotFound(Asked::new(id))
    }

    /// Returns the error for a route that does not exist.
    pub fn no_route(path: &str) -> Self {
        Self::NotFound(Asked::new(path))
    }

    /// Returns the entry of the catalogue, and the details if the entry has any.
    pub(super) fn parts(&self) -> (Code, Option<&dyn Details>) {
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
            Self::MissingOperatorToken => (Code::MissingOperatorToken, None),
            Self::InvalidOperatorToken(details) => (Code::InvalidOperatorToken, Some(details)),
            Self::RoleNotAllowed(details) => (Code::RoleNotAllowed, Some(details)),
            Self::PartnerNotFound(_) => (Code::PartnerNotFound, None),
            Self::Forced(error) => error.parts(),
        }
    }

    /// Creates the example of a code with a status as if it happened at `now`; `None` if the catalogue has no such row.
    pub(crate) fn example(code: Code, status: u16, now: Timestamp) -> Option<Self> {
        let error = match code {
            Code::ValidationError => Issues::example().into(),
            Code::MissingIdempotencyKey => Self::MissingIdempotencyKey,
            Code::InvalidCursor => InvalidCursor::example().into(),
            Code::MissingMaxBid => MissingMaxBid::example()?.into(),
            Code::MissingApiKey => Self::MissingApiKey,
            Code::InvalidApiKey => InvalidApiKey::example().into(),
            Code::IpNotAllowed => IpNotAllowed::example().into(),
            Code::InvalidStatusTransition => {
                let reason = match status {
                    403 => RefusalReason::PartnerNotAuthorized,
                    _ => RefusalReason::OutOfSequence,
                };
                Self::from(InvalidStatusTransition::example(reason)).requesting("cancel")
            }
            Code::VehicleNotFound => Self::no_vehicle(example_vehicle()?),
            Code::OrderNotFound => Self::no_order(EXAMPLE_ORDER),
            Code::EventNotFound => Self::no_event("evt_01KNVD7K40E1M6R9W0X3A6T4QB"),
            Code::WebhookEndpointNotFound => Self::WebhookEndpointNotFound,
            Code::OrderVehicleSnapshotNotFound => {
                Self::OrderVehicleSnapshotNotFound(Asked::new(EXAMPLE_ORDER))
            }
            Code::NotFound => Self::no_route("/v1/order"),
            Code::MethodNotAllowed => Self::MethodNotAllowed,
            Code::PastOrderCutoff => PastOrderCutoff::example(now).into(),
            Code::DuplicateOrder => DuplicateOrder::example()?.into(),
            Code::VehicleUnavailable => VehicleUnavailable::example()?.into(),
            Code::PayloadTooLarge => Self::PayloadTooLarge {
                limit_bytes: 65_536,
            },
            Code::UnsupportedMediaType => Self::UnsupportedMediaType,
            Code::RequestTimeout => Self::RequestTimeout,
            Code::IdempotencyKeyReused => IdempotencyKeyReused::example().into(),
            Code::RateLimited => RateLimited::example(now)?.into(),
            Code::InternalError => Self::internal("an example"),
            Code::ServiceUnavailable => Self::unavailable("an example"),
            Code::MissingOperatorToken => Self::MissingOperatorToken,
            Code::InvalidOperatorToken => InvalidOperatorToken::example().into(),
            Code::RoleNotAllowed => RoleNotAllowed::example().into(),
            Code::PartnerNotFound => Self::no_partner("01KNVD7K40P3R7N8Q2M5V1X9WC"),
        };
        (error.status() == status).then_some(error)
    }

    /// Returns the details in the shape that LendFoundry documents for the code: an object or an array of objects.
    ///
    /// `methods` are those of the `Allow` header of a 405.
    pub(super) fn lendfoundry_details(&self, methods: &[&str]) -> Value {
        match self {
            Self::Validation(issues) => issues.lendfoundry(),
            Self::MissingIdempotencyKey => one(
                "Idempotency-Key",
                IssueKind::RequiredFieldMissing,
                "UUID v4",
            ),
            Self::InvalidCursor(details) => details.lendfoundry(),
            Self::MissingMaxBid(details) => details.lendfoundry(),
            Self::MissingApiKey | Self::InvalidApiKey(_) | Self::IpNotAllowed(_) => json!([]),
            Self::InvalidStatusTransition {
                refusal,
                requested_action,
                ..
            } => refusal.lendfoundry(*requested_action),
            Self::VehicleNotFound(asked) => asked.lendfoundry("vehicle"),
            Self::OrderNotFound(asked) => asked.lendfoundry("order"),
            Self::EventNotFound(asked) => asked.lendfoundry("event"),
            // A partner has at most one endpoint, so it has no id.
            Self::WebhookEndpointNotFound => {
                json!({"resource_type": "webhook_endpoint", "resource_id": null})
            }
            Self::OrderVehicleSnapshotNotFound(asked) => {
                asked.lendfoundry("order_vehicle_snapshot")
            }
            Self::NotFound(asked) => asked.lendfoundry("route"),
            Self::PartnerNotFound(asked) => asked.lendfoundry("partner"),
            Self::MethodNotAllowed => one("method", IssueKind::InvalidValue, &methods.join(" ")),
            Self::PastOrderCutoff(details) => details.lendfoundry(),
            Self::DuplicateOrder(details) => details.lendfoundry(),
            Self::VehicleUnavailable(details) => details.lendfoundry(),
            Self::PayloadTooLarge { limit_bytes } => {
                let expected = format!("at most {limit_bytes} bytes");
                one("body", IssueKind::OutOfRange, &expected)
            }
            Self::UnsupportedMediaType => {
                one("Content-Type", IssueKind::InvalidValue, "application/json")
            }
            Self::IdempotencyKeyReused(details) => details.lendfoundry(),
            Self::RateLimited(details) => details.lendfoundry(),
            Self::RequestTimeout
            | Self::MissingOperatorToken
            | Self::InvalidOperatorToken(_)
            | Self::RoleNotAllowed(_)
            | Self::Internal { .. }
            | Self::Unavailable { .. } => json!([]),
            Self::Forced(error) => error.lendfoundry_details(methods),
        }
    }
}

from_details! {
    InvalidCursor MissingMaxBid InvalidApiKey IpNotAllowed PastOrderCutoff DuplicateOrder
    VehicleUnavailable IdempotencyKeyReused RateLimited InvalidOperatorToken RoleNotAllowed
}

impl From<InvalidStatusTransition> for ApiError {
    fn from(refusal: InvalidStatusTransition) -> Self {
        Self::InvalidStatusTransition {
            refusal,
            requested_action: None,
            explanation: None,
        }
    }
}

/// Returns LendFoundry's details of a single issue.
fn one(field: &str, kind: IssueKind, expected: &str) -> Value {
    json!([{"field": field, "issue": kind, "expected": expected}])
}

fn count(issues: &Issues) -> String {
    match issues.all().len() {
        1 => "one issue that must be corrected; it is".to_owned(),
        n => format!("{n} issues that must be corrected; each is"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn example_has_the_requested_code_and_status() {
        let now = Timestamp::parse("2026-04-19T09:30:00+09:00").unwrap();
        for code in Code::ALL.into_iter().chain(Code::OPERATOR) {
            for status in [
                200, 400, 401, 403, 404, 405, 408, 409, 410, 413, 415, 422, 429, 500, 503,
            ] {
                let example = ApiError::example(code, status, now);
                let actual = example.map(|it| (it.code(), it.status().as_u16()));
                let listed = code.entry().statuses.contains(&status);
                assert_eq!(actual, listed.then_some((code, status)));
            }
        }
    }
}
