//! The operator's listener, which partners do not reach: [`probes`] with metrics, and the operator API for LMN's people.
//!
//! The API is below `/operator/v1`. [`authentication`] accepts the operator's token and the role that a route needs;
//! `router.rs` lists the routes by role. Every route is also a command of `lmn`, and both call the same functions.

pub(crate) mod audit;
pub(crate) mod authentication;
pub(crate) mod bid_sheet;
mod csv;
pub(crate) mod event_replay;
pub(crate) mod keys;
pub(crate) mod order_steps;
pub(crate) mod orders;
pub(crate) mod partner_changes;
pub(crate) mod partners;
pub(crate) mod probes;
pub mod rows;
pub(crate) mod vehicle_changes;
pub(crate) mod view;
