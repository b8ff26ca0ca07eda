//! Rate limiting across all replicas, in Redis or Valkey, while it is available.
//!
//! All requests share one [`Link`]. The first request that it fails drops the link for all, so only requests that were
//! already sent wait for the time-out of a store that hangs. (A late answer while others arrive fails only its own
//! request.) One background task reconnects, and probes the store over an idle link.

use std::{
    fmt,
    sync::Arc,
    time::{Duration, Instant},
};

use tokio::{
    sync::watch,
    time::{sleep, timeout},
};
use tokio_util::sync::CancellationToken;

use super::link::{Counted, Failure, Link};
use crate::{
    config::SharedLimits,
    telemetry::{load::Alone, metrics::Metrics},
    values::{
        environment::Environment,
        id::KeyId,
        rate_limit::{Kind, Policy},
        string_enum::StringEnum,
    },
};

/// The prefix of every key in the store; its number changes when the format of the values changes.
const VERSION: &str = "lmn:1";

/// The shared store of one replica.
#[derive(Clone)]
pub(super) struct Shared(Arc<Inner>);

struct Inner {
    settings: SharedLimits,
    environment: Environment,
    metrics: Metrics,
    store: watch::Sender<Store>,
}

/// The availability of the store.
enum Store {
    /// No connection was attempted yet.
    Unknown,
    /// Requests are counted over the link with this number.
    There(u64, Link),
    /// The store is unreachable, or it refuses what it is asked.
    Away { is_refusing: bool },
}

impl Store {
    fn link(&self) -> Option<(u64, Link)> {
        match self {
            Self::There(number, link) => Some((*number, link.clone())),
            Self::Unknown | Self::Away { .. } => None,
        }
    }
}

impl fmt::Debug for Shared {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Shared").finish_non_exhaustive()
    }
}

impl Shared {
    /// Creates the store without a connection, which [`Shared::keep`] opens.
    pub(super) fn new(settings: SharedLimits, environment: Environment, metrics: Metrics) -> Self {
        metrics.set_shared_limits(false);
        Self(Arc::new(Inner {
            settings,
            environment,
            metrics,
            store: watch::Sender::new(Store::Unknown),
        }))
    }

    /// Returns the link to the store and its number; `None` if there is none, and this replica limits locally.
    pub(super) fn link(&self) -> Option<(u64, Link)> {
        let link = self.0.store.borrow().link();
        if link.is_none() {
            self.0.metrics.count_limited_alone(Alone::Away);
        }
        link
    }

    /// Counts one request over all replicas; `None` if the store fails, and this replica limits locally.
    ///
    /// The whole burst is not available before `unreported`, as far as this replica has counted.
    pub(super) async fn count(
        &self,
        (number, link): (u64, &Link),
        key: KeyId,
        kind: Kind,
        policy: Policy,
        unreported: Duration,
    ) -> Option<Counted> {
        let metrics = &self.0.metrics;
        let name = name(self.0.environment, key, kind, policy);
        let asked_at = Instant::now();
        match link.count(&name, policy, unreported).await {
            Ok(counted) => {
                metrics.record_shared_limit(asked_at.elapsed());
                Some(counted)
            }
            Err(failure) => {
                metrics.count_limited_alone(Alone::Failed);
                if !matches!(failure, Failure::Slow) {
                    self.lose(Some(number), &failure);
                }
                None
            }
        }
    }

    /// Maintains a link to the store until `stop` is cancelled.
    pub(super) async fn keep(&self, stop: &CancellationToken) {
        tokio::select! {
            () = stop.cancelled() => {}
            () = self.keep_linked() => {}
        }
    }

    async fn keep_linked(&self) {
        let probe = probe(self.0.environment);
        let mut number = 0;
        loop {
            match Link::open(&self.0.settings, &probe).await {
                Ok(link) => {
                    number += 1;
                    let found = Instant::now();
                    self.find(number, link.clone());
                    self.wait_until_lost(number, &link, &probe).await;
                    // A link that lasted for a while is reopened without delay.
                    if found.elapsed() > self.0.settings.retry {
                        continue;
                    }
                }
                Err(failure) => self.lose(None, &failure),
            }
            sleep(self.0.settings.retry).await;
        }
    }

    /// Returns when the link is lost; probes find that out if no request does.
    async fn wait_until_lost(&self, number: u64, link: &Link, probe: &str) {
        let mut store = self.0.store.subscribe();
        loop {
            let lost = store.wait_for(|store| store.link().is_none());
            if timeout(self.0.settings.retry, lost).await.is_ok() {
                return;
            }
            match link.check(probe).await {
                Ok(()) | Err(Failure::Slow) => {}
                Err(failure) => self.lose(Some(number), &failure),
            }
        }
    }

    /// Makes the link available to requests.
    fn find(&self, number: u64, link: Link) {
        self.0.store.send_modify(|store| {
            *store = Store::There(number, link);
            self.0.metrics.set_shared_limits(true);
        });
        tracing::info!("rate limits are shared by all replicas: the shared store is available");
    }

    /// Marks the store as unavailable, and logs it once, and again if a store that was unreachable now refuses or the
    /// other way round. A failure of a link that was replaced meanwhile is ignored.
    fn lose(&self, number: Option<u64>, failure: &Failure) {
        let is_refusing = failure.is_refusal();
        let has_changed = self.0.store.send_if_modified(|store| {
            let has_changed = match store {
                Store::Unknown => true,
                Store::There(current, _) => Some(*current) == number,
                Store::Away {
                    is_refusing: before,
                } => number.is_none() && *before != is_refusing,
            };
            if has_changed {
                *store = Store::Away { is_refusing };
                self.0.metrics.set_shared_limits(false);
            }
            has_changed
        });
        if has_changed {
            tracing::warn!(
                error = %failure,
                "the shared store of rate limits is unavailable; this replica limits on its own until it returns"
            );
        }
    }
}

/// Returns the store's key for the use of a policy by an API key. A changed policy starts anew; the braces keep all
/// names of one API key in one hash slot.
fn name(environment: Environment, key: KeyId, kind: Kind, policy: Policy) -> String {
    let (limit, window, burst) = (policy.limit(), policy.window_seconds(), policy.burst());
    let (environment, kind) = (environment.as_str(), kind.as_str());
    format!("{VERSION}:{environment}:{{{key}}}:{kind}:{limit}:{window}:{burst}")
}

/// Returns the store's key that probes count under.
fn probe(environment: Environment) -> String {
    format!("{VERSION}:{}:{{probe}}", environment.as_str())
}
