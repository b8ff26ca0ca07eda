//! The private PostgreSQL of a first run and of the tests: no set-up, no port, nothing left behind.
//!
//! A [`Cluster`] lies in one folder that only the server's account can enter, and is reached over a unix socket in that folder; so no password is needed.
//! Whoever uses it holds a shared lock on `using.lock`; the system gives it back however the user ends, `kill -9` included.
//! The server belongs to a *keeper*, a small process of this same program ([`keep`]), which stops it when nobody has held the lock for a while.
//! A keeper holds `keeper.lock`; where that is free but the server runs, the keeper was killed, and the next user starts one that adopts the server.
//!
//! In reading order: [`cluster`] is what users call, [`folder`] and [`account`] make the place private, [`find`] and [`fetch`] look for a server's
//! programs, [`keeper`] owns the running server, [`postmaster`] knows what a server tells about itself.
//!
//! Everything here blocks: call it before the async runtime starts, or on a blocking thread.

mod account;
mod cluster;
mod error;
mod fetch;
mod find;
mod folder;
mod keeper;
mod postmaster;

pub use cluster::{Cluster, Purpose};
pub use error::EmbeddedError;
pub use keeper::{Keeper, keep};
