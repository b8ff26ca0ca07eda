//! Idempotency: a key does one thing, once, whatever happens on the way.
//!
//! A write is one transaction with one commit, and the key's row is part of it: key, effect and reply exist together or
//! not at all. There is nothing to clean up after a refusal, a hang-up, a deadline, a panic or a crash. Simultaneous
//! requests with one key wait where the row is inserted until the first has ended, and then replay it or take its place.
//!
//! The [`layer`] reads key and body and hands a [`PendingWrite`] inward. Most handlers take a [`Write`], whose key is
//! bound before they begin; one that can do everything in a single statement takes the [`PendingWrite`] itself. Neither
//! can succeed without a commit. [`model`] compares requests, [`store`] keeps the rows.

mod layer;
pub(crate) mod model;
mod recent;
mod reply;
mod store;
mod turn;
mod write;

pub(crate) use layer::{IdempotencyLayer, carries_key};
pub(crate) use reply::Reply;
pub(crate) use store::{ReadReplies, StoredReply};
pub(crate) use write::{AtOnce, Attempt, Binding, Claim, PendingWrite, Write};
