//! The clock. All decisions use the time of the database, passed on as a value.

pub(crate) mod store;
