//! The layers that a request meets before its handler, each one policy; `router.rs` shows their order.
//!
//! [`request_context`] is outermost, on every route: identity, deadline, log line, metrics, rendering of errors.
//! [`load_shedding`] bounds what the server does at once. On `/v1` follow [`authentication`], [`ip_allowlist`],
//! [`rate_limit`] and [`concurrency`]; in a sandbox [`forced_error`]; then [`crate::idempotency`].
//!
//! A policy that only admits or refuses is an [`admission::Policy`]. The layers box nothing and clone nothing of what
//! lies below, unless a request has to wait for the database or the shared store.

mod access_log;
pub(crate) mod admission;
pub(crate) mod authentication;
pub(crate) mod concurrency;
pub(crate) mod forced_error;
mod held;
pub(crate) mod ip_allowlist;
mod last_use;
pub(crate) mod load_shedding;
pub(crate) mod rate_limit;
pub(crate) mod request_context;
mod unknown_key_throttle;
