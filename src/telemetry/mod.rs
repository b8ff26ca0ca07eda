//! Telemetry: what the process tells its operator.
//!
//! The [`log`] has a line for every request; the [`metrics`] count them; a [`span`] of those that belong to a trace is
//! [exported](export). The log is the process's, started once. The others belong to an [`App`](crate::app::App), so that
//! several in one process, as in tests, count apart, and no global recorder decides for all of them.

pub(crate) mod delivery;
pub(crate) mod export;
pub(crate) mod limits;
pub(crate) mod load;
mod log;
pub(crate) mod metrics;
mod requests;
pub(crate) mod span;
pub(crate) mod sweep;
mod tls;

pub use log::start;
pub(crate) use log::take_panic;
