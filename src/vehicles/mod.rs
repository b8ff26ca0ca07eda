//! Vehicles: the catalogue that partners browse.
//!
//! [`model`] says what a listing is and what is derived from it, [`filter`] what can be asked for, [`store`] reads and
//! writes the rows, [`routes`] speaks HTTP, [`import`] reads the file of a source, and [`demo`] makes a catalogue that
//! looks like the real thing.

pub mod demo;
pub(crate) mod filter;
pub(crate) mod import;
pub mod model;
pub(crate) mod routes;
pub(crate) mod row;
pub(crate) mod store;
pub(crate) mod view;
