//! Partners, their API keys, allowed networks and rate limits.
//!
//! [`model`] holds the rules for partners, [`api_key`] those for keys and the access that they grant, [`store`] the SQL, and
//! [`changes`] the operator's changes, each with its audit row.

pub(crate) mod api_key;
pub(crate) mod changes;
pub(crate) mod model;
pub(crate) mod store;
