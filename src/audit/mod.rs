//! The audit log: who changed what, when, and under which request.

pub mod model;
pub(crate) mod store;
