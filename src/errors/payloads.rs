//! The details of errors: one struct for every code that has them, with an example.
//!
//! A struct is `error.details` in LMN's envelope, the extension members of a problem, the schema of both in the OpenAPI
//! document, and the list of members in the catalogue. Its method `lendfoundry` returns LendFoundry's details, if the
//! code has any. The details of `validation_error` are [`Issues`](super::Issues), those of `rate_limited` are in
//! [`rate_limited`](super::rate_limited).

use std::net::IpAddr;

use axum::http::StatusCode;
use chrono::TimeDelta;
use serde_json::{Value, json};

use super::{catalogue::Code, entry::payload, forms::utc, issue::IssueKind, schema};
use crate::values::{
    id::{OrderId, VehicleId},
    money::Usd,
    string_enum::string_enum,
    timestamp::Timestamp,
};

/// The order id of the examples.
pub(super) const EXAMPLE_ORDER: &str = "01KNVD7K402JY0W9P0X3A6T4QB";

string_enum! {
    /// The reason why a cursor is refused.
    CursorReason {
        /// The cursor is altered, incomplete or from another list.
        Malformed = "malformed",
        /// The request has a different sort.
        SortMismatch = "sort_mismatch",
        /// The request has different filters.
        FilterMismatch = "filter_mismatch",
    }
}

payload! {
    /// The details of `invalid_cursor`.
    pub struct InvalidCursor {
        #[schema(schema_with = schema::words::<CursorReason>)]
        pub reason: CursorReason =
            "`malformed`, `sort_mismatch` or `filter_mismatch`: what does not fit.",
    }
}

impl InvalidCursor {
    pub(super) fn example() -> Self {
        Self {
            reason: CursorReason::FilterMismatch,
        }
    }

    pub(super) fn lendfoundry(&self) -> Value {
        json!([{"field": "cursor", "issue": IssueKind::InvalidValue, "reason": self.reason}])
    }
}

payload! {
    /// The details of `missing_max_bid`.
    pub struct MissingMaxBid {
        pub listing_usd: Usd = "The lowest bid that is accepted, in US dollars.",
        #[schema(schema_with = schema::integer_or_null, required = true)]
        pub received: Option<i64> = "The bid that was sent; null if there was none.",
    }
}

impl MissingMaxBid {
    pub(super) fn example() -> Option<Self> {
        Some(Self {
            listing_usd: Usd::new(15_000)?,
            received: None,
        })
    }

    pub(super) fn lendfoundry(&self) -> Value {
        let kind = match self.received {
            None => IssueKind::RequiredFieldMissing,
            Some(_) => IssueKind::OutOfRange,
        };
        json!([{
            "field": "max_bid_amount_usd",
            "issue": kind,
            "expected": "integer",
            "min": self.listing_usd,
            "provided": self.received,
        }])
    }
}

payload! {
    /// The details of `invalid_api_key`.
    pub struct InvalidApiKey {
        #[schema(schema_with = schema::key_reasons)]
        pub reason: &'static str = "`unknown`, `revoked`, `expired` or `wrong_environment`.",
    }
}

impl InvalidApiKey {
    pub(super) fn example() -> Self {
        Self { reason: "revoked" }
    }
}

payload! {
    /// The details of `ip_not_allowed`.
    pub struct IpNotAllowed {
        #[schema(schema_with = schema::client_ip)]
        pub client_ip: IpAddr = "The address that the request came from.",
    }
}

impl IpNotAllowed {
    pub(super) fn example() -> Self {
        Self {
            client_ip: [203, 0, 113, 7].into(),
        }
    }
}

string_enum! {
    /// The reason why a change of an order's status is refused.
    RefusalReason {
        /// Only LMN makes this change.
        PartnerNotAuthorized = "partner_not_authorized",
        /// The order's present state does not allow it.
        OutOfSequence = "out_of_sequence",
        /// The sandbox step would affect other partners' orders.
        VehicleShared = "vehicle_shared",
    }
}

