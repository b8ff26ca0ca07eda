//! The operator's side of a running server: probes and metrics, on a listener that partners do not reach.
//!
//! [`model`] decides whether a replica is ready, [`routes`] answer. Nothing here asks the database: a probe is told
//! what the pulse has heard, so a storm of probes costs it nothing and no probe waits.

pub(crate) mod model;
pub mod routes;
