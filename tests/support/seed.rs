//! The seed of what a test leaves to chance: printed, and given back through `TEST_SEED` to see the same again.

use rand::{SeedableRng, rngs::StdRng};

/// Returns the seed of this run.
pub fn seed() -> u64 {
    let given = std::env::var("TEST_SEED").ok();
    let seed = given.map_or_else(rand::random, |it| {
        it.parse().expect("TEST_SEED is a whole number")
    });
    eprintln!("TEST_SEED={seed}");
    seed
}

/// Returns one of the independent streams of chance that a seed has.
pub fn stream(seed: u64, number: u64) -> StdRng {
    StdRng::seed_from_u64(seed ^ number.wrapping_mul(0x9e37_79b9_7f4a_7c15))
}
