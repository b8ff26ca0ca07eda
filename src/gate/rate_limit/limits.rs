//! The limits of all keys: shared by all replicas where a store is set and answers, else this replica's own.
//!
//! What the store lets through is charged to this replica's own count too. So when the store goes away, a replica
//! knows what it has let through lately, and what it lets through alone never exceeds the limit, however often the
//! store comes and goes. The store knows nothing of what passed without it: in any window, `n` replicas together let
//! through at most `n` times the limit while it is away, and once more the limit in a window in which it was there
//! too. A wait that a caller was told stays true, because neither side's count can grow without a request passing.

use std::time::Duration;

use super::{
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

    /// Counts one request: how the key stands after it, and how long it must wait.
    pub(super) async fn admit(
        &self,
        key: KeyId,
        kind: Kind,
        policy: Policy,
    ) -> (Standing, Result<(), Duration>) {
        let alone = || self.local.admit((key, kind), kind.as_str(), policy);
        let Some(shared) = &self.shared else {
            return alone();
        };
        let Some(counted) = shared.count(key, kind, policy).await else {
            return alone();
        };
        let standing = Standing::new(kind.as_str(), policy, counted.full_in);
        if counted.wait > Duration::ZERO {
            return (standing, Err(counted.wait));
        }
        // Full is as much as it can know.
        let _ = alone();
        (standing, Ok(()))
    }

    /// Keeps the shared store at hand until the replica stops.
    pub(super) async fn keep(self) {
        if let Some(shared) = self.shared {
            shared.keep().await;
        }
    }
}
