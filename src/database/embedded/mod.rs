//! A private PostgreSQL server for a first run and for tests: it needs no setup and no port, and stops by itself.
//!
//! A [`Cluster`] is stored in one directory that only the server's account can enter, and is reached over a unix
//! socket in it, so no password is needed. Each user holds a shared lock on `using.lock`, which the system releases
//! however the user ends, even after `kill -9`. The server belongs to a *keeper*, a process of the same program
//! ([`keep`]), which stops the server some time after the last user has released the lock. A keeper holds
//! `keeper.lock`. If that lock is free but the server runs, the keeper was killed, and the next user starts one that
//! adopts the server.
//!
//! [`cluster`] has the interface for users, [`folder`] and [`account`] make the directory private, [`find`] and
//! [`fetch`] locate the server's programs, [`keeper`] owns the running server, and [`postmaster`] inspects a server
//! by its files and its process.
//!
//! All functions here block: call them before the async runtime starts, or on a blocking thread.

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
pub use keeper::{Supervisor, keep};
