//! Idempotency: a key performs one write, at most once, despite retries and failures.
//!
//! A write is one transaction with one commit, and the key's row is part of it: key, effect and reply exist together or
//! not at all. Nothing needs to be cleaned up after a refusal, a hang-up, a deadline, a panic or a crash. Concurrent
//! requests with one key wait at the insert of the row until the first has ended, and then replay it or take its place.
//!
//! The [`layer`] reads key and body and passes on a [`PendingWrite`]. Most handlers take a [`Write`], whose key is
//! bound before they begin; a handler that performs its write in a single statement takes the [`PendingWrite`]. Neither
//! can succeed without a commit. [`model`] compares requests, [`store`] has the SQL.

mod layer;
pub(crate) mod model;
mod reply;
mod store;
mod write;

pub(crate) use layer::{IdempotencyLayer, carries_key};
pub(crate) use model::Claim;
pub(crate) use reply::Reply;
pub(crate) use store::{ReadReplies, StoredReply};
pub(crate) use write::{AtOnce, Attempt, Binding, PendingWrite, Write};
