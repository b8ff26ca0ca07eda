//! Orders: what a partner commits to, and every step from there to the hand-over.
//!
//! [`model`] holds the rules of placing, [`state`] the table of an order's life, [`filter`] what can be asked for,
//! [`store`] the rows, [`routes`] and [`lists`] the HTTP. An order as partners read it is [`view::OrderView`].

pub(crate) mod filter;
mod lists;
pub mod model;
pub(crate) mod routes;
mod row;
pub mod state;
pub(crate) mod store;
pub(crate) mod view;
