//! Webhooks: every event arrives at least once, in its order's sequence, signed, and nowhere it must not.

mod backlog;
mod crash;
mod delivery;
mod endpoint;
mod guard;
mod meanwhile;
mod receiver;
mod scene;
mod verify;
