//! Probes and metrics for the operator, on a listener of their own that partners do not reach.
//!
//! [`model`] decides whether a replica is ready, and [`routes`] holds the handlers. Probes report the last result of
//! the database heartbeat, so they never query the database and never wait for it.

pub(crate) mod model;
pub mod routes;
