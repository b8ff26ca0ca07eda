//! Vehicles: the catalogue that partners browse.
//!
//! [`model`] says what a listing is and what is derived from it, [`terms`] what it is found by, [`filter`] and [`sort`]
//! what can be asked for. [`search`] finds a page of it, [`store`] reads and writes the rows, [`routes`] speaks HTTP,
//! [`shelf`] keeps answers, [`render`] what lists show, [`facets`] the values that there are. [`import`] reads the file of
//! a source, and [`demo`] makes a catalogue that looks like the real thing.

pub mod demo;
pub mod facets;
pub(crate) mod filter;
pub(crate) mod import;
pub mod model;
mod query;
pub mod render;
pub(crate) mod routes;
pub(crate) mod row;
mod search;
pub(crate) mod shelf;
mod sort;
pub(crate) mod store;
pub mod terms;
pub(crate) mod view;
