//! Counting within one replica, with `governor`.

use std::{
    num::NonZeroU32,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use governor::{
    Quota, RateLimiter,
    clock::{Clock, MonotonicClock},
    middleware::NoOpMiddleware,
    nanos::Nanos,
    state::{NotKeyed, StateStore},
};
use moka::sync::Cache;

use super::model::{Kind, Policy, REFILL_SECONDS_MAX, Standing};
use crate::id::KeyId;

/// A key that was idle this long starts anew: no policy takes longer to have its burst whole again.
const IDLE: Duration = Duration::from_secs(REFILL_SECONDS_MAX);

/// The use that this replica saw of each key under each policy.
#[derive(Debug, Clone)]
pub(super) struct Local {
    buckets: Cache<(KeyId, Kind, Policy), Arc<Bucket>>,
}

/// One key's use of one policy.
#[derive(Debug)]
struct Bucket {
    limiter: RateLimiter<NotKeyed, ArrivalTime, MonotonicClock, NoOpMiddleware<Instant>>,
    arrival: Arc<AtomicU64>,
    started: Instant,
}

/// Where governor keeps the theoretical arrival time, in nanoseconds since the bucket was made; zero is "never".
///
/// Kept by us, because the headers tell exactly when the burst is whole again, which governor knows and does not say.
#[derive(Debug)]
struct ArrivalTime(Arc<AtomicU64>);

impl StateStore for ArrivalTime {
    type Key = NotKeyed;

    fn measure_and_replace<T, F, E>(&self, _: &NotKeyed, decide: F) -> Result<T, E>
    where
        F: Fn(Option<Nanos>) -> Result<(T, Nanos), E>,
    {
        let mut known = self.0.load(Ordering::Acquire);
        loop {
            let (verdict, next) = decide((known != 0).then(|| known.into()))?;
            match self.0.compare_exchange_weak(
                known,
                next.into(),
                Ordering::AcqRel,
                Ordering::Acquire,
            ) {
                Ok(_) => return Ok(verdict),
                Err(changed) => known = changed,
            }
        }
    }
}

impl Local {
    /// Remembers the use of up to `keys_max` keys.
    pub(super) fn new(keys_max: u64) -> Self {
        Self {
            buckets: Cache::builder()
                .max_capacity(keys_max)
                .time_to_idle(IDLE)
                .build(),
        }
    }

    /// Counts one request: how the key stands after it, or how long it must wait.
    pub(super) fn admit(
        &self,
        key: KeyId,
        kind: Kind,
        policy: Policy,
    ) -> (Standing, Result<(), Duration>) {
        let bucket = self
            .buckets
            .get_with((key, kind, policy), || Arc::new(Bucket::new(policy)));
        let verdict = bucket.limiter.check();
        let wait = verdict.map_err(|early| early.wait_time_from(MonotonicClock.now()));
        (bucket.standing(kind, policy), wait)
    }
}

impl Bucket {
    fn new(policy: Policy) -> Self {
        let arrival = Arc::new(AtomicU64::new(0));
        let burst = NonZeroU32::new(policy.burst()).unwrap_or(NonZeroU32::MIN);
        // A policy's interval is never zero: a window of a second holds at most a million requests.
        let quota = Quota::with_period(policy.interval())
            .unwrap_or(Quota::per_second(burst))
            .allow_burst(burst);
        let limiter = RateLimiter::new(quota, ArrivalTime(arrival.clone()), MonotonicClock);
        Self {
            limiter,
            arrival,
            started: Instant::now(),
        }
    }

    fn standing(&self, kind: Kind, policy: Policy) -> Standing {
        let arrival = Duration::from_nanos(self.arrival.load(Ordering::Acquire));
        let full_in = arrival.saturating_sub(self.started.elapsed());
        let taken = full_in
            .as_nanos()
            .div_ceil(policy.interval().as_nanos().max(1));
        let remaining = policy
            .burst()
            .saturating_sub(u32::try_from(taken).unwrap_or(u32::MAX));
        Standing {
            kind,
            policy,
            remaining,
            full_in,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use chrono::DateTime;

    #[test]
    fn a_burst_passes_and_the_next_request_waits() {
        let local = Local::new(10);
        let key = KeyId::new(DateTime::UNIX_EPOCH);
        let policy = Policy::new(1, 1000, 3).unwrap();
        for remaining in [2, 1, 0] {
            let (standing, verdict) = local.admit(key, Kind::Write, policy);
            assert_eq!((standing.remaining, verdict), (remaining, Ok(())));
        }
        let (standing, verdict) = local.admit(key, Kind::Write, policy);
        let wait = verdict.unwrap_err();
        assert_eq!(standing.remaining, 0);
        assert!(
            wait > Duration::from_secs(990) && wait <= Duration::from_secs(1000),
            "{wait:?}"
        );
        assert!(
            standing.full_in > Duration::from_secs(2990)
                && standing.full_in <= Duration::from_secs(3000)
        );
        // Reads, other keys and other policies have their own.
        assert_eq!(local.admit(key, Kind::Read, policy).1, Ok(()));
        assert_eq!(
            local
                .admit(KeyId::new(DateTime::UNIX_EPOCH), Kind::Write, policy)
                .1,
            Ok(())
        );
    }
}
