//! Vehicles: the catalogue that partners browse.
//!
//! [`model`] defines vehicles and the values that are derived from them. [`filters`] parses the filters of the list,
//! each into a condition of a [`search::Filter`]; [`search`] evaluates them in memory. [`store`] reads and writes the
//! rows, [`view`] is the JSON of a vehicle, [`render`] stores it in the row, and [`cache`] caches it by version.
//! [`handlers`] answer the requests.

pub(crate) mod cache;
mod filters;
pub(crate) mod handlers;
pub mod model;
pub mod render;
pub(crate) mod search;
pub(crate) mod store;
pub(crate) mod view;
