//! A demo catalogue of Korean used cars that looks like the real thing, made from a seed.
//!
//! The same seed gives the same cars on every machine and in every version: nothing here reads a clock, draws ambient
//! randomness or does I/O. `catalogue` decides how many lots and dealers' cars there are and when; `car` makes one of
//! them out of the models in `table`, whose words `models` explains, with its numbers from `papers` and its state from
//! `condition`; all of them draw from `chance`.

mod car;
mod catalogue;
mod chance;
mod condition;
mod models;
mod papers;
mod table;

pub use catalogue::{cars, catalogue};
