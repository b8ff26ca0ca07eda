//! Seeds of random tests: each run prints its seed, and `TEST_SEED` repeats a run.

use rand::{SeedableRng, rngs::StdRng};

/// Returns and prints the seed of this run: `TEST_SEED`, or else a random number.
pub fn seed() -> u64 {
    let given = std::env::var("TEST_SEED").ok();
    let seed = given.map_or_else(rand::random, |it| {
        it.parse().expect("TEST_SEED is a whole number")
    });
    eprintln!("TEST_SEED={seed}");
    seed
}

/// Returns one of the independent random number generators of a seed.
pub fn stream(seed: u64, number: u64) -> StdRng {
    StdRng::seed_from_u64(seed ^ number.wrapping_mul(0x9e37_79b9_7f4a_7c15))
}
