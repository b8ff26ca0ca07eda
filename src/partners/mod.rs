//! Partners: who they are, with which keys, from which networks, and how often.
//!
//! [`model`] decides, [`store`] remembers, and [`changes`] is what the operator does to them: each change with its audit
//! row.

pub(crate) mod changes;
pub(crate) mod model;
pub(crate) mod store;
