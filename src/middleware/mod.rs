//! The layers that a request passes before its handler; `router.rs` shows their order.
//!
//! [`request_context`] is outermost, on every route: request id, deadline, log line, metrics, rendering of errors.
//! Load shedding bounds the requests in progress. If the settings deprecate operations, [`deprecation`] notes which
//! requests are for them. On `/v1` follow [`authentication`], the IP allowlist, the
//! [`rate_limit`] and partner [`concurrency`]; in a sandbox forced errors; then [`crate::idempotency`].
//!
//! A layer that only admits or refuses requests is an [`admission::Policy`], and one that limits those in progress a
//! [`concurrency::Limit`]. A request that does not wait for the database or the shared store costs no boxed future and no
//! clone of the inner service.

mod access_log;
pub(crate) mod admission;
pub(crate) mod authentication;
pub(crate) mod concurrency;
pub(crate) mod deprecation;
mod known_key;
pub(crate) mod rate_limit;
pub(crate) mod request_context;
pub(crate) mod unknown_key;
