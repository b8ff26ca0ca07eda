//! The rate limits of all keys: counted in the store that all replicas share if it is configured and available, else by
//! each replica for itself.
//!
//! No key gains a burst when the store becomes unavailable or available again:
//!
//! - A replica stores the result of each answer in its own count, and continues from it while the store is unavailable.
//! - With a key's first request over a new link, or after requests that were counted locally, the replica sends its own
//!   count of the key, so that a store that has lost its data continues from there.
//!
//! While the store is unavailable, `n` replicas admit `n` times the requests that become available in that time;
//! afterwards there is no further excess. A wait that was returned then can be one interval too short if another
//! replica has counted more. Data that a store loses while its link stays up is not noticed.

use std::time::Duration;

use super::{
    link::Counted,
    local::Local,
    model::{Kind, Policy, Standing},
    shared::Shared,
};
use crate::{app::App, values::id::KeyId};

/// The use of all keys, counted locally and in the shared store.
#[derive(Debug, Clone)]
pub(super) struct Limits {
    local: Local<(KeyId, Kind)>,
    shared: Option<Shared>,
}

impl Limits {
    /// Creates the limits without any use.
    pub(super) fn new(app: &App) -> Self {
        let settings = &app.settings().rate_limit;
        let shared = settings.shared.clone();
        Self {
            local: Local::new(settings.keys_max),
            shared: shared.map(|shared| Shared::new(app.clone(), shared)),
        }
    }

    /// Counts one request if there is no shared store; `None` if there is one, which must be asked.
    pub(super) fn admit_unshared(
        &self,
        key: KeyId,
        kind: Kind,
        policy: Policy,
    ) -> Option<(Standing, Result<(), Duration>)> {
        let alone = self.shared.is_none();
        alone.then(|| self.local.admit((key, kind), kind.as_str(), policy))
    }

    /// Counts one request; returns the state of the key after it, and the time to wait if it is refused.
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
            return own.admit_locally(name, policy);
        };
        let unreported = own.unreported(number);
        let known = unreported.map_or(Duration::ZERO, |(_, full_in)| full_in);
        let counting = shared.count((number, &link), key, kind, policy, known);
        let Some(Counted { wait, full_in }) = counting.await else {
            return own.admit_locally(name, policy);
        };
        own.take_over(full_in);
        if let Some((admitted_locally, _)) = unreported {
            own.mark_reported(admitted_locally, number);
        }
        let verdict = match wait {
            Duration::ZERO => Ok(()),
            _ => Err(wait),
        };
        (Standing::new(name, policy, full_in), verdict)
    }

    /// Maintains the link to the shared store until the replica stops.
    pub(super) async fn keep(self) {
        if let Some(shared) = self.shared {
            shared.keep().await;
        }
    }
}
