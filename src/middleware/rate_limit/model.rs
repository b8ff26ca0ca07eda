//! What a limit is, and how it is told to the caller: policies, verdicts and headers, all pure.

use std::{
    fmt::{self, Write},
    time::Duration,
};

use chrono::{DateTime, Utc};
use serde_json::{Value, json};

use crate::stamp::Stamp;

/// The largest number in a policy.
const NUMBER_MAX: u32 = 1_000_000;
/// A burst that is used up is whole again within this many seconds.
pub(crate) const REFILL_SECONDS_MAX: u64 = 24 * 3600;

/// Which requests a policy counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Kind {
    /// GET and HEAD.
    Read,
    /// POST, PUT and DELETE.
    Write,
}

impl Kind {
    /// Returns the policy's name in headers and details.
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::Read => "read",
            Self::Write => "write",
        }
    }
}

/// `limit` requests in any `window_seconds`, and `burst` at once on top.
///
/// It is a sliding window without edges (GCRA): one request comes back every `window / limit`, up to `burst`. In any
/// span of `window_seconds` at most `limit + burst` requests pass.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Policy {
    limit: u32,
    window_seconds: u32,
    burst: u32,
}

impl Policy {
    /// Makes a policy of three numbers from 1 to 1,000,000, whose burst comes back within 24 hours.
    pub fn new(limit: u32, window_seconds: u32, burst: u32) -> Option<Self> {
        let all_fit = [limit, window_seconds, burst]
            .iter()
            .all(|n| (1..=NUMBER_MAX).contains(n));
        let refill_seconds = u64::from(window_seconds) * u64::from(burst) / u64::from(limit.max(1));
        (all_fit && refill_seconds <= REFILL_SECONDS_MAX).then_some(Self {
            limit,
            window_seconds,
            burst,
        })
    }

    /// Returns how many requests come back in a window.
    pub fn limit(self) -> u32 {
        self.limit
    }

    /// Returns the length of the window.
    pub fn window_seconds(self) -> u32 {
        self.window_seconds
    }

    /// Returns how many requests can pass at once.
    pub fn burst(self) -> u32 {
        self.burst
    }

    /// Returns the time after which one more request can pass, rounded up to a nanosecond: a window holds no more than
    /// `limit` of them.
    pub fn interval(self) -> Duration {
        let window = u64::from(self.window_seconds) * 1_000_000_000;
        Duration::from_nanos(window.div_ceil(self.limit.into()))
    }
}

/// How a caller stands with a policy right after a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Standing {
    /// The policy's name.
    pub name: &'static str,
    /// The policy.
    pub policy: Policy,
    /// How many requests would pass right now.
    pub remaining: u32,
    /// Time until `remaining` is `burst` again.
    pub full_in: Duration,
}

impl Standing {
    /// Tells how a caller stands whose burst is whole again after `full_in`.
    pub(super) fn new(name: &'static str, policy: Policy, full_in: Duration) -> Self {
        let interval = policy.interval().as_nanos().max(1);
        let taken = u32::try_from(full_in.as_nanos().div_ceil(interval)).unwrap_or(u32::MAX);
        Self {
            name,
            policy,
            remaining: policy.burst().saturating_sub(taken),
            full_in,
        }
    }

    /// Returns `t`: whole seconds, rounded up, until `burst` requests can pass.
    pub fn full_in_seconds(&self) -> u64 {
        seconds_up(self.full_in)
    }

    /// Returns the unix second by which `burst` requests can pass, never early.
    pub(crate) fn full_at(&self, now: DateTime<Utc>) -> i64 {
        let full_at = now + self.full_in;
        full_at.timestamp() + i64::from(full_at.timestamp_subsec_nanos() > 0)
    }

