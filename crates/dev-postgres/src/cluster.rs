//! [`Cluster`]: a running cluster, as its users see it.

use std::{
    fs::{self, File},
    path::Path,
    process::{Child, Command, id},
    thread::sleep,
    time::{Duration, Instant},
};

use crate::{
    ClusterError, Supervisor,
    account::Account,
    folder::{self, Folder},
    programs::{Programs, find, find_or_fetch},
    supervisor::{is_ready, running},
};

/// Time for a server to become ready.
const START_LIMIT: Duration = Duration::from_secs(60);
/// Time between two checks whether it is ready.
const START_STEP: Duration = Duration::from_millis(10);
/// The message that a server logs while processes of a killed server are still running. They end once they notice.
const STILL_IN_USE: &str = "is still in use";
/// The prefix of a data directory that is still being created.
const NEW_DATA: &str = "data.new.";

/// The purpose of a cluster, which decides between durability and speed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Purpose {
    /// Data that must survive a crash of the machine.
    Data,
    /// Tests, which use many connections at once and may lose their data.
    Tests,
}

impl Purpose {
    /// Returns the name, as in the arguments of the supervisor.
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::Data => "data",
            Self::Tests => "tests",
        }
    }

    /// Returns the time that the server keeps running after its last user.
    pub(crate) fn grace(self) -> Duration {
        match self {
            Self::Data => Duration::from_secs(2),
            Self::Tests => Duration::from_secs(10),
        }
    }

    /// Returns the server settings for this purpose, in addition to those of every private server.
    pub(crate) fn settings(self) -> &'static [&'static str] {
        match self {
            Self::Data => &[],
            Self::Tests => &[
                "fsync=off",
                "synchronous_commit=off",
                "full_page_writes=off",
                "autovacuum=off",
                "max_connections=300",
                "max_wal_size=4GB",
                "max_wal_senders=0",
                "wal_level=minimal",
            ],
        }
    }
}

/// A running private PostgreSQL server, which keeps running while this value is held.
#[derive(Debug)]
pub struct Cluster {
    folder: Folder,
    _using: File,
}

impl Cluster {
    /// Starts the cluster in `dir` unless it is running, and creates it if it does not exist.
    ///
    /// For root, the cluster is stored elsewhere if the server's account cannot reach `dir`: see [`Cluster::dir`].
    /// `notice` receives messages about slow or unexpected steps while they happen.
    ///
    /// # Errors
    ///
    /// Every [`ClusterError`] except [`ClusterError::Ended`].
    pub fn ensure(
        dir: &Path,
        purpose: Purpose,
        supervisor: &Supervisor,
        notice: &dyn Fn(&str),
    ) -> Result<Self, ClusterError> {
        let account = Account::of_server(supervisor.product)?;
        let folder = Folder::create(dir, &account, notice)?;
        let using = folder.lock_file(folder::USING)?;
        using.lock_shared().map_err(folder.failed("lock"))?;
        let starting = folder.lock_file(folder::STARTING)?;
        starting.lock().map_err(folder.failed("lock"))?;
        let start = Start {
            folder: &folder,
            account: &account,
            purpose,
            supervisor,
            notice,
        };
        start.run()?;
        Ok(Self {
            folder,
            _using: using,
        })
    }

    /// Returns the URL of one of its databases, for sqlx and psql.
    pub fn url(&self, database: &str) -> String {
        let sockets = encoded(self.folder.sockets());
        format!("postgres://postgres@localhost/{database}?host={sockets}")
    }

    /// Returns the directory of the cluster.
    pub fn dir(&self) -> &Path {
        self.folder.path()
    }

    /// Returns a command that runs one of PostgreSQL's programs, such as `pg_dump`, in the version of the server and as its
    /// account.
    ///
    /// # Errors
    ///
    /// Fails if the programs are not found any more.
    pub fn command(&self, program: &str) -> Result<Command, ClusterError> {
        let account = Account::of_server(self.folder.product())?;
        let programs = find(&account, &self.folder.data())?;
        Ok(account.command(&programs.path(program)))
    }
}

/// A start of the server, under the lock on `starting.lock`.
struct Start<'a> {
    folder: &'a Folder,
    account: &'a Account,
    purpose: Purpose,
    supervisor: &'a Supervisor,
    notice: &'a dyn Fn(&str),
}

