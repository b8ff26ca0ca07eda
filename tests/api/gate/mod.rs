//! The gate of `/v1`: authentication, IP allowlist, rate limits, concurrency limits and idempotency.

mod address;
mod commit;
mod idempotency;
mod keys;
mod rate_limit;
mod revocation;
mod shared;
mod spoofs;
mod unknown_keys;
mod uses;
mod write_limit;
