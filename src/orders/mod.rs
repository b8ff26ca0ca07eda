//! Orders: placing them, and every transition from there to the delivery.
//!
//! [`model`] has an order, [`placing`] the rules for placing one, [`state_machine`] the transitions, [`locked_order`]
//! their effects on an order, [`event`] the events that they make, [`view`] the JSON for partners, [`store`] the SQL.
//! [`transitions`] locks orders and records their transitions: those of partners ([`handlers`], [`list_handlers`]), of
//! LMN's staff ([`operator`], [`bulk`]) and of the scheduled jobs ([`jobs`]). [`refusals`] has the errors of the API.

pub mod bulk;
pub mod event;
pub(crate) mod handlers;
pub mod jobs;
pub(crate) mod list_handlers;
pub(crate) mod locked_order;
pub mod model;
pub mod operator;
pub mod placing;
pub(crate) mod refusals;
pub mod state_machine;
pub(crate) mod store;
pub mod transitions;
pub(crate) mod view;

/// Body members that are named in the error when an idempotency key is reused and they differ.
pub(crate) const FINGERPRINT_MEMBERS: [&str; 2] = ["vehicle_id", "max_bid_amount_usd"];
