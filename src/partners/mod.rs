//! Partners, their API keys, allowed networks and rate limits.
//!
//! [`model`] holds the rules, [`store`] the SQL, and [`changes`] the operator's changes, each with its audit row.

pub(crate) mod changes;
pub(crate) mod model;
pub(crate) mod store;
