//! Events: what LMN's steps do to orders, told to partners in order and without a gap.
//!
//! [`model`] says what can happen, [`view`] how it is written, [`store`] numbers and keeps it, [`routes`] shows it.
//! Whatever changes an order writes its events in the same transaction (`orders/progress.rs`).

pub(crate) mod filter;
pub mod model;
pub(crate) mod routes;
mod row;
pub(crate) mod store;
pub(crate) mod view;
