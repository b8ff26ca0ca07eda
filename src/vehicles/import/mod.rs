//! The import of a catalogue: NDJSON of the contract's `Vehicle`, one car a line.
//!
//! [`model`] makes a listing of a line, out of [`fields`]. What is read is written by
//! [`store::upsert`](super::store::upsert), batch by batch.

mod fields;
pub(crate) mod model;
