//! A private PostgreSQL server for a first run and for tests: it needs no setup and no port, and stops by itself.
//!
//! A [`Cluster`] is stored in one directory that only the server's account can enter, and is reached over a unix
//! socket in it, so no password is needed. If the path of the directory is too long for a socket, the socket is in a
//! directory of its own in `/tmp`, which only the account can enter as well. Each user holds a shared lock on
//! `using.lock`, which the system releases however the user ends, even after `kill -9`. The server belongs to a
//! *supervisor*, a process of the same program ([`supervise`]), which stops the server some time after the last user
//! has released the lock. A supervisor holds `supervisor.lock`. If that lock is free but the server runs, the
//! supervisor was killed, and the next user starts one that adopts the server.
//!
//! [`cluster`] has the interface for users, [`folder`] and [`account`] make the directory private, [`programs`]
//! locates or downloads the server's programs, and [`supervisor`] starts, inspects and stops the server.
//!
//! All functions here block: call them before an async runtime starts, or on a blocking thread.

mod account;
mod cluster;
mod error;
mod folder;
mod programs;
mod supervisor;

use std::{io, path::Path};

pub use cluster::{Cluster, Purpose};
pub use error::ClusterError;
pub use supervisor::{Supervisor, supervise};

/// The product that uses the private servers: names for folders and variables, and remedies for messages.
#[derive(Debug, Clone, Copy)]
pub struct Product {
    /// The name of its folders in caches, and the prefix of the clusters of root that are stored elsewhere.
    pub name: &'static str,
    /// The variable with the URL of a running server to use instead.
    pub url_variable: &'static str,
    /// Another way to run a server, as an instruction.
    pub other_way: &'static str,
    /// The variable that hides the installed servers, for tests of a machine without one.
    pub hide_installed_variable: &'static str,
}

impl Product {
    /// Returns a function that adds an operation, as a verb, and its path to a system error.
    pub(crate) fn failed<E: Into<io::Error>>(
        self,
        doing: &'static str,
        path: &Path,
    ) -> impl FnOnce(E) -> ClusterError {
        move |source| ClusterError::System {
            doing,
            path: path.to_owned(),
            url_variable: self.url_variable,
            source: source.into(),
        }
    }

    /// Returns the error for a machine without a usable server.
    pub(crate) fn no_server(self, reason: String) -> ClusterError {
        ClusterError::NoServer {
            reason,
            url_variable: self.url_variable,
            other_way: self.other_way,
        }
    }
}
