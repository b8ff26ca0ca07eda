//! What can go wrong with a private PostgreSQL, each a sentence that says what to do.

use std::{
    io,
    path::{Path, PathBuf},
    process::ExitStatus,
};

use thiserror::Error;

/// Why there is no private PostgreSQL.
#[derive(Debug, Error)]
pub enum EmbeddedError {
    /// The machine has no usable server and none could be fetched.
    #[error(
        "there is no PostgreSQL server here to start ({reason}): install one (`apt-get install postgresql`, `brew install postgresql`), \
         or set PG_BIN_DIR to a folder with `initdb` and `postgres`, or DATABASE_URL to a server that runs, or use `docker compose up`"
    )]
    NoServer {
        /// What was missing last.
        reason: String,
    },
    /// `PG_BIN_DIR` names a folder whose programs cannot be used.
    #[error("PG_BIN_DIR is `{}`, but {reason}: set it to a folder with a working `initdb` and `postgres`, or unset it", folder.display())]
    BinDir {
        /// The folder it names.
        folder: PathBuf,
        /// What is wrong with its programs.
        reason: String,
    },
    /// The data were made by a major version that is not on this machine.
    #[error(
        "the data in `{}` were made by PostgreSQL {major}, and no server of that version is here: install it or set PG_BIN_DIR to its programs, \
         or move the folder away to begin anew",
        data.display()
    )]
    OtherVersion {
        /// The data folder.
        data: PathBuf,
        /// Its major version.
        major: String,
    },
    /// Root has no account to run the server as.
    #[error(
        "PostgreSQL refuses to run as root, and there is no account `postgres` or `nobody` to run it as: create one, or start as a normal user"
    )]
    NoAccount,
    /// The folder's path leaves no room for the socket's name.
    #[error("the path `{}` is longer than {limit} bytes, too long for a unix socket in it: choose a shorter one", path.display())]
    PathTooLong {
        /// The folder.
        path: PathBuf,
        /// The longest path that works.
        limit: usize,
    },
    /// The place holds something else, or belongs to another account.
    #[error(
        "`{}` is not an empty folder and not a cluster of the account `{account}`: choose another folder, or start as the user who made it",
        path.display()
    )]
    NotOurs {
        /// The place.
        path: PathBuf,
        /// The account the server would run as.
        account: String,
    },
    /// `initdb` could not make a cluster.
    #[error("`initdb` could not make a cluster in `{}` ({reason}): set that right, or set DATABASE_URL to a server that runs", folder.display())]
    Initdb {
        /// Where it tried.
        folder: PathBuf,
        /// Its last words.
        reason: String,
    },
    /// The server ended while it was starting.
    #[error("PostgreSQL ended while it was starting, its log `{}` says «{line}»: set that right and start again", log.display())]
    EndedAtStart {
        /// The server's log.
        log: PathBuf,
        /// The line of it that tells most.
        line: String,
    },
    /// The server did not become ready in time.
    #[error("PostgreSQL was not ready after {seconds} s, its log `{}` says «{line}»: look there and start again", log.display())]
    NotReady {
        /// The server's log.
        log: PathBuf,
        /// The line of it that tells most.
        line: String,
        /// How long was waited.
        seconds: u64,
    },
    /// The server ended under its keeper.
    #[error("PostgreSQL ended by itself ({status}): start again, and look at what it logged above")]
    Ended {
        /// How it ended.
        status: ExitStatus,
    },
    /// A purpose that does not exist was named.
    #[error("`{0}` is not a purpose of a private PostgreSQL: say `data` or `tests`")]
    UnknownPurpose(String),
    /// The system refused something.
    #[error("could not {doing} `{}`: check its owner and the space left, or set DATABASE_URL to a server that runs", path.display())]
    System {
        /// What was tried, a verb.
        doing: &'static str,
        /// On what.
        path: PathBuf,
        /// The system's answer.
        source: io::Error,
    },
}

/// Returns a function that says what was tried, on which path, when the system refused.
pub(super) fn failed<E: Into<io::Error>>(
    doing: &'static str,
    path: &Path,
) -> impl FnOnce(E) -> EmbeddedError {
    move |source| EmbeddedError::System {
        doing,
        path: path.to_owned(),
        source: source.into(),
    }
}
