//! Events: LMN's changes of orders, delivered to partners in order and without a gap.
//!
//! [`model`] has the types of events, [`view`] their JSON, [`store`] the feed in the database, [`routes`] the handlers.
//! Events are written in the transaction that changes the order (`orders/progress.rs`).

pub(crate) mod filter;
pub mod model;
pub(crate) mod routes;
mod row;
pub(crate) mod store;
pub(crate) mod view;
