//! [`RecentKeys`]: keys that were bound or replayed on this replica lately, so that a repeated request is looked up and
//! not tried.
//!
//! It is a hint in bounded memory: what it says of a key is verified in the database, and a key that it has forgotten is
//! found when it is bound.

use std::sync::{
    Arc,
    atomic::{AtomicU64, Ordering},
};

use super::write::Claim;

/// Keys that are remembered; a later one displaces another of the same slot.
const SLOTS: usize = 65_536;

/// The keys, each as a digest in the slot that it selects.
#[derive(Debug, Clone)]
pub(super) struct RecentKeys(Arc<[AtomicU64]>);

impl RecentKeys {
    /// Begins without keys.
    pub(super) fn new() -> Self {
        Self((0..SLOTS).map(|_| AtomicU64::default()).collect())
    }

    /// Remembers a key.
    pub(super) fn insert(&self, claim: &Claim) {
        let digest = digest(claim);
        if let Some(slot) = self.slot(digest) {
            slot.store(digest, Ordering::Relaxed);
        }
    }

    /// Returns whether a key is probably bound.
    pub(super) fn contains(&self, claim: &Claim) -> bool {
        let digest = digest(claim);
        let slot = self.slot(digest);
        slot.is_some_and(|it| it.load(Ordering::Relaxed) == digest)
    }

    fn slot(&self, digest: u64) -> Option<&AtomicU64> {
        let place = usize::try_from(digest % SLOTS as u64).ok()?;
        self.0.get(place)
    }
}

/// Digests a key and its partner; both are random.
fn digest(claim: &Claim) -> u64 {
    let (one, two) = claim.key.as_u64_pair();
    let (three, four) = claim.partner.uuid().as_u64_pair();
    // 0 is an empty slot.
    (one ^ two.rotate_left(32) ^ three.rotate_left(16) ^ four).max(1)
}
