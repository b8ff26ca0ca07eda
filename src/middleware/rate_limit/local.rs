//! Rate limiting within one replica, with `governor`.

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

use crate::values::rate_limit::{Policy, REFILL_SECONDS_MAX, Standing};

/// The time after which an idle caller is dropped: every policy's burst is whole again by then.
const IDLE: Duration = Duration::from_secs(REFILL_SECONDS_MAX);

/// The use of each policy by each caller on this replica.
#[derive(Debug, Clone)]
pub(crate) struct Local<C: Copy + Eq + Hash + Send + Sync + 'static> {
    buckets: Cache<(C, Policy), Arc<Bucket>>,
}

/// The use of one policy by one caller.
#[derive(Debug)]
pub(in crate::middleware) struct Bucket {
    limiter: RateLimiter<NotKeyed, ArrivalTime, MonotonicClock, NoOpMiddleware<Instant>>,
    arrival: Arc<AtomicU64>,
    started: Instant,
    /// The number of admitted requests that the shared store has not received.
    admitted_locally: AtomicU64,
    /// The number of the link over which the shared store last received this use; 0 for none.
    reported_over: AtomicU64,
}

/// The storage for governor's theoretical arrival time, in nanoseconds since the bucket was created; zero is "never".
///
/// It is stored here because the headers contain the exact time at which the burst is whole again, which governor does
/// not expose.
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
    /// Creates counters for up to `callers_max` callers; the one that was idle longest is evicted.
    pub(crate) fn new(callers_max: u64) -> Self {
        Self {
            buckets: Cache::builder()
                .max_capacity(callers_max)
                .eviction_policy(EvictionPolicy::lru())
                .time_to_idle(IDLE)
                .build(),
        }
    }

    /// Counts one request under a policy of this name; returns the state of the caller after it, and the time to wait
    /// if it is refused.
    pub(crate) fn admit(
        &self,
        caller: C,
        name: &'static str,
        policy: Policy,
    ) -> (Standing, Result<(), Duration>) {
        self.bucket(caller, policy).admit(name, policy)
    }

    /// Returns the use of a policy by a caller.
    pub(super) fn bucket(&self, caller: C, policy: Policy) -> Arc<Bucket> {
        self.buckets
            .get_with((caller, policy), || Arc::new(Bucket::new(policy)))
    }
}

impl Bucket {
    /// Creates a bucket whose burst is whole.
    pub(in crate::middleware) fn new(policy: Policy) -> Self {
        let arrival = Arc::new(AtomicU64::new(0));
        let burst = NonZeroU32::new(policy.burst()).unwrap_or(NonZeroU32::MIN);
        // A policy's interval is never zero: a window of one second allows at most a million requests.
        let quota = Quota::with_period(policy.interval())
            .unwrap_or(Quota::per_second(burst))
            .allow_burst(burst);
        let limiter = RateLimiter::new(quota, ArrivalTime(arrival.clone()), MonotonicClock);
        Self {
            limiter,
            arrival,
            started: Instant::now(),
            admitted_locally: AtomicU64::new(0),
            reported_over: AtomicU64::new(0),
        }
    }

    /// Counts one request under a policy of this name; returns the state after it, and the time to wait if it is
    /// refused.
    pub(in crate::middleware) fn admit(
        &self,
        name: &'static str,
        policy: Policy,
    ) -> (Standing, Result<(), Duration>) {
        let verdict = self.limiter.check();
        let wait = verdict.map_err(|early| early.wait_time_from(MonotonicClock.now()));
        (self.standing(name, policy), wait)
    }

    /// Takes an admitted request out of the count. It has moved the arrival time by one interval, so that time is not
    /// earlier than that.
    pub(in crate::middleware) fn give_back(&self, policy: Policy) {
        let interval = u64::try_from(policy.interval().as_nanos()).unwrap_or(u64::MAX);
        self.arrival.fetch_sub(interval, Ordering::AcqRel);
    }

    /// Counts one request instead of the shared store, which is sent the count later: see [`Bucket::unreported`].
    pub(super) fn admit_locally(
        &self,
        name: &'static str,
        policy: Policy,
    ) -> (Standing, Result<(), Duration>) {
        let (standing, verdict) = self.admit(name, policy);
        if verdict.is_ok() {
            self.admitted_locally.fetch_add(1, Ordering::AcqRel);
        }
        (standing, verdict)
    }

    /// Returns the local use that the store behind a link must receive: the number of requests admitted without it,
    /// and the time until the burst is whole again. It is due after such requests and over every new link, behind
    /// which there may be another store, or one that has lost its data.
    ///
    /// It is not sent every time, because the store would count the network delay on top.
    pub(super) fn unreported(&self, link: u64) -> Option<(u64, Duration)> {
        let reported_over = self.reported_over.load(Ordering::Acquire);
        let admitted_locally = self.admitted_locally.load(Ordering::Acquire);
        (admitted_locally > 0 || reported_over != link).then(|| (admitted_locally, self.full_in()))
    }

    /// Records that the store has received the local use over a link. If requests were admitted meanwhile, the whole
    /// use is sent again, which changes nothing.
    ///
    /// A late answer over an older link makes the newer link receive again what [`Bucket::take_over`] took over.
    pub(super) fn mark_reported(&self, admitted_locally: u64, link: u64) {
        let _ = self.admitted_locally.compare_exchange(
            admitted_locally,
            0,
            Ordering::AcqRel,
            Ordering::Relaxed,
        );
        self.reported_over.store(link, Ordering::Release);
    }

    /// Takes over the shared store's count: the burst is not whole again before `full_in`.
    pub(super) fn take_over(&self, full_in: Duration) {
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

    use crate::values::{id::KeyId, rate_limit::Kind, string_enum::StringEnum};

    fn admit(
        local: &Local<(KeyId, Kind)>,
        key: KeyId,
        kind: Kind,
        policy: Policy,
    ) -> (Standing, Result<(), Duration>) {
        local.admit((key, kind), kind.as_str(), policy)
    }

    #[test]
    fn burst_is_admitted_and_the_next_request_must_wait() {
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
        // Reads, other keys and other policies are counted separately.
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