impl Start<'_> {
    /// Starts the supervisor and the server unless they run, and waits until both are ready.
    fn run(&self) -> Result<(), ClusterError> {
        let mut child: Option<Child> = None;
        let (since, mut limit) = (Instant::now(), START_LIMIT);
        while since.elapsed() < limit {
            let is_supervised = self.is_supervised()?;
            if is_supervised && is_ready(self.folder) {
                return Ok(());
            }
            // Checked after the lock: a supervisor of this process that has ended does not hold it any more.
            if child.as_mut().is_some_and(has_ended) && !is_supervised {
                if !self.folder.log_contains(STILL_IN_USE) {
                    return Err(ClusterError::EndedAtStart {
                        log: self.folder.log_path(),
                        line: self.folder.last_log_line(),
                    });
                }
                child = None;
            }
            // A supervisor that holds the lock but was not started here remains from a start that was killed, and is
            // starting the server.
            if child.is_none() && !is_supervised {
                let prepared_from = Instant::now();
                child = Some(self.spawn_supervisor()?);
                // Downloading programs and creating a cluster may take longer.
                limit += prepared_from.elapsed();
            }
            sleep(START_STEP);
        }
        Err(ClusterError::NotReady {
            log: self.folder.log_path(),
            line: self.folder.last_log_line(),
            seconds: START_LIMIT.as_secs(),
        })
    }

    /// Returns whether a supervisor is running.
    fn is_supervised(&self) -> Result<bool, ClusterError> {
        // A shared lock, released at once: a new supervisor retries for longer than that.
        Ok(self
            .folder
            .lock_file(folder::SUPERVISOR)?
            .try_lock_shared()
            .is_err())
    }

    /// Starts a supervisor. It adopts a running server; otherwise it needs programs and data.
    fn spawn_supervisor(&self) -> Result<Child, ClusterError> {
        if running(self.folder, self.account).is_some() {
            return self.supervisor.spawn(self.folder, self.purpose, None);
        }
        let data = self.folder.data();
        let programs = find_or_fetch(self.account, &data, self.notice)?;
        self.remove_unfinished();
        if !data.exists() {
            self.initialize(&programs, &data)?;
        }
        let log = self.folder.log()?;
        let product = self.account.product;
        log.set_len(0)
            .map_err(product.failed("empty", &self.folder.log_path()))?;
        self.supervisor
            .spawn(self.folder, self.purpose, Some(&programs))
    }

    /// Creates the data under another name and renames it, so that it is either complete or absent.
    ///
    /// The name contains this process's id: an `initdb` that outlived its killed parent writes to a directory that is
    /// not used.
    fn initialize(&self, programs: &Programs, data: &Path) -> Result<(), ClusterError> {
        let product = self.account.product;
        let new = self.folder.path().join(format!("{NEW_DATA}{}", id()));
        let mut initdb = self.account.command(&programs.path("initdb"));
        initdb.args([
            "--username=postgres",
            "--auth=trust",
            "--encoding=UTF8",
            "--locale=C",
        ]);
        if self.purpose == Purpose::Tests {
            initdb.arg("--no-sync");
        }
        let output = initdb
            .arg("--pgdata")
            .arg(&new)
            .output()
            .map_err(product.failed("run", &programs.path("initdb")))?;
        if !output.status.success() {
            let stderr = String::from_utf8_lossy(&output.stderr);
            return Err(ClusterError::Initdb {
                folder: new,
                url_variable: product.url_variable,
                reason: stderr.trim().replace('\n', "; "),
            });
        }
        fs::rename(&new, data).map_err(product.failed("rename", &new))
    }

    /// Removes data directories left by starts that were killed. The next start retries after an error.
    fn remove_unfinished(&self) {
        for entry in fs::read_dir(self.folder.path())
            .into_iter()
            .flatten()
            .flatten()
        {
            if entry.file_name().to_string_lossy().starts_with(NEW_DATA) {
                let _ = fs::remove_dir_all(entry.path());
            }
        }
    }
}

/// Percent-encodes a path for the query of a URL.
fn encoded(path: &Path) -> String {
    let mut text = String::new();
    for byte in path.as_os_str().as_encoded_bytes() {
        match byte {
            b'/' | b'-' | b'_' | b'.' | b'~' => text.push(char::from(*byte)),
            byte if byte.is_ascii_alphanumeric() => text.push(char::from(*byte)),
            byte => text.push_str(&format!("%{byte:02X}")),
        }
    }
    text
}

/// Returns whether a child process has ended.
fn has_ended(child: &mut Child) -> bool {
    !matches!(child.try_wait(), Ok(None))
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::encoded;

    #[test]
    fn path_in_a_url_is_percent_encoded() {
        assert_eq!(encoded(Path::new("/a-b_c.d~/E9")), "/a-b_c.d~/E9");
        assert_eq!(
            encoded(Path::new("/a b+c%d#e&f?g=\u{e9}")),
            "/a%20b%2Bc%25d%23e%26f%3Fg%3D%C3%A9"
        );
    }
}
