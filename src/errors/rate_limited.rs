//! The details of `rate_limited`: the limit, and when the next request passes.

use chrono::{DateTime, TimeDelta, Utc};
use serde_json::{Value, json};

use super::{entry::payload, forms::utc, schema};
use crate::values::{
    rate_limit::{Policy, Standing, Throttled},
    timestamp::Timestamp,
};

payload! {
    /// The details of `rate_limited`.
    pub struct RateLimited {
        #[schema(schema_with = schema::policies)]
        pub policy: &'static str =
            "Which limit it is: `read`, `write`, or `unknown_key` for guessed keys.",
        #[schema(schema_with = schema::count)]
        pub limit: u32 = "How many requests pass in a window.",
        #[schema(schema_with = schema::count)]
        pub window_seconds: u32 = "How long a window is.",
        #[schema(schema_with = schema::count)]
        pub burst: u32 = "How many requests pass at once.",
        #[schema(schema_with = schema::zero)]
        pub remaining: u32 = "How many would pass now: 0.",
        #[schema(schema_with = schema::count)]
        pub retry_after: u64 = "When the next one passes, in seconds; equals `Retry-After`.",
        pub reset_at: Timestamp = "The same as a time.",
    }
}

impl From<Throttled> for RateLimited {
    fn from(throttled: Throttled) -> Self {
        let policy = throttled.policy;
        Self {
            policy: throttled.name,
            limit: policy.limit(),
            window_seconds: policy.window_seconds(),
            burst: policy.burst(),
            remaining: 0,
            retry_after: throttled.retry_after_seconds,
            reset_at: throttled.reset_at,
        }
    }
}

impl RateLimited {
    pub(super) fn example(now: Timestamp) -> Option<Self> {
        let policy = Policy::new(120, 60, 30)?;
        let standing = Standing {
            name: "write",
            policy,
            remaining: 0,
            full_in: policy.interval() * policy.burst(),
        };
        Some(Throttled::new(&standing, policy.interval(), now).into())
    }

    pub(super) fn lendfoundry(&self) -> Value {
        json!({
            "limit": self.limit,
            "remaining": self.remaining,
            "reset_at": utc(second_up(self.reset_at.instant())),
            "retry_after": self.retry_after,
        })
    }
}

/// Rounds up to a whole second.
fn second_up(instant: DateTime<Utc>) -> DateTime<Utc> {
    match instant.timestamp_subsec_nanos() {
        0 => instant,
        _ => instant + TimeDelta::seconds(1),
    }
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
