//! Vehicles: the catalogue that partners browse.
//!
//! [`model`] defines vehicles and the values that are derived from them. [`filters`] parses the filters of the list,
//! each into a condition of a [`filter`]; [`search`] evaluates them in memory. [`store`] reads and writes the rows,
//! [`render`] makes the JSON that is stored in them, [`cache`] caches it by version, and [`routes`] and [`facets`]
//! hold the HTTP handlers. [`import`] reads the file of a source, and [`demo`] generates a realistic catalogue.

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
