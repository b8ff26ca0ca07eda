//! Webhooks: every event reaches its partner at least once, an order's events in their sequence, signed.
//!
//! [`model`] is the endpoint, [`address`] where it may be, [`signature`] how a delivery proves itself, [`schedule`] what
//! follows from an answer. An appended event waits in a lane (`migrations/0010_webhooks.sql`, `events/store.rs`);
//! [`store`] leases what is due, fairly, and records what came of it; [`client`] sends, to checked addresses only;
//! [`worker`] puts these three together, and any number of workers may; [`progress`] is what comes of it. [`changes`] is what partners and the operator do
//! to an endpoint and to events that were given up; [`routes`] shows it; [`backlog`] tells the operator what waits.

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
