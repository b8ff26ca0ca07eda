//! LendFoundry's form of an error: its envelope, its codes, and for each code the details that its documentation shows.
//!
//! A system that knows that documentation copes with us as it stands. All five members are always there, and times are
//! UTC and end in `Z`, here alone.

use chrono::{DateTime, SecondsFormat, TimeDelta, Utc};
use serde::Serialize;
use serde_json::{Value, json};

use super::{
    ApiError, Issue, IssueKind, Refusal, catalogue::Code, entry::LendFoundryCode,
    render::ErrorContext,
};
use crate::{id::VehicleId, middleware::rate_limit::model::Throttled, money::Usd, stamp::Stamp};

/// The envelope.
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
    /// What LMN calls it.
    lmn_code: &'static str,
}

impl LendFoundryError {
    pub(super) fn of(told: &ErrorContext<'_>) -> Self {
        let (error, code) = (told.error.plain(), told.error.code());
        let known = code.entry().lendfoundry_code(error.status().as_u16());
        let error = Members {
            // Every status that an error has stands in its row.
            code: known.unwrap_or(LendFoundryCode::InternalServerError),
            message: error.to_string(),
            details: details(error, told),
            trace_id: told.request_id.to_string(),
            timestamp: utc(told.now),
            lmn_code: code.as_str(),
        };
        Self { error }
    }
}

/// Returns the details in the shape that the code has there: objects where it tells of one thing, else an array.
fn details(error: &ApiError, told: &ErrorContext<'_>) -> Value {
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
            let methods: Vec<&str> = told.methods().collect();
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
        ApiError::VehicleNotFound(asked) => lacking("vehicle", Some(asked.as_str())),
        ApiError::VehicleUnavailable { vehicle_id } => {
            lacking("vehicle", Some(vehicle_id.as_str()))
        }
        ApiError::OrderNotFound(asked) => lacking("order", Some(asked.as_str())),
        ApiError::EventNotFound(asked) => lacking("event", Some(asked.as_str())),
        // A partner has one at most, so it has no id.
        ApiError::WebhookEndpointNotFound => lacking("webhook_endpoint", None),
        ApiError::OrderVehicleSnapshotNotFound(asked) => {
            lacking("order_vehicle_snapshot", Some(asked.as_str()))
        }
        ApiError::NotFound(asked) => lacking("route", Some(asked.as_str())),
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
    let mut told = json!(issue);
    if let Some(members) = told.as_object_mut() {
        let field = members.remove("path");
        members.extend(field.map(|field| ("field".to_owned(), field)));
    }
    told
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

fn cutoff(cutoff_at: Stamp, now: Stamp) -> Value {
    json!([{
        "rule": "ORDER_CUTOFF_PASSED",
        "cutoff_at": utc(cutoff_at.instant()),
        "now": utc(now.instant()),
    }])
}

/// Tells of every place in which a request differs from the one that used its key; of the key itself if of none.
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

fn lacking(kind: &str, id: Option<&str>) -> Value {
    json!({"resource_type": kind, "resource_id": id})
}

fn state(refusal: &Refusal) -> Value {
    json!({
        "current_state": refusal.current_status,
        "requested_action": refusal.requested_action,
        "valid_actions": refusal.allowed_actions,
    })
}

/// Returns the first whole second that is not earlier.
fn second_up(instant: DateTime<Utc>) -> DateTime<Utc> {
    match instant.timestamp_subsec_nanos() {
        0 => instant,
        _ => instant + TimeDelta::seconds(1),
    }
}

/// Tells an instant as LendFoundry does: in UTC, in whole seconds.
fn utc(instant: DateTime<Utc>) -> String {
    instant.to_rfc3339_opts(SecondsFormat::Secs, true)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_time_to_come_back_is_never_early() {
        for (instant, told) in [
            ("2026-04-19T00:30:00Z", "2026-04-19T00:30:00Z"),
            ("2026-04-19T00:30:00.001Z", "2026-04-19T00:30:01Z"),
            ("2026-12-31T23:59:59.999Z", "2027-01-01T00:00:00Z"),
        ] {
            assert_eq!(utc(second_up(instant.parse().unwrap())), told);
        }
    }
}
