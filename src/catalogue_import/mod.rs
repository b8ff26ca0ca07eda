//! Import of a catalogue file: NDJSON, one vehicle per line, with the members of the API's `Vehicle`.
//!
//! [`model`] parses a line into a listing, with the readers of [`fields`], and [`draft`] renders it as a row of the
//! database. [`change`] decides how a listing changes an existing vehicle. [`batch`] writes many listings at once, and
//! [`snapshot`] withdraws the vehicles that a file omits; [`effects`] applies their changes to orders, and has the changes
//! that LMN's staff makes without a file. The SQL is in [`store`].

pub(crate) mod batch;
mod change;
pub(crate) mod draft;
pub mod effects;
mod fields;
pub(crate) mod model;
pub(crate) mod snapshot;
pub(crate) mod store;
