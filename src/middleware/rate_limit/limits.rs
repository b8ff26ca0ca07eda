//! The limits of all keys: shared by all replicas where a store is set and answers, else this replica's own.
//!
//! Nobody gains a burst when the store goes or comes. Whatever it says about a key, the replica remembers as its own
//! count: when the store is away, each replica goes on from what it was last told. And with a key's first request over
//! a new link, or after requests that passed alone, a replica tells the store how the key stands, so that a store that
//! has forgotten everything goes on from there. So while the store is away `n` replicas let through `n` times what comes
//! back in that time, and afterwards nothing more for it; a wait that was told then may turn out one interval too short,
//! when another replica had more to tell. What a store forgets behind a link that holds, nobody notices.

use std::time::Duration;

use super::{
    link::Counted,
    local::Local,
    model::{Kind, Policy, Standing},
    shared::Shared,
};
use crate::{app::App, id::KeyId};

/// The use of all keys.
#[derive(Debug, Clone)]
pub(super) struct Limits {
    local: Local<(KeyId, Kind)>,
    shared: Option<Shared>,
}

impl Limits {
    /// Makes limits that this replica has seen nobody use.
    pub(super) fn new(app: &App) -> Self {
        let settings = &app.settings().rate_limit;
        let shared = settings.shared.clone();
        Self {
            local: Local::new(settings.keys_max),
            shared: shared.map(|shared| Shared::new(app.clone(), shared)),
        }
    }

    /// Counts one request where each replica limits alone; `None` if a shared store must be asked.
    pub(super) fn admit_alone(
        &self,
        key: KeyId,
        kind: Kind,
        policy: Policy,
    ) -> Option<(Standing, Result<(), Duration>)> {
        let alone = self.shared.is_none();
        alone.then(|| self.local.admit((key, kind), kind.as_str(), policy))
    }

    /// Counts one request: how the key stands after it, and how long it must wait.
    pub(super) async fn admit(
        &self,
        key: KeyId,
        kind: Kind,
        policy: Policy,
    ) -> (Standing, Result<(), Duration>) {
        let name = kind.as_str();
        let Some(shared) = &self.shared else {
            return self.local.admit((key, kind), name, policy);
        };
        let own = self.local.bucket((key, kind), policy);
        let Some((number, link)) = shared.link() else {
            return own.admit_apart(name, policy);
        };
        let unheard = own.unheard(number);
        let known = unheard.map_or(Duration::ZERO, |(_, full_in)| full_in);
        let asked = shared.count((number, &link), key, kind, policy, known);
        let Some(Counted { wait, full_in }) = asked.await else {
            return own.admit_apart(name, policy);
        };
        own.learn(full_in);
        if let Some((apart, _)) = unheard {
            own.was_heard(apart, number);
        }
        let verdict = match wait {
            Duration::ZERO => Ok(()),
            _ => Err(wait),
        };
        (Standing::new(name, policy, full_in), verdict)
    }

    /// Keeps the shared store at hand until the replica stops.
    pub(super) async fn keep(self) {
        if let Some(shared) = self.shared {
            shared.keep().await;
        }
    }
}
