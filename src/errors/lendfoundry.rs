//! LendFoundry's representation of an error: its envelope, its codes, and the details that its documentation shows for
//! each code.
//!
//! Clients built from that documentation work unchanged. All five members are always present, and times are in UTC and
//! end in `Z`, in this representation only.

use chrono::{DateTime, SecondsFormat, TimeDelta, Utc};
use serde::Serialize;
use serde_json::{Value, json};

use super::{
    ApiError, Issue, IssueKind, Refusal, catalogue::Code, entry::LendFoundryCode,
    render::ErrorContext,
};
use crate::{
    middleware::rate_limit::model::Throttled,
    values::{id::VehicleId, money::Usd, timestamp::Timestamp},
};

/// The envelope of an error.
#[derive(Serialize)]
pub(super) struct LendFoundryError {
    error: Members,
}

#[derive(Serialize)]
struct Members {
    code: LendFoundryCode,
    message: String,
    details: Value,
    trace_id: String,
    timestamp: String,
    /// The value of `error.code` in LMN's own representation.
    lmn_code: &'static str,
}

impl LendFoundryError {
    pub(super) fn of(context: &ErrorContext<'_>) -> Self {
        let (error, code) = (context.error.plain(), context.error.code());
        let known = code.entry().lendfoundry_code(error.status().as_u16());
        let error = Members {
            // The row of a code lists every status that it occurs with.
            code: known.unwrap_or(LendFoundryCode::InternalServerError),
            message: error.to_string(),
            details: details(error, context),
            trace_id: context.request_id.to_string(),
            timestamp: utc(context.now),
            lmn_code: code.as_str(),
        };
        Self { error }
    }
}

/// Returns the details in the shape that LendFoundry documents for the code: an object or an array of objects.
fn details(error: &ApiError, context: &ErrorContext<'_>) -> Value {
    match error {
        ApiError::Validation(issues) => issues.all().iter().map(issue).collect(),
        ApiError::MissingIdempotencyKey => one(
            "Idempotency-Key",
            IssueKind::RequiredFieldMissing,
            "UUID v4",
        ),
        ApiError::InvalidCursor { reason } => {
            json!([{"field": "cursor", "issue": IssueKind::InvalidValue, "reason": reason}])
        }
        ApiError::MissingMaxBid {
            listing_usd,
            received,
        } => bid(*listing_usd, *received),
        ApiError::MethodNotAllowed => {
            let methods: Vec<&str> = context.methods().collect();
            one("method", IssueKind::InvalidValue, &methods.join(" "))
        }
        ApiError::RequestTimeout => one(
            "body",
            IssueKind::RequiredFieldMissing,
            "the whole body in time",
        ),
        ApiError::PayloadTooLarge { limit_bytes } => {
            let expected = format!("at most {limit_bytes} bytes");
            one("body", IssueKind::OutOfRange, &expected)
        }
        ApiError::UnsupportedMediaType => {
            one("Content-Type", IssueKind::InvalidValue, "application/json")
        }
        ApiError::VehicleNotFound(asked) => not_found("vehicle", Some(asked.as_str())),
        ApiError::VehicleUnavailable { vehicle_id } => {
            not_found("vehicle", Some(vehicle_id.as_str()))
        }
        ApiError::OrderNotFound(asked) => not_found("order", Some(asked.as_str())),
        ApiError::EventNotFound(asked) => not_found("event", Some(asked.as_str())),
        // A partner has at most one endpoint, so it has no id.
        ApiError::WebhookEndpointNotFound => not_found("webhook_endpoint", None),
        ApiError::OrderVehicleSnapshotNotFound(asked) => {
            not_found("order_vehicle_snapshot", Some(asked.as_str()))
        }
        ApiError::NotFound(asked) => not_found("route", Some(asked.as_str())),
        ApiError::PastOrderCutoff { cutoff_at, now } => cutoff(*cutoff_at, *now),
        ApiError::DuplicateOrder { existing_order_id } => {
            json!({"resource_type": "order", "existing_id": existing_order_id})
        }
        ApiError::OutOfSequence(refusal) | ApiError::VehicleShared(refusal) => state(refusal),
        ApiError::IdempotencyKeyReused {
            original_vehicle_id,
            mismatch,
        } => reused(original_vehicle_id.as_ref(), mismatch),
        ApiError::RateLimited(throttled) => limit(throttled),
        ApiError::MissingApiKey
        | ApiError::InvalidApiKey { .. }
        | ApiError::IpNotAllowed { .. }
        | ApiError::NotThePartnersStep(_)
        | ApiError::Internal { .. }
        | ApiError::Unavailable { .. }
        | ApiError::Forced(_) => json!([]),
    }
}

fn issue(issue: &Issue) -> Value {
    let mut object = json!(issue);
    if let Some(members) = object.as_object_mut() {
        let field = members.remove("path");
        members.extend(field.map(|field| ("field".to_owned(), field)));
    }
    object
}

fn bid(listing: Usd, received: Option<i64>) -> Value {
    let kind = received.map_or(IssueKind::RequiredFieldMissing, |_| IssueKind::OutOfRange);
    json!([{
        "field": "max_bid_amount_usd",
        "issue": kind,
        "expected": "integer",
        "min": listing,
        "provided": received,
    }])
}

fn cutoff(cutoff_at: Timestamp, now: Timestamp) -> Value {
    json!([{
        "rule": "ORDER_CUTOFF_PASSED",
        "cutoff_at": utc(cutoff_at.instant()),
        "now": utc(now.instant()),
    }])
}

/// Lists every difference from the request that used the key first; without differences, the key itself.
fn reused(original: Option<&VehicleId>, mismatch: &[&str]) -> Value {
    let issue = Code::IdempotencyKeyReused.as_str().to_uppercase();
    let of =
        |field: &&str| json!({"field": field, "issue": issue, "original_vehicle_id": original});
    match mismatch {
        [] => json!([of(&"Idempotency-Key")]),
        fields => fields.iter().map(of).collect(),
    }
}

fn limit(throttled: &Throttled) -> Value {
    json!({
        "limit": throttled.policy.limit(),
        "remaining": 0,
        "reset_at": utc(second_up(throttled.reset_at.instant())),
        "retry_after": throttled.retry_after_seconds,
    })
}

fn one(field: &str, kind: IssueKind, expected: &str) -> Value {
    json!([{"field": field, "issue": kind, "expected": expected}])
}

fn not_found(kind: &str, id: Option<&str>) -> Value {
    json!({"resource_type": kind, "resource_id": id})
}

fn state(refusal: &Refusal) -> Value {
    json!({
        "current_state": refusal.current_status,
        "requested_action": refusal.requested_action,
        "valid_actions": refusal.allowed_actions,
    })
}

/// Rounds up to a whole second.
fn second_up(instant: DateTime<Utc>) -> DateTime<Utc> {
    match instant.timestamp_subsec_nanos() {
        0 => instant,
        _ => instant + TimeDelta::seconds(1),
    }
}

/// Formats an instant in UTC, in whole seconds.
fn utc(instant: DateTime<Utc>) -> String {
    instant.to_rfc3339_opts(SecondsFormat::Secs, true)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reset_time_is_rounded_up_to_a_whole_second() {
        for (instant, expected) in [
            ("2026-04-19T00:30:00Z", "2026-04-19T00:30:00Z"),
            ("2026-04-19T00:30:00.001Z", "2026-04-19T00:30:01Z"),
            ("2026-12-31T23:59:59.999Z", "2027-01-01T00:00:00Z"),
        ] {
            assert_eq!(utc(second_up(instant.parse().unwrap())), expected);
        }
    }
}
