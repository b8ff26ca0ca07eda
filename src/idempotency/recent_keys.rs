//! [`RecentKeys`]: the keys that this replica has recently seen bound.

use std::sync::atomic::{AtomicU64, Ordering};

use super::model::Claim;

/// The base 2 logarithm of the number of slots of [`RecentKeys`].
const SLOT_BITS: u32 = 16;
/// An odd number that spreads keys, which a client may have counted up, over the slots.
const SPREAD: u64 = 0x9e37_79b9_7f4a_7c15;

/// Keys that this replica has recently seen bound, so that a repeated request is looked up and not tried.
///
/// It is a hint in fixed memory: the digests of the keys, each in the slot that it selects, where it replaces an
/// earlier one. The database verifies a key that is found here, and a key that was dropped here is found when it is
/// bound.
#[derive(Debug)]
pub(super) struct RecentKeys(Box<[AtomicU64]>);

impl RecentKeys {
    /// Creates an empty set.
    pub(super) fn new() -> Self {
        Self(
            (0..1_u32 << SLOT_BITS)
                .map(|_| AtomicU64::default())
                .collect(),
        )
    }

    /// Adds a key.
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
        // The high bits, which depend on all others.
        let place = usize::try_from(digest >> (u64::BITS - SLOT_BITS)).ok()?;
        self.0.get(place)
    }
}

/// Combines a key and the id of its caller.
fn digest(claim: &Claim) -> u64 {
    let (one, two) = claim.key.as_u64_pair();
    let (three, four) = claim.scope.uuid().as_u64_pair();
    // 0 is an empty slot.
    (one ^ two.rotate_left(32) ^ three.rotate_left(16) ^ four)
        .wrapping_mul(SPREAD)
        .max(1)
}
