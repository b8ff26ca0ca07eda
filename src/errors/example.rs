//! Example errors with plausible details, for the OpenAPI document and for `X-Sandbox-Force`.

use chrono::TimeDelta;

use super::{ApiError, Asked, Fault, IssueKind, Refusal, catalogue::Code};
use crate::{
    middleware::rate_limit::model::{Policy, Standing, Throttled},
    values::{
        id::{OrderId, VehicleId},
        money::Usd,
        timestamp::Timestamp,
    },
};

/// The order id of the examples.
const ORDER: &str = "01KNVD7K402JY0W9P0X3A6T4QB";

impl ApiError {
    /// Creates the error with a code and a status as if it happened at `now`; `None` if the catalogue has no such row.
    pub(crate) fn example(code: Code, status: u16, now: Timestamp) -> Option<Self> {
        let vehicle_id = || VehicleId::parse("glovis_20260420_1064_2345");
        let error = match code {
            Code::ValidationError => Fault::new(
                IssueKind::OutOfRange,
                "`limit` must be a whole number from 1 to 200",
            )
            .expected("1..200")
            .at("limit", Some("500"))
            .into(),
            Code::MissingIdempotencyKey => Self::MissingIdempotencyKey,
            Code::InvalidCursor => Self::InvalidCursor {
                reason: "filter_mismatch",
            },
            Code::MissingMaxBid => Self::MissingMaxBid {
                listing_usd: Usd::new(15_000)?,
                received: None,
            },
            Code::MissingApiKey => Self::MissingApiKey,
            Code::InvalidApiKey => Self::InvalidApiKey { reason: "revoked" },
            Code::IpNotAllowed => Self::IpNotAllowed {
                client_ip: [203, 0, 113, 7].into(),
            },
            Code::InvalidStatusTransition if status == 403 => Self::NotThePartnersStep(refusal()),
            Code::InvalidStatusTransition => Self::OutOfSequence(refusal()),
            Code::VehicleNotFound => Self::no_vehicle(vehicle_id()?),
            Code::OrderNotFound => Self::no_order(ORDER),
            Code::OrderVehicleSnapshotNotFound => {
                Self::OrderVehicleSnapshotNotFound(Asked::new(ORDER))
            }
            Code::NotFound => Self::no_route("/v1/order"),
            Code::MethodNotAllowed => Self::MethodNotAllowed,
            Code::PastOrderCutoff => Self::PastOrderCutoff {
                cutoff_at: last_midnight(now),
                now,
            },
            Code::DuplicateOrder => Self::DuplicateOrder {
                existing_order_id: OrderId::parse(ORDER)?,
            },
            Code::VehicleUnavailable => Self::VehicleUnavailable {
                vehicle_id: vehicle_id()?,
            },
            Code::PayloadTooLarge => Self::PayloadTooLarge {
                limit_bytes: 65_536,
            },
            Code::UnsupportedMediaType => Self::UnsupportedMediaType,
            Code::RequestTimeout => Self::RequestTimeout,
            Code::IdempotencyKeyReused => Self::IdempotencyKeyReused {
                original_vehicle_id: vehicle_id(),
                mismatch: vec!["vehicle_id"],
            },
            Code::RateLimited => Self::RateLimited(throttled(now)?),
            Code::InternalError => Self::internal("an example"),
            Code::ServiceUnavailable => Self::unavailable("an example"),
            Code::EventNotFound => Self::no_event("evt_01KNVD7K40E1M6R9W0X3A6T4QB"),
            Code::WebhookEndpointNotFound => Self::WebhookEndpointNotFound,
        };
        (error.status() == status).then_some(error)
    }
}

/// Returns the most recent midnight in Korea, the time of day at which orders close.
fn last_midnight(now: Timestamp) -> Timestamp {
    Timestamp::kst(now.instant() + TimeDelta::days(1)).order_cutoff()
}

fn refusal() -> Refusal {
    Refusal {
        current_status: Some("acquiring"),
        current_fulfillment_detail: None,
        requested_action: Some("cancel"),
        allowed_actions: Vec::new(),
    }
}

fn throttled(now: Timestamp) -> Option<Throttled> {
    let policy = Policy::new(120, 60, 30)?;
    let standing = Standing {
        name: "write",
        policy,
        remaining: 0,
        full_in: policy.interval() * policy.burst(),
    };
    Some(Throttled::new(&standing, policy.interval(), now))
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

    #[test]
    fn example_has_the_requested_code_and_status() {
        let now = Timestamp::parse("2026-04-19T09:30:00+09:00").unwrap();
        for code in Code::ALL {
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