impl RefusalReason {
    /// Returns the HTTP status.
    pub(super) fn status(self) -> StatusCode {
        match self {
            Self::PartnerNotAuthorized => StatusCode::FORBIDDEN,
            Self::OutOfSequence | Self::VehicleShared => StatusCode::CONFLICT,
        }
    }

    /// Returns the message of the error.
    pub(super) fn message(self) -> &'static str {
        match self {
            Self::PartnerNotAuthorized => {
                "This change is made by LMN, not by partners; read the order again to see what you can do."
            }
            Self::OutOfSequence => {
                "The order's present state does not allow this; read the order again to see what you can do."
            }
            Self::VehicleShared => {
                "This sandbox step needs your own open order on the vehicle and nobody else's; try it on another vehicle."
            }
        }
    }
}

payload! {
    /// The details of `invalid_status_transition`: the order's state, and the actions that it allows.
    pub struct InvalidStatusTransition {
        #[schema(schema_with = schema::words::<RefusalReason>)]
        pub reason: RefusalReason =
            "`partner_not_authorized`: the change is LMN's to make. `out_of_sequence`: the \
            order is not where the change begins. `vehicle_shared`: the sandbox step concerns \
            others, too.",
        #[schema(schema_with = schema::order_status, required = true)]
        pub current_status: Option<&'static str> = "Where the order is; null if you have none.",
        #[schema(schema_with = schema::fulfillment_detail, required = true)]
        pub current_fulfillment_detail: Option<&'static str> =
            "Its sub-status; null before it ships.",
        #[schema(schema_with = schema::actions)]
        pub allowed_actions: Vec<&'static str> = "What you can do with the order now.",
    }
}

impl InvalidStatusTransition {
    pub(super) fn example(reason: RefusalReason) -> Self {
        Self {
            reason,
            current_status: Some("acquiring"),
            current_fulfillment_detail: None,
            allowed_actions: Vec::new(),
        }
    }

    pub(super) fn lendfoundry(&self, requested_action: Option<&str>) -> Value {
        match self.reason {
            RefusalReason::PartnerNotAuthorized => json!([]),
            RefusalReason::OutOfSequence | RefusalReason::VehicleShared => json!({
                "current_state": self.current_status,
                "requested_action": requested_action,
                "valid_actions": self.allowed_actions,
            }),
        }
    }
}

payload! {
    /// The details of `method_not_allowed`. The router adds the methods to the response.
    pub(super) struct MethodNotAllowed {
        pub(super) allow: Vec<String> = "The methods that the path answers.",
    }
}

payload! {
    /// The details of `past_order_cutoff`.
    pub struct PastOrderCutoff {
        pub cutoff_at: Timestamp = "When orders for the vehicle closed.",
        pub now: Timestamp = "What time it was when the order was judged.",
    }
}

impl PastOrderCutoff {
    pub(super) fn example(now: Timestamp) -> Self {
        Self {
            cutoff_at: last_midnight(now),
            now,
        }
    }

    pub(super) fn lendfoundry(&self) -> Value {
        json!([{
            "rule": "ORDER_CUTOFF_PASSED",
            "cutoff_at": utc(self.cutoff_at.instant()),
            "now": utc(self.now.instant()),
        }])
    }
}

/// Returns the most recent midnight in Korea, the time of day at which orders close.
fn last_midnight(now: Timestamp) -> Timestamp {
    Timestamp::kst(now.instant() + TimeDelta::days(1)).order_cutoff()
}

payload! {
    /// The details of `duplicate_order`.
    pub struct DuplicateOrder {
        pub existing_order_id: OrderId = "Your open order for the vehicle.",
    }
}

impl DuplicateOrder {
    pub(super) fn example() -> Option<Self> {
        let existing_order_id = OrderId::parse(EXAMPLE_ORDER)?;
        Some(Self { existing_order_id })
    }

