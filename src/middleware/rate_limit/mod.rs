//! The rate limit of an API key, with separate policies for reads and writes.
//!
//! The sliding window is GCRA, the algorithm of `governor`: every admitted request moves the key's "theoretical arrival
//! time" one interval into the future, and a request is refused when that time is more than a burst ahead.
//!
//! [`local`] keeps that time in this process, [`shared`] in a store that all replicas have in common, by the same
//! algorithm; [`policy`] chooses between the two.

mod link;
mod local;
mod policy;
mod shared;

pub(super) use local::Bucket;
pub(crate) use policy::RateLimit;
