//! Import of a catalogue file: NDJSON, one vehicle per line, with the members of the API's `Vehicle`.
//!
//! [`model`] parses a line into a listing, with the readers of [`fields`]; [`change`] decides how a listing changes
//! an existing vehicle; [`batch`] writes many listings at once and updates their orders. [`snapshot`] withdraws the
//! vehicles that a file omits.

pub(crate) mod batch;
pub(crate) mod change;
mod fields;
pub(crate) mod model;
pub(crate) mod snapshot;
