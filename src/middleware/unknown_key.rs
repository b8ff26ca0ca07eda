//! [`UnknownKeyThrottle`]: limits how often one client address may look up keys that do not exist.

use std::{
    net::{IpAddr, Ipv6Addr},
    pin::pin,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use chrono::{DateTime, Utc};
use moka::{policy::EvictionPolicy, sync::Cache};
use tokio::sync::Notify;

use super::rate_limit::Bucket;
use crate::{
    config::Limits,
    values::{
        rate_limit::{Policy, REFILL_SECONDS_MAX, Throttled},
        timestamp::Timestamp,
    },
};

/// The name of the limit in error details.
const UNKNOWN_KEY: &str = "unknown_key";
/// The network prefix of an IPv6 address; a client can choose the other half freely.
const NETWORK_OF_V6: u128 = u128::MAX << 64;
/// The time after which an idle origin is dropped: every policy's burst is whole again by then.
const IDLE: Duration = Duration::from_secs(REFILL_SECONDS_MAX);

/// Counts the look-ups that found no key, for each client address.
///
/// So guessing costs few queries and uses up no partner's quota, and a key that exists costs nothing, also when this
/// replica sees it for the first time: after a restart, all partners behind one address are served.
#[derive(Debug)]
pub(super) struct UnknownKeyThrottle {
    policy: Policy,
    origins: Cache<IpAddr, Arc<Origin>>,
}

/// The look-ups from one origin.
#[derive(Debug)]
struct Origin {
    policy: Policy,
    uses: Mutex<Uses>,
    /// Notified when a look-up ends.
    ended: Notify,
}

#[derive(Debug)]
struct Uses {
    /// Counts the look-ups that found no key, and those in progress.
    bucket: Bucket,
    /// The number of look-ups in progress.
    in_progress: usize,
}

/// The right to look up one key. It is given back when it is dropped, unless it is counted.
#[derive(Debug)]
pub(super) struct Reservation {
    origin: Arc<Origin>,
    is_counted: bool,
}

impl UnknownKeyThrottle {
    /// Creates the throttle without any look-ups.
    pub(super) fn new(settings: &Limits) -> Self {
        let origins = Cache::builder()
            .max_capacity(settings.unknown_key_addresses_max)
            .eviction_policy(EvictionPolicy::lru())
            .time_to_idle(IDLE);
        Self {
            policy: settings.unknown_key,
            origins: origins.build(),
        }
    }

    /// Reserves a look-up for a client; returns an error with the time of the next one if too many found no key.
    ///
    /// While look-ups in progress hold the rest of the burst, it is unknown whether they count: the caller waits until
    /// one of them ends. So no more than the burst are in progress at once, and a valid key is refused only because of
    /// keys that do not exist.
    pub(super) async fn reserve(
        &self,
        client: IpAddr,
        now: impl Fn() -> DateTime<Utc>,
    ) -> Result<Reservation, Throttled> {
        let policy = self.policy;
        let origin = self
            .origins
            .get_with(origin(client), || Arc::new(Origin::new(policy)));
        loop {
            let mut ended = pin!(origin.ended.notified());
            // From here on, the end of a look-up is not missed.
            ended.as_mut().enable();
            match origin.try_reserve(&now) {
                Attempt::Reserved => {
                    return Ok(Reservation {
                        origin: origin.clone(),
                        is_counted: false,
                    });
                }
                Attempt::Refused(early) => return Err(early),
                Attempt::Undecided => ended.await,
            }
        }
    }
}

/// The result of trying to reserve a look-up.
enum Attempt {
    Reserved,
    /// Look-ups that found no key have used up the burst.
    Refused(Throttled),
    /// Look-ups in progress hold the rest of the burst.
    Undecided,
}

impl Origin {
    fn new(policy: Policy) -> Self {
        Self {
            policy,
            uses: Mutex::new(Uses {
                bucket: Bucket::new(policy),
                in_progress: 0,
            }),
            ended: Notify::new(),
        }
    }

    fn try_reserve(&self, now: &impl Fn() -> DateTime<Utc>) -> Attempt {
        let mut uses = self.uses();
        let (standing, verdict) = uses.bucket.admit(UNKNOWN_KEY, self.policy);
        match verdict {
            Ok(()) => {
                uses.in_progress += 1;
                Attempt::Reserved
            }
            Err(wait) if uses.in_progress == 0 => {
                Attempt::Refused(Throttled::new(&standing, wait, Timestamp::kst(now())))
            }
            Err(_) => Attempt::Undecided,
        }
    }

    fn uses(&self) -> MutexGuard<'_, Uses> {
        self.uses.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Reservation {
    /// Counts the look-up, which found no key.
    pub(super) fn count(mut self) {
        self.is_counted = true;
    }
}

impl Drop for Reservation {
    fn drop(&mut self) {
        let mut uses = self.origin.uses();
        uses.in_progress = uses.in_progress.saturating_sub(1);
        if !self.is_counted {
            uses.bucket.give_back(self.origin.policy);
        }
        drop(uses);
        self.origin.ended.notify_waiters();
    }
}

/// Returns the part of an address that a client cannot choose: an IPv4 address, or the /64 of an IPv6 address.
pub(crate) fn origin(client: IpAddr) -> IpAddr {
    match client.to_canonical() {
        IpAddr::V6(address) => Ipv6Addr::from_bits(address.to_bits() & NETWORK_OF_V6).into(),
        address @ IpAddr::V4(_) => address,
    }
}

#[cfg(test)]
mod tests {
    use futures_util::FutureExt;

    use super::*;

    const CLIENT: IpAddr = IpAddr::V6(Ipv6Addr::LOCALHOST);

    /// Returns a throttle that allows three unknown keys, and one more per 1000 s.
    fn throttle() -> UnknownKeyThrottle {
        UnknownKeyThrottle {
            policy: Policy::new(1, 1000, 3).unwrap(),
            origins: Cache::new(10),
        }
    }

    fn now() -> DateTime<Utc> {
        DateTime::UNIX_EPOCH
    }

    #[test]
    fn addresses_of_one_ipv6_network_share_one_origin() {
        for (client, expected) in [
            ("203.0.113.7", "203.0.113.7"),
            ("::ffff:203.0.113.7", "203.0.113.7"),
            ("2001:db8:1:2:3:4:5:6", "2001:db8:1:2::"),
            ("2001:db8:1:2:ffff:ffff:ffff:ffff", "2001:db8:1:2::"),
            ("2001:db8:1:3::", "2001:db8:1:3::"),
            ("::1", "::"),
        ] {
            let client: IpAddr = client.parse().unwrap();
            assert_eq!(origin(client).to_string(), expected, "{client}");
        }
    }

    #[tokio::test]
    async fn lookup_that_found_a_key_is_given_back() {
        let throttle = throttle();
        for _ in 0..10 {
            drop(throttle.reserve(CLIENT, now).await.unwrap());
        }
        for _ in 0..3 {
            throttle.reserve(CLIENT, now).await.unwrap().count();
        }
        let early = throttle.reserve(CLIENT, now).await.unwrap_err();
        assert!((900..=1000).contains(&early.retry_after_seconds));
    }

    #[tokio::test]
    async fn lookup_waits_while_the_burst_is_in_progress_and_is_refused_once_it_is_counted() {
        let throttle = throttle();
        let reserve = || throttle.reserve(CLIENT, now);
        let mut held = Vec::new();
        for _ in 0..3 {
            held.push(reserve().await.unwrap());
        }
        let mut fourth = Box::pin(reserve());
        assert!(fourth.as_mut().now_or_never().is_none(), "it waits");
        drop(held.pop());
        let fourth = fourth.await.unwrap();
        let mut fifth = Box::pin(reserve());
        assert!(fifth.as_mut().now_or_never().is_none(), "it waits");
        for reservation in held.into_iter().chain([fourth]) {
            reservation.count();
        }
        assert!(fifth.await.is_err(), "three unknown keys were tried");
    }
}
