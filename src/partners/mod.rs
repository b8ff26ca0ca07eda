//! Partners: who may call, with which keys, from which networks, and how often.

pub(crate) mod model;
pub(crate) mod store;
