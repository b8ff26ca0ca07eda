//! The state of a request: [`RequestContext`] is shared by all layers, [`Caller`] is the authenticated partner.

mod caller;
mod context;

pub(crate) use caller::Caller;
pub(crate) use context::{IdempotencyStatus, RATE_LIMIT_HEADERS, RequestContext};
