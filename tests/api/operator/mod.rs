//! The operator's listener: probes and metrics, and the operator API.

mod access;
mod bid_sheet;
mod changes;
mod openapi;
mod orders;
mod probes;
