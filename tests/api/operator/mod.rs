//! The operator's listener: probes and metrics, and the operator API.

mod access;
mod bid_sheet;
mod bulk;
mod changes;
mod openapi;
mod orders;
mod partner_changes;
mod probes;
mod steps;
mod tls;
