//! Vehicles: the catalogue that partners browse.
//!
//! [`model`] says what a listing is and what is derived from it. [`filters`] are the filters of the list, each read to a
//! condition of a [`filter`]; [`search`] answers them from memory. [`store`] reads and writes the rows, [`render`] makes
//! the JSON that stands in them, [`cache`] holds it by version, [`routes`] and [`facets`] speak HTTP. [`import`] reads the
//! file of a source, and [`demo`] makes a catalogue that looks like the real thing.

pub(crate) mod cache;
pub mod demo;
pub(crate) mod facets;
mod filter;
mod filters;
pub(crate) mod import;
pub mod model;
pub mod names;
pub mod render;
pub(crate) mod routes;
pub(crate) mod row;
pub(crate) mod search;
mod sort;
pub(crate) mod store;
pub(crate) mod view;
