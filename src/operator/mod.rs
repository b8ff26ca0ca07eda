//! Probes and metrics for the operator, on a listener of their own that partners do not reach. The partners' listener
//! has the probes, too.
//!
//! [`model`] decides whether a replica is ready, and [`handlers`] responds. Probes report the last result of the
//! database heartbeat, so they never query the database and never wait for it.

pub(crate) mod handlers;
pub(crate) mod model;

use tokio_util::sync::CancellationToken;

/// The paths of the probes: whether the process is alive, and whether the replica is ready.
pub(crate) const PROBES: [&str; 2] = ["/healthz", "/readyz"];

/// Cancelled when the replica begins to drain: it finishes the requests in progress and is no longer ready.
#[derive(Debug, Clone)]
pub(crate) struct Draining(pub(crate) CancellationToken);
