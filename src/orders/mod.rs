//! Orders: what a partner commits to, and every step from there to the hand-over.
//!
//! [`model`] holds the rules of placing, [`state`] the table of an order's life, [`advance`] its steps with what they
//! bring along, [`filter`] what can be asked for, [`store`] the rows. [`progress`] is how an order goes on, [`effects`]
//! what a changed car does to its orders, [`auction`] what LMN does to cars, [`operator`] what LMN's people do,
//! [`sweeps`] what time does. [`routes`], [`status`], [`lists`] and [`answer`] speak HTTP; an order as partners read it
//! is [`view::OrderView`].

pub mod advance;
pub(crate) mod answer;
pub mod auction;
pub(crate) mod effects;
pub(crate) mod filter;
mod lists;
pub mod model;
pub mod operator;
pub mod outcome;
pub mod progress;
pub(crate) mod rendered;
pub(crate) mod routes;
mod row;
pub mod state;
pub(crate) mod status;
pub(crate) mod store;
pub mod sweeps;
pub(crate) mod view;

/// Members of a body of which a reused idempotency key says by name that they differ.
pub(crate) const NAMED_MEMBERS: [&str; 2] = ["vehicle_id", "max_bid_amount_usd"];
