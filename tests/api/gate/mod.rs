//! The gate of `/v1`: authentication, IP allowlist, rate limits, concurrency limits and idempotency.

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
