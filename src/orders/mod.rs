//! Orders: placing them, and every step from there to the delivery.
//!
//! [`model`] has the rules for placing an order, [`state`] the state machine, [`transition`] the steps with their data,
//! [`filter`] the filters of the list, [`store`] the SQL. [`transitions`] records the steps of locked orders, [`effects`]
//! applies changes of vehicles to their orders, [`auction`] makes LMN's changes of vehicles, [`operator`] has the
//! commands of LMN's staff, [`sweeps`] the scheduled jobs. [`routes`], [`status`], [`lists`] and [`answer`] have the
//! handlers and responses; [`view::OrderView`] is an order as JSON for partners.

pub(crate) mod answer;
pub mod auction;
pub(crate) mod effects;
pub(crate) mod filter;
mod lists;
pub mod model;
pub mod operator;
pub mod outcome;
pub(crate) mod rendered;
pub(crate) mod routes;
mod row;
pub mod state;
pub(crate) mod status;
pub(crate) mod store;
pub mod sweeps;
pub mod transition;
pub mod transitions;
pub(crate) mod view;

/// Body members that are named in the error when an idempotency key is reused and they differ.
pub(crate) const FINGERPRINT_MEMBERS: [&str; 2] = ["vehicle_id", "max_bid_amount_usd"];
