//! Events: the feed of changes that each partner receives, in order and without a gap.
//!
//! [`model`] has the types of events and their JSON, [`store`] the feed in the database, [`handlers`] the HTTP handlers.
//! The maker of an event writes its `data`, and appends it in the transaction that makes the change.

pub(crate) mod handlers;
pub mod model;
pub(crate) mod store;
