//! The audit log: who changed what, when, and under which request.

pub(crate) mod model;
pub(crate) mod store;
