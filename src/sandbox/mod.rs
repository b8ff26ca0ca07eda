//! The sandbox: LMN's part played by the partner, in a time of its own (contract, section 9). Absent in production.
//!
//! [`orders`] makes the operator's steps on the partner's own order, [`vehicles`] those on a car that nobody else has
//! ordered, [`clock`] moves the partner's time; `middleware/forced_error.rs` answers with errors on demand.

mod clock;
mod orders;
pub(crate) mod routes;
mod store;
mod vehicles;
