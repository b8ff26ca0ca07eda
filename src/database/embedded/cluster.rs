//! A cluster as its users see it: there while they hold it.

use std::{
    fs::{self, File},
    path::Path,
    process::{Child, id},
    str::FromStr,
    thread::sleep,
    time::{Duration, Instant},
};

use super::{
    EmbeddedError, Keeper,
    account::Account,
    error::failed,
    find::{Programs, find_or_fetch},
    folder::{self, Folder},
    postmaster,
};

/// How long a server may take to become ready.
const START_LIMIT: Duration = Duration::from_secs(60);
/// How often a start looks whether it is.
const START_STEP: Duration = Duration::from_millis(10);
/// What a server says as long as processes of a killed one are still at work; they end when they notice.
const LEFT_OVER: &str = "is still in use";
/// What a new cluster is called until it is whole.
const NEW_DATA: &str = "data.new.";

/// What a cluster is for, which decides between safe and fast.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Purpose {
    /// Data that must survive a crash of the machine.
    Data,
    /// Tests, whose data may be lost, many at once.
    Tests,
}

impl Purpose {
    /// Returns the name by which the keeper is told.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Data => "data",
            Self::Tests => "tests",
        }
    }

    /// Returns how long the server outlives its last user.
    pub(super) fn grace(self) -> Duration {
        match self {
            Self::Data => Duration::from_secs(2),
            Self::Tests => Duration::from_secs(10),
        }
    }

    /// Returns the server's settings beside those of every private server.
    pub(super) fn settings(self) -> &'static [&'static str] {
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

impl FromStr for Purpose {
    type Err = EmbeddedError;

    fn from_str(name: &str) -> Result<Self, Self::Err> {
        [Self::Data, Self::Tests]
            .into_iter()
            .find(|purpose| purpose.as_str() == name)
            .ok_or_else(|| EmbeddedError::UnknownPurpose(name.to_owned()))
    }
}

/// A running private PostgreSQL; holding this keeps the server running.
#[derive(Debug)]
pub struct Cluster {
    folder: Folder,
    _using: File,
}

impl Cluster {
    /// Starts the cluster in `dir`, unless it runs, and makes it if there is none.
    ///
    /// For root it lies elsewhere if the server's account cannot reach `dir`: see [`Cluster::dir`]. What takes long or surprises is said to `notice`
    /// while it happens.
    ///
    /// # Errors
    ///
    /// Every [`EmbeddedError`] but those of the keeper; each says what to do.
    pub fn ensure(
        dir: &Path,
        purpose: Purpose,
        keeper: &Keeper,
        notice: &dyn Fn(&str),
    ) -> Result<Self, EmbeddedError> {
        let account = Account::of_server()?;
        let folder = Folder::create(dir, &account, notice)?;
        let using = folder.lock_file(folder::USING)?;
        using.lock_shared().map_err(failed("lock", folder.path()))?;
        let starting = folder.lock_file(folder::STARTING)?;
        starting.lock().map_err(failed("lock", folder.path()))?;
        let start = Start {
            folder: &folder,
            account: &account,
            purpose,
            keeper,
            notice,
        };
        start.run()?;
        Ok(Self {
            folder,
            _using: using,
        })
    }

    /// Returns the URL of one of its databases, for sqlx and psql alike.
    pub fn url(&self, database: &str) -> String {
        format!(
            "postgres://postgres@localhost/{database}?host={}",
            self.folder.path().display()
        )
    }

    /// Returns the folder it lies in.
    pub fn dir(&self) -> &Path {
        self.folder.path()
    }
}

/// One start, under the lock of those who start.
struct Start<'a> {
    folder: &'a Folder,
    account: &'a Account,
    purpose: Purpose,
    keeper: &'a Keeper,
    notice: &'a dyn Fn(&str),
}

impl Start<'_> {
    /// Waits until there is a ready server with a keeper, and starts what is missing.
    fn run(&self) -> Result<(), EmbeddedError> {
        let mut begun: Option<Child> = None;
        let (since, mut limit) = (Instant::now(), START_LIMIT);
        while since.elapsed() < limit {
            let kept = self.is_kept()?;
            if kept && postmaster::is_ready(self.folder) {
                return Ok(());
            }
            // Asked after the lock: a keeper of ours that has ended by now does not hold it.
            if begun.as_mut().is_some_and(has_ended) && !kept {
                if !self.folder.log_says(LEFT_OVER) {
                    return Err(EmbeddedError::EndedAtStart {
                        log: self.folder.log_path(),
                        line: self.folder.last_words(),
                    });
                }
                begun = None;
            }
            // A keeper that is not ours was left by a start that was killed midway, and is at it.
            if begun.is_none() && !kept {
                let asked = Instant::now();
                begun = Some(self.begin()?);
                // To fetch programs and to make a cluster may take its time.
                limit += asked.elapsed();
            }
            sleep(START_STEP);
        }
        Err(EmbeddedError::NotReady {
            log: self.folder.log_path(),
            line: self.folder.last_words(),
            seconds: START_LIMIT.as_secs(),
        })
    }

    /// Tells whether a keeper lives.
    fn is_kept(&self) -> Result<bool, EmbeddedError> {
        // A shared lock, let go at once: a keeper that just comes tries for longer than that.
        Ok(self
            .folder
            .lock_file(folder::KEEPER)?
            .try_lock_shared()
            .is_err())
    }

    /// Starts a keeper, which adopts a server that runs; for any other it needs programs and data.
    fn begin(&self) -> Result<Child, EmbeddedError> {
        if postmaster::running(self.folder, self.account).is_some() {
            return self.keeper.spawn(self.folder, self.purpose, None);
        }
        let data = self.folder.data();
        let programs = find_or_fetch(self.account, &data, self.notice)?;
        self.remove_unfinished();
        if !data.exists() {
            self.make(&programs, &data)?;
        }
        let log = self.folder.log()?;
        log.set_len(0)
            .map_err(failed("empty", &self.folder.log_path()))?;
        self.keeper
            .spawn(self.folder, self.purpose, Some(&programs))
    }

    /// Makes the data under another name, so that they are whole or not there at all.
    ///
    /// The name is this process's own: an `initdb` that outlived its killed parent writes where nobody looks.
    fn make(&self, programs: &Programs, data: &Path) -> Result<(), EmbeddedError> {
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
            .map_err(failed("run", &programs.path("initdb")))?;
        if !output.status.success() {
            let complaint = String::from_utf8_lossy(&output.stderr);
            return Err(EmbeddedError::Initdb {
                folder: new,
                reason: complaint.trim().replace('\n', "; "),
            });
        }
        fs::rename(&new, data).map_err(failed("rename", &new))
    }

    /// Removes what starts that were killed midway left behind; what cannot be removed now goes the next time.
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

/// Tells whether a child has ended.
fn has_ended(child: &mut Child) -> bool {
    !matches!(child.try_wait(), Ok(None))
}
