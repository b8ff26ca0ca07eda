//! Webhooks: every event arrives at least once, in the sequence of its order, signed, and at public addresses only.

mod attempts;
mod backlog;
mod crash;
mod delivery;
mod endpoint;
mod guard;
mod meanwhile;
mod receiver;
pub mod scene;
pub mod verify;
