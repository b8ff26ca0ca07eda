//! LMN's people who use the operator API: their names, roles and tokens.
//!
//! [`model`] holds the rules, [`store`] the SQL, and [`changes`] adding and revoking an operator, each with its audit row.

pub(crate) mod changes;
pub mod model;
pub(crate) mod store;
