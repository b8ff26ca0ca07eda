//! Webhooks: signed deliveries of events to partners, at least once, and in sequence for each order.
//!
//! [`model`] holds the endpoint, [`address`] the rules for its URL, [`signature`] the signing of deliveries and
//! [`schedule`] the decisions after an attempt. An appended event waits in a delivery queue, which is a row of
//! `delivery_queues` (`migrations/0010_webhooks.sql`, `events/store.rs`). [`store`] leases due events, fairly among
//! partners; [`client`] sends them, to checked addresses only; [`progress`] records the result. [`worker`] combines
//! these three, and any number of workers may run. [`changes`] holds the changes that partners and the operator make to
//! endpoints and deliveries, [`routes`] the HTTP handlers, and [`backlog`] the job that counts pending deliveries.

pub mod address;
pub mod backlog;
pub(crate) mod changes;
pub(crate) mod client;
pub mod model;
pub(crate) mod progress;
pub(crate) mod routes;
pub(crate) mod schedule;
pub mod signature;
pub(crate) mod store;
pub(crate) mod view;
pub mod worker;
