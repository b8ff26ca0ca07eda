//! A realistic demo catalogue of Korean used vehicles, generated from a seed.
//!
//! The same seed gives the same vehicles on every machine and in every version: nothing in this crate reads a clock,
//! uses system randomness or does I/O. `catalogue` decides the number and the days of lots and dealers' vehicles;
//! `offer` generates one of them from the models in `table`, whose types are in `models`, with its identifiers from
//! `papers` and its condition from `condition`. All of them draw random numbers from `chance`. `vehicle` is the form
//! in which they are printed.

mod catalogue;
mod chance;
mod condition;
mod models;
mod offer;
mod papers;
mod table;
mod vehicle;

pub use catalogue::vehicles;
pub use vehicle::{
    AuctionResult, Finding, Fuel, Grade, Inspection, KoreanTime, PricePoint, Pricing, Source,
    Transmission, Vehicle,
};
