//! The operator's listener: probes and metrics, and the operator API.

mod access;
mod orders;
mod probes;
