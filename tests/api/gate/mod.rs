//! The gate: keys, their use, guesses, addresses, limits, and what happens once.

mod address;
mod commit;
mod guesses;
mod idempotency;
mod keys;
mod lane;
mod rate_limit;
mod revocation;
mod shared;
mod spoofs;
mod uses;
