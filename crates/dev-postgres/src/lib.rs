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
mod folder;
mod programs;
mod supervisor;

use std::{
    io,
    path::{Path, PathBuf},
    process::ExitStatus,
};

use thiserror::Error;

pub use cluster::{Cluster, Purpose};
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

/// Reasons why no private PostgreSQL server is available. Each message names a remedy.
#[derive(Debug, Error)]
pub enum ClusterError {
    /// The machine has no usable server and none could be downloaded.
    #[error(
        "no PostgreSQL server to start was found ({reason}): install one (`apt-get install postgresql`, `brew install postgresql`), \
         or set PG_BIN_DIR to a folder with `initdb` and `postgres`, or {url_variable} to a server that runs, or {other_way}"
    )]
    NoServer {
        /// The last reason.
        reason: String,
        /// The variable with the URL of a running server.
        url_variable: &'static str,
        /// Another way to run a server.
        other_way: &'static str,
    },
    /// `PG_BIN_DIR` names a directory whose programs cannot be used.
    #[error("PG_BIN_DIR is `{}`, but {reason}: set it to a folder with a working `initdb` and `postgres`, or unset it", folder.display())]
    BinDir {
        /// The directory that it names.
        folder: PathBuf,
        /// The problem with its programs.
        reason: String,
    },
    /// The data directory was created by a major version that is not installed.
    #[error(
        "the data in `{}` were made by PostgreSQL {major}, and no server of that version was found: install it or set PG_BIN_DIR to its programs, \
         or move the folder away to start with a new one",
        data.display()
    )]
    OtherVersion {
        /// The data directory.
        data: PathBuf,
        /// Its major version.
        major: String,
    },
    /// The process is root, and there is no account to run the server as.
    #[error(
        "PostgreSQL refuses to run as root, and there is no account `postgres` or `nobody` to run it as: create one, or start as a normal user"
    )]
    NoAccount,
    /// The path of the directory is too long for PostgreSQL.
    #[error("the path `{}` is longer than {limit} bytes, too long for PostgreSQL: choose a shorter one", path.display())]
    PathTooLong {
        /// The directory.
        path: PathBuf,
        /// The longest path that works, in bytes.
        limit: usize,
    },
    /// The path contains something else, or belongs to another account.
    #[error(
        "`{}` is not an empty folder and not a cluster of the account `{account}`: choose another folder, or start as the user that created it",
        path.display()
    )]
    NotOurs {
        /// The path.
        path: PathBuf,
        /// The account that the server would run as.
        account: String,
    },
    /// `initdb` failed to create a cluster.
    #[error("`initdb` could not create a cluster in `{}` ({reason}): fix that, or set {url_variable} to a running server", folder.display())]
    Initdb {
        /// The directory of the new cluster.
        folder: PathBuf,
        /// The variable with the URL of a running server.
        url_variable: &'static str,
        /// The error output of `initdb`.
        reason: String,
    },
    /// The server exited while starting.
    #[error("PostgreSQL exited while starting; its log `{}` contains «{line}»: fix that and start again", log.display())]
    EndedAtStart {
        /// The server's log.
        log: PathBuf,
        /// The most relevant line of the log.
        line: String,
    },
    /// The server did not become ready in time.
    #[error("PostgreSQL was not ready after {seconds} s; its log `{}` contains «{line}»: look there and start again", log.display())]
    NotReady {
        /// The server's log.
        log: PathBuf,
        /// The most relevant line of the log.
        line: String,
        /// The time limit.
        seconds: u64,
    },
    /// The server exited while its supervisor ran.
    #[error("PostgreSQL exited unexpectedly ({status}): see its log output above, and start again")]
    Ended {
        /// The exit status.
        status: ExitStatus,
    },
    /// A system call failed.
    #[error("could not {doing} `{}`: check its owner and the free space, or set {url_variable} to a running server", path.display())]
    System {
        /// The operation, as a verb.
        doing: &'static str,
        /// The path of the operation.
        path: PathBuf,
        /// The variable with the URL of a running server.
        url_variable: &'static str,
        /// The error of the system.
        source: io::Error,
    },
}