    pub(super) fn lendfoundry(&self) -> Value {
        json!({"resource_type": "order", "existing_id": self.existing_order_id})
    }
}

payload! {
    /// The details of `vehicle_unavailable`.
    pub struct VehicleUnavailable {
        pub vehicle_id: VehicleId = "The vehicle that was asked for.",
    }
}

impl VehicleUnavailable {
    pub(super) fn example() -> Option<Self> {
        let vehicle_id = example_vehicle()?;
        Some(Self { vehicle_id })
    }

    pub(super) fn lendfoundry(&self) -> Value {
        json!({"resource_type": "vehicle", "resource_id": self.vehicle_id})
    }
}

/// Returns the vehicle id of the examples.
pub(super) fn example_vehicle() -> Option<VehicleId> {
    VehicleId::parse("glovis_20260420_1064_2345")
}

payload! {
    /// The details of `idempotency_key_reused`.
    pub struct IdempotencyKeyReused {
        #[schema(required = true)]
        pub original_vehicle_id: Option<VehicleId> =
            "The vehicle that the first request with the key was about; null \
            if it was about none.",
        #[schema(schema_with = schema::mismatches)]
        pub mismatch: Vec<&'static str> =
            "What differs from the first request: `method`, `path`, `query`, \
            `vehicle_id`, `max_bid_amount_usd` or `body`.",
    }
}

impl IdempotencyKeyReused {
    pub(super) fn example() -> Self {
        Self {
            original_vehicle_id: example_vehicle(),
            mismatch: vec!["vehicle_id"],
        }
    }

    /// Lists every difference from the request that used the key first; without differences, the key itself.
    pub(super) fn lendfoundry(&self) -> Value {
        let issue = Code::IdempotencyKeyReused.as_str().to_uppercase();
        let original = &self.original_vehicle_id;
        let of =
            |field: &&str| json!({"field": field, "issue": issue, "original_vehicle_id": original});
        match self.mismatch.as_slice() {
            [] => json!([of(&"Idempotency-Key")]),
            fields => fields.iter().map(of).collect(),
        }
    }
}

payload! {
    /// The details of `service_unavailable`.
    pub(super) struct ServiceUnavailable {
        #[schema(schema_with = schema::count)]
        pub(super) retry_after: u64 = "When to try again, in seconds; equals `Retry-After`.",
    }
}

payload! {
    /// The details of `invalid_operator_token`.
    pub struct InvalidOperatorToken {
        #[schema(schema_with = schema::token_reasons)]
        pub reason: &'static str = "`unknown`, `revoked` or `expired`.",
    }
}

impl InvalidOperatorToken {
    pub(super) fn example() -> Self {
        Self { reason: "expired" }
    }
}

payload! {
    /// The details of `role_not_allowed`.
    pub struct RoleNotAllowed {
        #[schema(schema_with = schema::role)]
        pub role: &'static str = "Your role.",
        #[schema(schema_with = schema::roles)]
        pub needed: Vec<&'static str> = "The roles of which one is needed.",
    }
}

impl RoleNotAllowed {
    pub(super) fn example() -> Self {
        Self {
            role: "viewer",
            needed: vec!["trader", "admin"],
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn last_midnight_is_the_most_recent_one_in_korea() {
        for (now, midnight) in [
            ("2026-04-19T09:30:00+09:00", "2026-04-19T00:00:00+09:00"),
            ("2026-04-19T00:00:00+09:00", "2026-04-19T00:00:00+09:00"),
            ("2026-04-18T23:59:59.999+09:00", "2026-04-18T00:00:00+09:00"),
            ("2026-04-18T15:00:00+00:00", "2026-04-19T00:00:00+09:00"),
        ] {
            let [now, midnight] = [now, midnight].map(|it| Timestamp::parse(it).unwrap());
            assert_eq!(last_midnight(now), midnight);
        }
    }
}
