//! Facets: the values that there are, for whoever builds a search form.
//!
//! They are counted apart from requests, one replica at a time, and kept in the database, so that every replica gives the
//! same ones at once. [`model`] says what they are and when they are counted anew, [`counting`] does it, [`store`]
//! reads and writes the rows, [`routes`] speaks HTTP.

pub mod counting;
mod model;
pub(crate) mod routes;
mod store;
