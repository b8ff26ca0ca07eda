//! Errors on demand: what `X-Sandbox-Force` answers (contract, section 9), with details as they might be.

use std::{net::IpAddr, time::Duration};

use chrono::{DateTime, TimeDelta, Utc};

use super::{ApiError, Fault, Issue, IssueKind, Refusal, catalogue::Code};
use crate::{
    gate::rate_limit::model::{Kind, Policy, Standing, Throttled},
    id::{OrderId, VehicleId},
    money::Usd,
    stamp::Stamp,
};

impl ApiError {
    /// Makes the error that has a code and a status; `None` if the catalogue has no such row.
    pub(crate) fn forced(
        code: Code,
        status: u16,
        policy: Policy,
        client_ip: IpAddr,
        now: DateTime<Utc>,
    ) -> Option<Self> {
        let vehicle = || VehicleId::parse("glovis_20260420_1064_2345");
        let hour_ago = Stamp::kst(now - TimeDelta::hours(1));
        let error = match code {
            Code::ValidationError => Self::Validation(issue().into()),
            Code::MissingIdempotencyKey => Self::MissingIdempotencyKey,
            Code::InvalidCursor => Self::InvalidCursor {
                reason: "malformed",
            },
            Code::MissingMaxBid => Self::MissingMaxBid {
                listing_usd: Usd::new(15_000)?,
                received: None,
            },
            Code::MissingApiKey => Self::MissingApiKey,
            Code::InvalidApiKey => Self::InvalidApiKey { reason: "unknown" },
            Code::IpNotAllowed => Self::IpNotAllowed { client_ip },
            Code::InvalidStatusTransition if status == 403 => Self::NotThePartnersStep(refusal()),
            Code::InvalidStatusTransition => Self::OutOfSequence(refusal()),
            Code::VehicleNotFound => Self::VehicleNotFound,
            Code::OrderNotFound => Self::OrderNotFound,
            Code::EventNotFound => Self::EventNotFound,
            Code::WebhookEndpointNotFound => Self::WebhookEndpointNotFound,
            Code::OrderVehicleSnapshotNotFound => Self::OrderVehicleSnapshotNotFound,
            Code::NotFound => Self::NotFound,
            Code::MethodNotAllowed => Self::MethodNotAllowed,
            Code::PastOrderCutoff => Self::PastOrderCutoff {
                cutoff_at: hour_ago,
                now: Stamp::kst(now),
            },
            Code::DuplicateOrder => Self::DuplicateOrder {
                existing_order_id: OrderId::new(now),
            },
            Code::VehicleUnavailable => Self::VehicleUnavailable {
                vehicle_id: vehicle()?,
            },
            Code::PayloadTooLarge => Self::PayloadTooLarge {
                limit_bytes: 65_536,
            },
            Code::UnsupportedMediaType => Self::UnsupportedMediaType,
            Code::RequestTimeout => Self::RequestTimeout,
            Code::IdempotencyKeyReused => Self::IdempotencyKeyReused {
                original_vehicle_id: vehicle(),
                mismatch: vec!["vehicle_id"],
            },
            Code::RateLimited => Self::RateLimited(throttled(policy, now)),
            Code::InternalError => Self::internal("asked for by X-Sandbox-Force"),
            Code::ServiceUnavailable => Self::unavailable("asked for by X-Sandbox-Force"),
        };
        (error.status() == status).then(|| Self::Forced(Box::new(error)))
    }
}

fn issue() -> Issue {
    let message = "`limit` must be a whole number from 1 to 200";
    let fault = Fault::new(IssueKind::OutOfRange, message).expected("1..200");
    fault.at("limit", Some("1000"))
}

fn refusal() -> Refusal {
    Refusal {
        current_status: Some("acquiring"),
        current_fulfillment_detail: None,
        allowed_actions: Vec::new(),
    }
}

fn throttled(policy: Policy, now: DateTime<Utc>) -> Throttled {
    let standing = Standing {
        kind: Kind::Write,
        policy,
        remaining: 0,
        full_in: policy.interval() * policy.burst(),
    };
    let wait = policy.interval().max(Duration::from_secs(1));
    Throttled::new(&standing, wait, Stamp::kst(now))
}
