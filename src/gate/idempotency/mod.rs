//! Idempotency: a key does one thing, once, whatever happens on the way (contract, section 4).
//!
//! A write is one transaction. Its first statement inserts the key ([`store`]); its last, before the one commit,
//! completes that row with the reply ([`mod@write`]). So key, effect and reply exist together or not at all, and there
//! is nothing to clean up after a refusal, a hang-up, a deadline, a panic or a crash: the transaction is gone, and the
//! next attempt is simply the first. Simultaneous requests with one key wait in the insert until the first has ended,
//! and then replay it or take its place.
//!
//! [`layer`] does the looking, [`model`] the judging; a handler gets a [`Write`] and cannot succeed without
//! committing it.

mod layer;
pub(crate) mod model;
mod store;
mod write;

pub(crate) use layer::{foretell, once, read_whole};
pub(crate) use write::{Fate, Reply, Write};
