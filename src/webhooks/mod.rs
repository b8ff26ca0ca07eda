//! Webhooks: signed deliveries of events to partners, at least once, and in sequence for each order.
//!
//! [`model`] holds the endpoint, [`target`] the rules for its URL, [`signature`] the signing of deliveries and
//! [`schedule`] the decisions after an attempt. An appended event waits in a delivery queue, which is a row of
//! `delivery_queues` (`migrations/0010_webhooks.sql`, `events/store.rs`). [`store`] leases due events, fairly among
//! partners. [`sender`] sends one through [`client`], to checked addresses only, while its [lease](worker::Lease) is renewed, and
//! records the result. [`worker`] combines these, and any number of workers may run. [`changes`] holds the changes that
//! partners and the operator make to endpoints and deliveries, and [`handlers`] the HTTP handlers.

pub(crate) mod changes;
mod client;
pub(crate) mod handlers;
pub mod model;
mod schedule;
mod sender;
pub mod signature;
pub(crate) mod store;
mod target;
pub mod worker;
