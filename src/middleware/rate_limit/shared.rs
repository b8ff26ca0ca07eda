//! Counting over all replicas, in Redis or Valkey, for as long as it answers.
//!
//! There is a [`Link`] or there is none. The first request that it fails takes the link away from all, so a store that
//! hangs costs its time-out to those only that had asked already. (An answer that is merely late, while others
//! arrive, fails the one request.) One task brings a link back, and asks over an idle one how the store is.

use std::{
    fmt,
    sync::Arc,
    time::{Duration, Instant},
};

use tokio::{
    sync::watch,
    time::{sleep, timeout},
};

use super::{
    link::{Counted, Failure, Link},
    model::{Kind, Policy},
};
use crate::{
    app::App, environment::Environment, id::KeyId, settings::SharedLimits, telemetry::limits::Alone,
};

/// What every key in the store begins with; another number when what stands there is read in another way.
const VERSION: &str = "lmn:1";

/// The shared store of one replica.
#[derive(Clone)]
pub(super) struct Shared(Arc<Inner>);

struct Inner {
    app: App,
    settings: SharedLimits,
    store: watch::Sender<Store>,
}

/// How the store is.
enum Store {
    /// Not tried yet.
    Unknown,
    /// It counts, over the link of that number.
    There(u64, Link),
    /// It does not.
    Away,
}

impl Store {
    fn link(&self) -> Option<(u64, Link)> {
        match self {
            Self::There(number, link) => Some((*number, link.clone())),
            Self::Unknown | Self::Away => None,
        }
    }
}

impl fmt::Debug for Shared {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Shared").finish_non_exhaustive()
    }
}

impl Shared {
    /// Makes one that is not connected yet: [`Shared::keep`] does that.
    pub(super) fn new(app: App, settings: SharedLimits) -> Self {
        app.metrics().set_shared_limits(false);
        let store = watch::Sender::new(Store::Unknown);
        Self(Arc::new(Inner {
            app,
            settings,
            store,
        }))
    }

    /// Returns the link to the store, by its number; `None` if there is none, and this replica is alone.
    pub(super) fn link(&self) -> Option<(u64, Link)> {
        let link = self.0.store.borrow().link();
        if link.is_none() {
            self.0.app.metrics().count_limited_alone(Alone::Away);
        }
        link
    }

    /// Counts one request over all replicas; `None` if the store cannot, and this replica is alone.
    ///
    /// The burst is known not to be whole again before `unheard`.
    pub(super) async fn count(
        &self,
        (number, link): (u64, &Link),
        key: KeyId,
        kind: Kind,
        policy: Policy,
        unheard: Duration,
    ) -> Option<Counted> {
        let metrics = self.0.app.metrics();
        let name = name(self.0.app.settings().environment, key, kind, policy);
        let asked = Instant::now();
        match link.count(&name, policy, unheard).await {
            Ok(counted) => {
                metrics.record_shared_limit(asked.elapsed());
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

    /// Keeps a link to the store until the replica stops.
    pub(super) async fn keep(self) {
        tokio::select! {
            () = self.0.app.stopping() => {}
            () = self.link_again_and_again() => {}
        }
    }

    async fn link_again_and_again(&self) {
        let probe = probe(self.0.app.settings().environment);
        let mut number = 0;
        loop {
            match Link::open(&self.0.settings, &probe).await {
                Ok(link) => {
                    number += 1;
                    let found = Instant::now();
                    self.find(number, link.clone());
                    self.watch_over(number, &link, &probe).await;
                    // What has held for a while may hold again at once.
                    if found.elapsed() > self.0.settings.retry {
                        continue;
                    }
                }
                Err(failure) => self.lose(None, &failure),
            }
            sleep(self.0.settings.retry).await;
        }
    }

    /// Returns when the link is lost, which a probe finds out if no request does.
    async fn watch_over(&self, number: u64, link: &Link, probe: &str) {
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

    /// From here on the store counts.
    fn find(&self, number: u64, link: Link) {
        self.0.store.send_replace(Store::There(number, link));
        self.0.app.metrics().set_shared_limits(true);
        tracing::info!("rate limits hold over all replicas: the shared store counts");
    }

    /// From here on it does not. Said once, by who finds out first: a link that was replaced meanwhile is no news.
    fn lose(&self, number: Option<u64>, failure: &Failure) {
        let is_news = self.0.store.send_if_modified(|store| {
            let is_news = match store {
                Store::Unknown => true,
                Store::There(current, _) => Some(*current) == number,
                Store::Away => false,
            };
            if is_news {
                *store = Store::Away;
            }
            is_news
        });
        if is_news {
            self.0.app.metrics().set_shared_limits(false);
            tracing::warn!(
                error = %failure,
                "the shared store of rate limits is away; this replica limits alone until it is back"
            );
        }
    }
}

/// Names the use of a key under a policy. A changed policy starts anew; braces keep a key's names in one slot.
fn name(environment: Environment, key: KeyId, kind: Kind, policy: Policy) -> String {
    let (limit, window, burst) = (policy.limit(), policy.window_seconds(), policy.burst());
    let (environment, kind) = (environment.as_str(), kind.as_str());
    format!("{VERSION}:{environment}:{{{key}}}:{kind}:{limit}:{window}:{burst}")
}

/// Names what a probe counts.
fn probe(environment: Environment) -> String {
    format!("{VERSION}:{}:{{probe}}", environment.as_str())
}
