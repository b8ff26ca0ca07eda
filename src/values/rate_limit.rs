//! Rate limits: the policies, the state of a caller's limit, and the details of a refusal.

use std::time::Duration;

use chrono::{DateTime, Utc};

use super::{string_enum::string_enum, timestamp::Timestamp};

/// The largest number in a policy.
const NUMBER_MAX: u32 = 1_000_000;
/// A used-up burst is whole again within this many seconds.
pub(crate) const REFILL_SECONDS_MAX: u64 = 24 * 3600;

string_enum! {
    /// The requests that a policy counts. Headers and details name the policy by it.
    Kind {
        /// GET and HEAD.
        Read = "read",
        /// POST, PUT and DELETE.
        Write = "write",
    }
}

/// A policy of `limit` requests in any `window_seconds`, and `burst` on top at once.
///
/// It is a continuous sliding window (GCRA): one request becomes available every `window / limit`, up to `burst`. In
/// any span of `window_seconds` at most `limit + burst` requests are admitted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Policy {
    limit: u32,
    window_seconds: u32,
    burst: u32,
}

impl Policy {
    /// Creates a policy of three numbers from 1 to 1,000,000 whose burst is whole again within 24 hours.
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

    /// Returns the number of requests that become available in a window.
    pub fn limit(self) -> u32 {
        self.limit
    }

    /// Returns the length of the window, in seconds.
    pub fn window_seconds(self) -> u32 {
        self.window_seconds
    }

    /// Returns the number of requests that can be admitted at once.
    pub fn burst(self) -> u32 {
        self.burst
    }

    /// Returns the time after which one more request becomes available, rounded up to a nanosecond, so that a window
    /// never has more than `limit` of them.
    pub fn interval(self) -> Duration {
        let window = u64::from(self.window_seconds) * 1_000_000_000;
        Duration::from_nanos(window.div_ceil(self.limit.into()))
    }
}

/// The state of a caller's limit right after a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Standing {
    /// The name of the policy.
    pub name: &'static str,
    /// The policy.
    pub policy: Policy,
    /// The number of requests that would be admitted now.
    pub remaining: u32,
    /// The time until `remaining` equals `burst` again.
    pub full_in: Duration,
}

impl Standing {
    /// Computes the state of a caller whose burst is whole again after `full_in`.
    pub(crate) fn new(name: &'static str, policy: Policy, full_in: Duration) -> Self {
        let interval = policy.interval().as_nanos().max(1);
        let taken = u32::try_from(full_in.as_nanos().div_ceil(interval)).unwrap_or(u32::MAX);
        Self {
            name,
            policy,
            remaining: policy.burst().saturating_sub(taken),
            full_in,
        }
    }

    /// Returns the `t` parameter of `RateLimit`: whole seconds, rounded up, until `burst` requests are available.
    pub fn full_in_seconds(&self) -> u64 {
        seconds_up(self.full_in)
    }

    /// Returns the unix time, rounded up to a second, at which `burst` requests are available.
    pub(crate) fn full_at(&self, now: DateTime<Utc>) -> i64 {
        let full_at = now + self.full_in;
        full_at.timestamp() + i64::from(full_at.timestamp_subsec_nanos() > 0)
    }
}

/// The refusal of a request that came too early.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Throttled {
    /// The name of the policy.
    pub name: &'static str,
    /// The policy.
    pub policy: Policy,
    /// Whole seconds, rounded up and at least 1, until one request is admitted.
    pub retry_after_seconds: u64,
    /// The time at which one request is admitted.
    pub reset_at: Timestamp,
}

impl Throttled {
    /// Computes the time of the next request; `wait` is the exact time until then.
    pub fn new(standing: &Standing, wait: Duration, now: Timestamp) -> Self {
        let retry_after_seconds = seconds_up(wait).max(1);
        // Rounded up to milliseconds, the precision of times in JSON, so that `reset_at` is never early either.
        let wait = Duration::from_millis(
            u64::try_from(wait.as_nanos().div_ceil(1_000_000)).unwrap_or(u64::MAX),
        );
        Self {
            name: standing.name,
            policy: standing.policy,
            retry_after_seconds,
            reset_at: Timestamp::kst(now.instant() + wait),
        }
    }
}

fn seconds_up(duration: Duration) -> u64 {
    duration.as_secs() + u64::from(duration.subsec_nanos() > 0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn wait_is_rounded_up_to_seconds() {
        for (milliseconds, seconds) in [(0, 0), (1, 1), (999, 1), (1000, 1), (1001, 2)] {
            assert_eq!(seconds_up(Duration::from_millis(milliseconds)), seconds);
        }
    }

    #[test]
    fn window_refills_at_most_the_limit() {
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
            // The requests that become available during one window.
            assert!(window / interval <= u64::from(limit), "{policy:?}");
            // The interval is the shortest that keeps this bound.
            assert!((interval - 1) * u64::from(limit) < window, "{policy:?}");
        }
    }

    #[test]
    fn policy_numbers_are_one_to_a_million() {
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
