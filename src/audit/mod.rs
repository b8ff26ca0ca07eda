//! The audit log: every change, with its actor, time and request.

pub mod model;
pub(crate) mod store;
