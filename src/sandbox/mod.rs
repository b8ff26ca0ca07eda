//! The sandbox: partners make the operator's steps themselves, by a clock of their own. Absent in production.
//!
//! [`orders`] makes the operator's steps on the partner's own orders, [`vehicles`] on vehicles that no other partner
//! has ordered, [`clock`] moves the partner's clock; `ForcedError` in `middleware/admission.rs` returns errors on
//! request.

pub(crate) mod clock;
pub(crate) mod orders;
mod store;
pub(crate) mod vehicles;
