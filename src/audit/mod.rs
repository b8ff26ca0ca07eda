//! The audit log: every change, with its author, time and request.

pub mod model;
pub(crate) mod store;
