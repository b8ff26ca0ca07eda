//! The clock: one decides, the database's, and it is handed on as a value.

pub(crate) mod store;
