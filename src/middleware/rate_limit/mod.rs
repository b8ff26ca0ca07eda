//! The rate limit: how often one API key may ask, in two policies, for reads and for writes.
//!
//! The sliding window is GCRA, the arithmetic of `governor`: every request that passes pushes the key's "theoretical
//! arrival time" one interval into the future, and a request is early when that time is more than a burst ahead.
//!
//! [`local`] keeps that time in this process, [`shared`] in a store that all replicas have in common, by the same
//! arithmetic; [`limits`] says which of the two counts.

mod limits;
mod link;
mod local;
pub(crate) mod model;
mod policy;
mod shared;

pub(crate) use local::Local;
pub(crate) use policy::RateLimit;
