//! Counting within one replica, with `governor`.

use std::{
    hash::Hash,
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
use moka::{policy::EvictionPolicy, sync::Cache};

use super::model::{Policy, REFILL_SECONDS_MAX, Standing};

/// A caller that was idle this long starts anew: no policy takes longer to have its burst whole again.
const IDLE: Duration = Duration::from_secs(REFILL_SECONDS_MAX);

/// The use that this replica saw of each caller under each policy.
#[derive(Debug, Clone)]
pub(crate) struct Local<C: Copy + Eq + Hash + Send + Sync + 'static> {
    buckets: Cache<(C, Policy), Arc<Bucket>>,
}

/// One caller's use of one policy.
#[derive(Debug)]
pub(super) struct Bucket {
    limiter: RateLimiter<NotKeyed, ArrivalTime, MonotonicClock, NoOpMiddleware<Instant>>,
    arrival: Arc<AtomicU64>,
    started: Instant,
    /// How many requests it let through of which a shared store has not heard.
    apart: AtomicU64,
    /// Over which link the shared store has last heard of this use; 0 is none.
    heard_over: AtomicU64,
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

impl<C: Copy + Eq + Hash + Send + Sync + 'static> Local<C> {
    /// Remembers the use of up to `callers_max` callers; the one that was idle longest makes room.
    pub(crate) fn new(callers_max: u64) -> Self {
        Self {
            buckets: Cache::builder()
                .max_capacity(callers_max)
                .eviction_policy(EvictionPolicy::lru())
                .time_to_idle(IDLE)
                .build(),
        }
    }

    /// Counts one request under a policy of that name: how the caller stands after it, and how long it must wait.
    pub(crate) fn admit(
        &self,
        caller: C,
        name: &'static str,
        policy: Policy,
    ) -> (Standing, Result<(), Duration>) {
        self.bucket(caller, policy).admit(name, policy)
    }

    /// Returns the use of a policy by a caller, to be asked more than once.
    pub(super) fn bucket(&self, caller: C, policy: Policy) -> Arc<Bucket> {
        self.buckets
            .get_with((caller, policy), || Arc::new(Bucket::new(policy)))
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
            apart: AtomicU64::new(0),
            heard_over: AtomicU64::new(0),
        }
    }

    fn admit(&self, name: &'static str, policy: Policy) -> (Standing, Result<(), Duration>) {
        let verdict = self.limiter.check();
        let wait = verdict.map_err(|early| early.wait_time_from(MonotonicClock.now()));
        (self.standing(name, policy), wait)
    }

    /// Counts one request in the place of the shared store, which is to hear of it: see [`Bucket::unheard`].
    pub(super) fn admit_apart(
        &self,
        name: &'static str,
        policy: Policy,
    ) -> (Standing, Result<(), Duration>) {
        let (standing, verdict) = self.admit(name, policy);
        if verdict.is_ok() {
            self.apart.fetch_add(1, Ordering::AcqRel);
        }
        (standing, verdict)
    }

    /// Returns what the store behind a link is to hear of: how many requests passed without it, and the time until the
    /// burst is whole again. Behind another link than before there may be another store, or one that forgot all.
    ///
    /// Not every time: the store would count the way to it and back on top.
    pub(super) fn unheard(&self, link: u64) -> Option<(u64, Duration)> {
        let heard_over = self.heard_over.load(Ordering::Acquire);
        let apart = self.apart.load(Ordering::Acquire);
        (apart > 0 || heard_over != link).then(|| (apart, self.full_in()))
    }

    /// Takes note that the store has heard it over a link. If something passed meanwhile, the store hears all of it
    /// again, which changes nothing.
    ///
    /// An answer over an older link, which comes late, makes the newer one hear again what [`Bucket::learn`] took over.
    pub(super) fn was_heard(&self, apart: u64, link: u64) {
        let _ = self
            .apart
            .compare_exchange(apart, 0, Ordering::AcqRel, Ordering::Relaxed);
        self.heard_over.store(link, Ordering::Release);
    }

    /// Takes over what the shared store knows: the burst is not whole again earlier than that.
    pub(super) fn learn(&self, full_in: Duration) {
        let arrival = (self.started.elapsed() + full_in).as_nanos();
        let arrival = u64::try_from(arrival).unwrap_or(u64::MAX);
        self.arrival.fetch_max(arrival, Ordering::AcqRel);
    }

    fn full_in(&self) -> Duration {
        let arrival = Duration::from_nanos(self.arrival.load(Ordering::Acquire));
        arrival.saturating_sub(self.started.elapsed())
    }

    fn standing(&self, name: &'static str, policy: Policy) -> Standing {
        Standing::new(name, policy, self.full_in())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use chrono::DateTime;

    use crate::{id::KeyId, middleware::rate_limit::model::Kind};

    fn admit(
        local: &Local<(KeyId, Kind)>,
        key: KeyId,
        kind: Kind,
        policy: Policy,
    ) -> (Standing, Result<(), Duration>) {
        local.admit((key, kind), kind.as_str(), policy)
    }

    #[test]
    fn a_burst_passes_and_the_next_request_waits() {
        let local = Local::new(10);
        let key = KeyId::new(DateTime::UNIX_EPOCH);
        let policy = Policy::new(1, 1000, 3).unwrap();
        for remaining in [2, 1, 0] {
            let (standing, verdict) = admit(&local, key, Kind::Write, policy);
            assert_eq!((standing.remaining, verdict), (remaining, Ok(())));
        }
        let (standing, verdict) = admit(&local, key, Kind::Write, policy);
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
        assert_eq!(admit(&local, key, Kind::Read, policy).1, Ok(()));
        assert_eq!(
            admit(
                &local,
                KeyId::new(DateTime::UNIX_EPOCH),
                Kind::Write,
                policy
            )
            .1,
            Ok(())
        );
    }
}
