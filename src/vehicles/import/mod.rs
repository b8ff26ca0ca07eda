//! The import of a catalogue: NDJSON of the contract's `Vehicle`, one car a line.
//!
//! [`model`] makes a listing of a line, out of [`fields`]; [`change`] decides what it makes of a car that is there;
//! [`batch`] writes many of them at once, and lets their orders go on. [`snapshot`] takes off what a file leaves out.

pub(crate) mod batch;
pub(crate) mod change;
mod fields;
pub(crate) mod model;
pub(crate) mod snapshot;
