//! The request in hand: [`RequestContext`] is what is known of it, [`Caller`] who sent it.

mod caller;
mod context;

pub(crate) use caller::Caller;
pub(crate) use context::{IdempotencyStatus, RATE_LIMIT_HEADERS, RequestContext};
