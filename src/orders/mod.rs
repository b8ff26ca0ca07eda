//! Orders: what a partner commits to, and every step from there to the hand-over.
//!
//! [`model`] holds the rules of placing and the state table, [`store`] the rows, [`routes`] the HTTP. An order as
//! partners read it is [`view::OrderView`].

pub mod model;
pub(crate) mod routes;
pub mod state;
pub(crate) mod store;
pub(crate) mod view;
