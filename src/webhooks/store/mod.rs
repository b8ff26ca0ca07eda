//! The store of webhook endpoints, secrets and delivery queues.
//!
//! Locks are taken in one order: feed, endpoint, delivery queue, event. A lease skips locked rows, so it never waits.

mod backlog;
mod endpoint;
mod lease;
mod queue;
mod replay;

pub(crate) use backlog::count_backlog;
pub(crate) use endpoint::{
    Health, begin_anew, delete, find, forgive, insert_secret, lock, lock_feed, lock_health,
    replace_secret, save, set_health, turn_back,
};
pub(crate) use lease::{Due, Limits, lease, serve};
pub(crate) use queue::{go_on, hold, postpone, record_attempt, wake};
pub(crate) use replay::{Place, Range, bring_forward, count_waiting, list_done, queue_events};
