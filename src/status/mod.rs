//! The status of the service for partners: `GET /v1/status`.
//!
//! [`model`] decides which components are degraded, and [`handlers`] responds. [`StatusMonitor`] assesses this replica
//! every second from what the heartbeat, the catalogue and the background jobs know, so a request costs no query.

pub(crate) mod handlers;
pub mod model;
mod monitor;

pub(crate) use monitor::StatusMonitor;
