//! The rate limit: how often one API key may ask, in two policies, for reads and for writes.
//!
//! The sliding window is GCRA, the arithmetic of `governor`: every request that passes pushes the key's "theoretical
//! arrival time" one interval into the future, and a request is early when that time is more than a burst ahead.

mod layer;
mod local;
pub(crate) mod model;

pub(crate) use layer::{RateLimit, kind_of, rate_limit};
pub(crate) use local::Local;
