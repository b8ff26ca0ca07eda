//! The operator's side of a running server: probes and metrics, on a listener that partners do not reach.
//!
//! [`model`] decides whether a replica is ready, [`routes`] answer. Probes report the last answer of the
//! heartbeat: a storm of them costs the database nothing, and none waits.

pub(crate) mod model;
pub mod routes;
