//! The gate: what a request passes before a handler, in this order.
//!
//! [`authenticate`] finds out who is asking (and [`guesses`] who only tries, [`uses`] when), [`allowlist`] from where, [`rate_limit`] how often, [`force`] whether an
//! error is asked for (sandbox), [`lane`] how much at once, and [`idempotency`] whether it was asked before. Each is one
//! policy: it looks, decides through a pure model, and answers or passes on. What it learned goes inward as one typed
//! extension.

pub(crate) mod allowlist;
pub(crate) mod authenticate;
pub(crate) mod caller;
pub(crate) mod force;
pub(crate) mod guesses;
pub(crate) mod idempotency;
pub(crate) mod lane;
pub(crate) mod rate_limit;
mod uses;
