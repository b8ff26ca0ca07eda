//! Errors of a private PostgreSQL server. Each message names a remedy.

use std::{io, path::PathBuf, process::ExitStatus};

use thiserror::Error;

/// Reasons why no private PostgreSQL server is available.
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