    /// Writes the value of `RateLimit-Policy`.
    pub(super) fn write_policy(&self, out: &mut impl Write) -> fmt::Result {
        let Policy {
            limit,
            window_seconds,
            ..
        } = self.policy;
        write!(out, r#""{}";q={limit};w={window_seconds}"#, self.name)
    }

    /// Writes the value of `RateLimit`.
    pub(super) fn write_state(&self, out: &mut impl Write) -> fmt::Result {
        let (name, remaining) = (self.name, self.remaining);
        write!(
            out,
            r#""{name}";r={remaining};t={}"#,
            self.full_in_seconds()
        )
    }
}

/// A request that came too early.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Throttled {
    /// The policy's name.
    pub name: &'static str,
    /// The policy.
    pub policy: Policy,
    /// Whole seconds until one request passes: never earlier than the truth, at least 1.
    pub retry_after_seconds: u64,
    /// When one request passes.
    pub reset_at: Stamp,
}

impl Throttled {
    /// Tells when the next request passes; `wait` is the exact time until then.
    pub fn new(standing: &Standing, wait: Duration, now: Stamp) -> Self {
        let retry_after_seconds = seconds_up(wait).max(1);
        // Rounded up to the milliseconds in which times are told, so that `reset_at` is never early either.
        let wait = Duration::from_millis(
            u64::try_from(wait.as_nanos().div_ceil(1_000_000)).unwrap_or(u64::MAX),
        );
        Self {
            name: standing.name,
            policy: standing.policy,
            retry_after_seconds,
            reset_at: Stamp::kst(now.instant() + wait),
        }
    }

    /// Returns the members of `error.details`.
    pub fn details(&self) -> Value {
        json!({
            "policy": self.name,
            "limit": self.policy.limit,
            "window_seconds": self.policy.window_seconds,
            "burst": self.policy.burst,
            "remaining": 0,
            "retry_after": self.retry_after_seconds,
            "reset_at": self.reset_at,
        })
    }
}

fn seconds_up(duration: Duration) -> u64 {
    duration.as_secs() + u64::from(duration.subsec_nanos() > 0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_headers_are_structured_fields() {
        let standing = Standing {
            name: "write",
            policy: Policy::new(120, 60, 30).unwrap(),
            remaining: 29,
            full_in: Duration::from_millis(500),
        };
        let (mut policy, mut state) = (String::new(), String::new());
        standing.write_policy(&mut policy).unwrap();
        standing.write_state(&mut state).unwrap();
        assert_eq!(policy, r#""write";q=120;w=60"#);
        assert_eq!(state, r#""write";r=29;t=1"#);
    }

    #[test]
    fn waiting_is_rounded_up() {
        for (milliseconds, seconds) in [(0, 0), (1, 1), (999, 1), (1000, 1), (1001, 2)] {
            assert_eq!(seconds_up(Duration::from_millis(milliseconds)), seconds);
        }
    }

    #[test]
    fn no_more_than_the_limit_comes_back_in_a_window() {
        for (limit, window, interval) in [
            (1, 1, 1_000_000_000),
            (120, 60, 500_000_000),
            (3, 1, 333_333_334),
            (7, 60, 8_571_428_572),
            (999_001, 1, 1_001),
            (999_999, 1_000_000, 1_000_001_001),
            (1_000_000, 1, 1_000),
        ] {
            let policy = Policy::new(limit, window, 1).unwrap();
            assert_eq!(policy.interval(), Duration::from_nanos(interval));
            let window = u64::from(window) * 1_000_000_000;
            // A burst that was whole when the window began, and what comes back until its end.
            assert!(window / interval <= u64::from(limit), "{policy:?}");
            // And no slower than that takes.
            assert!((interval - 1) * u64::from(limit) < window, "{policy:?}");
        }
    }

    #[test]
    fn a_policy_is_made_of_numbers_from_one_to_a_million() {
        assert!(Policy::new(1, 86_400, 1).is_some());
        for (limit, window, burst) in [
            (0, 1, 1),
            (1, 0, 1),
            (1, 1, 0),
            (1_000_001, 1, 1),
            (1, 86_400, 2),
        ] {
            assert_eq!(Policy::new(limit, window, burst), None);
        }
    }
}
