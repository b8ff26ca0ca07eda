//! The gate: keys, addresses, limits, and what happens once.

mod address;
mod commit;
mod idempotency;
mod keys;
mod lane;
mod rate_limit;
