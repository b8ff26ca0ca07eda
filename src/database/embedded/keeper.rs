//! The keeper: a process that owns the server and stops it when no process uses it any more.

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

/// Time between two checks of the server and its users.
const LOOK: Duration = Duration::from_millis(200);
/// Time that a new keeper tries to get the keeper's lock: longer than a user holds it to check for a keeper.
const CONTEST: Duration = Duration::from_secs(1);
/// Signals that stop a server, from gentle to harsh, and the time to wait after each. Neither loses committed data.
const STOPS: [(Signal, Duration); 2] = [
    (Signal::INT, Duration::from_secs(30)),
    (Signal::QUIT, Duration::from_secs(15)),
];

/// The program that runs as a keeper, with the arguments that precede the directory and the purpose.
#[derive(Debug, Clone)]
pub struct Supervisor {
    program: PathBuf,
    arguments: Vec<OsString>,
}

impl Supervisor {
    /// Returns a keeper that is run as `program arguments… DIR PURPOSE`. The program must call [`keep`] and print its
    /// error to standard error.
    pub fn new(
        program: impl Into<PathBuf>,
        arguments: impl IntoIterator<Item = impl Into<OsString>>,
    ) -> Self {
        Self {
            program: program.into(),
            arguments: arguments.into_iter().map(Into::into).collect(),
        }
    }

    /// Returns a keeper that runs the current program with the given arguments.
    ///
    /// # Errors
    ///
    /// Fails if the system does not report the path of the current program.
    pub fn this_program(
        arguments: impl IntoIterator<Item = impl Into<OsString>>,
    ) -> Result<Self, EmbeddedError> {
        let program =
            env::current_exe().map_err(failed("find", Path::new("the running program")))?;
        Ok(Self::new(program, arguments))
    }

    /// Starts the keeper's process in a process group of its own, so that terminal signals do not reach it. Its
    /// output and the server's go to the log.
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

/// Owns the server of the cluster in `dir` until no process has used it for the grace period. This is the main
/// function of a keeper's process.
///
/// A server that an earlier keeper left behind is adopted. If another keeper is running, this returns at once.
///
/// # Errors
///
/// Fails if the server cannot be started, or exits by itself.
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
                // In this order: a new user must not find a keeper without a server.
                drop(kept);
                drop(locks);
                return Ok(());
            }
            Use::Idle(_) => {}
            Use::Gone => return server.stop(&folder, &account),
        }
    }
}

/// Locks the keeper's file and writes the process id to it, or returns `None` if another keeper holds the lock.
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

/// Starts the server, which writes to the keeper's log.
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

/// The server of a keeper.
enum Server {
    /// A child process of this keeper.
    Own(Child),
    /// A server whose keeper was killed.
    Adopted(Pid),
}

impl Server {
    /// Returns whether the server has ended; an unsuccessful exit is an error.
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

    /// Stops the server and waits until it has ended.
    fn stop(mut self, folder: &Folder, account: &Account) -> Result<(), EmbeddedError> {
        for (signal, patience) in STOPS {
            let asked_at = Instant::now();
            // Checked just before the signal: the id of a process that has ended may be assigned to another process.
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
