//! The keeper: a process that owns the server and stops it when nobody uses it any more.

use std::{
    env,
    ffi::OsString,
    fs::File,
    io::Write,
    os::unix::process::CommandExt,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio, id},
    thread::sleep,
    time::{Duration, Instant},
};

use rustix::process::{Pid, Signal, kill_process};

use super::{
    EmbeddedError, Purpose,
    account::Account,
    error::failed,
    find::{BIN_DIR, Programs, find},
    folder::{self, Folder, Use},
    postmaster,
};

/// How often the keeper looks after the server and its users.
const LOOK: Duration = Duration::from_millis(200);
/// How long a new keeper tries to be the one: longer than a user needs to see whether there is one.
const CONTEST: Duration = Duration::from_secs(1);
/// How to stop a server, politely and then less so, and how long to wait each time. Either loses no committed data.
const STOPS: [(Signal, Duration); 2] = [
    (Signal::INT, Duration::from_secs(30)),
    (Signal::QUIT, Duration::from_secs(15)),
];

/// The program that becomes a keeper, with the arguments before the folder and the purpose.
#[derive(Debug, Clone)]
pub struct Keeper {
    program: PathBuf,
    arguments: Vec<OsString>,
}

impl Keeper {
    /// Returns a keeper that is `program arguments… DIR PURPOSE`; it must call [`keep`] and print what that returns to its standard error.
    pub fn new(
        program: impl Into<PathBuf>,
        arguments: impl IntoIterator<Item = impl Into<OsString>>,
    ) -> Self {
        Self {
            program: program.into(),
            arguments: arguments.into_iter().map(Into::into).collect(),
        }
    }

    /// Returns this very program as keeper, with the given arguments.
    ///
    /// # Errors
    ///
    /// If the system does not tell where this program lies.
    pub fn this_program(
        arguments: impl IntoIterator<Item = impl Into<OsString>>,
    ) -> Result<Self, EmbeddedError> {
        let program =
            env::current_exe().map_err(failed("find", Path::new("the running program")))?;
        Ok(Self::new(program, arguments))
    }

    /// Starts the keeper's process, apart from this one's terminal signals, its errors and the server's going into the log.
    pub(super) fn spawn(
        &self,
        folder: &Folder,
        purpose: Purpose,
        programs: Option<&Programs>,
    ) -> Result<Child, EmbeddedError> {
        let mut command = Command::new(&self.program);
        if let Some(programs) = programs {
            command.env(BIN_DIR, &programs.folder);
        }
        command
            .args(&self.arguments)
            .arg(folder.path())
            .arg(purpose.as_str())
            .current_dir("/")
            .stdin(Stdio::null())
            .stdout(folder.log()?)
            .stderr(folder.log()?)
            .process_group(0)
            .spawn()
            .map_err(failed("run", &self.program))
    }
}

/// Owns the server of the cluster in `dir` until nobody has used it for a while: the whole life of a keeper's process.
///
/// A server that an earlier keeper left behind is adopted. If there is another keeper, this one has nothing to do.
///
/// # Errors
///
/// If the server cannot be started, or ends by itself.
pub fn keep(dir: &Path, purpose: Purpose) -> Result<(), EmbeddedError> {
    let account = Account::of_server()?;
    let folder = Folder::open(dir, &account)?;
    let Some(kept) = contest(&folder)? else {
        return Ok(());
    };
    let mut server = match postmaster::running(&folder, &account) {
        Some(pid) => Server::Adopted(pid),
        None => Server::Own(start(&folder, &account, purpose)?),
    };
    let mut used_at = Instant::now();
    loop {
        sleep(LOOK);
        if server.has_ended(&folder, &account)? {
            return Ok(());
        }
        match folder.try_empty() {
            Use::Busy => used_at = Instant::now(),
            Use::Idle(locks) if used_at.elapsed() >= purpose.grace() => {
                server.stop(&folder, &account)?;
                // In this order: who comes in now must not see a keeper without a server.
                drop(kept);
                drop(locks);
                return Ok(());
            }
            Use::Idle(_) => {}
            Use::Gone => return server.stop(&folder, &account),
        }
    }
}

/// Becomes the keeper, unless there is another, and leaves its number in the lock's file.
fn contest(folder: &Folder) -> Result<Option<File>, EmbeddedError> {
    let mut lock = folder.lock_file(folder::KEEPER)?;
    let began = Instant::now();
    while lock.try_lock().is_err() {
        if began.elapsed() > CONTEST {
            return Ok(None);
        }
        sleep(Duration::from_millis(5));
    }
    lock.set_len(0)
        .and_then(|()| writeln!(lock, "{}", id()))
        .map_err(failed("write", folder.path()))?;
    Ok(Some(lock))
}

/// Starts the server, which logs where the keeper does.
fn start(folder: &Folder, account: &Account, purpose: Purpose) -> Result<Child, EmbeddedError> {
    let programs = find(account, &folder.data())?;
    postmaster::disown_pid_files(folder)?;
    let program = programs.path("postgres");
    let mut command = account.command(&program);
    command.args(postmaster::arguments(folder));
    for setting in ["listen_addresses=", "port=5432"]
        .iter()
        .chain(purpose.settings())
    {
        command.args(["-c", setting]);
    }
    command
        .process_group(0)
        .spawn()
        .map_err(failed("run", &program))
}

/// The server under a keeper.
enum Server {
    /// The keeper's child.
    Own(Child),
    /// A server whose keeper was killed.
    Adopted(Pid),
}

impl Server {
    /// Tells whether the server is no more; it is an error if it ended badly.
    fn has_ended(&mut self, folder: &Folder, account: &Account) -> Result<bool, EmbeddedError> {
        match self {
            Self::Adopted(pid) => Ok(!postmaster::is_server(*pid, folder, account)),
            Self::Own(child) => match child
                .try_wait()
                .map_err(failed("wait for", folder.path()))?
            {
                Some(status) if !status.success() => Err(EmbeddedError::Ended { status }),
                ended => Ok(ended.is_some()),
            },
        }
    }

    /// Ends the server and waits until it has.
    fn stop(mut self, folder: &Folder, account: &Account) -> Result<(), EmbeddedError> {
        for (signal, patience) in STOPS {
            let asked_at = Instant::now();
            // Looked at right before: a number that is free again could be given to another process.
            if self.has_ended(folder, account)? {
                return Ok(());
            }
            let pid = match &self {
                Self::Own(child) => Pid::from_child(child),
                Self::Adopted(pid) => *pid,
            };
            kill_process(pid, signal).map_err(failed("stop the server of", folder.path()))?;
            while asked_at.elapsed() < patience {
                if self.has_ended(folder, account)? {
                    return Ok(());
                }
                sleep(Duration::from_millis(10));
            }
        }
        Ok(())
    }
}
