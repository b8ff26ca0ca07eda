//! The store of webhook endpoints, secrets and delivery queues.
//!
//! Locks are taken in one order: feed, endpoint, delivery queue, event. A lease skips locked rows, so it never waits.

mod endpoint;
mod lease;
mod queue;

pub(crate) use endpoint::{
    Health, begin_anew, delete, find, forgive, insert_secret, lock, lock_feed, lock_health,
    replace_secret, save, set_health, turn_back,
};
pub(crate) use lease::{Due, Limits, lease, renew, serve};
pub(crate) use queue::{
    LockedQueue, Place, Range, bring_forward, count_backlog, count_waiting, go_on, list_done,
    lock_queue, postpone, queue_events, record_attempt, wake,
};
