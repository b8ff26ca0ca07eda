//! The supervisor: a process that owns the server and stops it when no process uses it any more.
//!
//! A server is inspected by its pid file, its socket and its command line.

use std::{
    env,
    ffi::OsString,
    fs::{self, File},
    io::Write,
    os::unix::{fs::MetadataExt, net::UnixStream, process::CommandExt},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio, id},
    thread::sleep,
    time::{Duration, Instant},
};

use rustix::process::{Pid, Signal, kill_process};

use crate::{
    ClusterError, Product, Purpose,
    account::Account,
    folder::{self, Folder, Use},
    programs::{BIN_DIR, Programs, find},
};

/// Time between two checks of the server and its users.
const CHECK_INTERVAL: Duration = Duration::from_millis(200);
/// Time that a new supervisor tries to get the lock: longer than a user holds it to check for a supervisor.
const LOCK_LIMIT: Duration = Duration::from_secs(1);
/// Signals that stop a server, from gentle to harsh, and the time to wait after each. Neither loses committed data.
const STOPS: [(Signal, Duration); 2] = [
    (Signal::INT, Duration::from_secs(30)),
    (Signal::QUIT, Duration::from_secs(15)),
];

/// The name of the socket. It contains the port, which is never opened.
const SOCKET: &str = ".s.PGSQL.5432";
/// The line of the pid file, counted from 0, with the server's status.
const STATUS_LINE: usize = 7;

/// The program that runs as a supervisor, with the arguments that precede the directory and the purpose.
#[derive(Debug, Clone)]
pub struct Supervisor {
    program: PathBuf,
    arguments: Vec<OsString>,
    pub(crate) product: Product,
}

impl Supervisor {
    /// Returns a supervisor that is run as `program arguments… DIR PURPOSE`, where the purpose is `data` or `tests`.
    /// The program must call [`supervise`] and print its error to standard error.
    pub fn new(
        program: impl Into<PathBuf>,
        arguments: impl IntoIterator<Item = impl Into<OsString>>,
        product: Product,
    ) -> Self {
        Self {
            program: program.into(),
            arguments: arguments.into_iter().map(Into::into).collect(),
            product,
        }
    }

    /// Returns a supervisor that runs the current program with the given arguments.
    ///
    /// # Errors
    ///
    /// Fails if the system does not report the path of the current program.
    pub fn this_program(
        arguments: impl IntoIterator<Item = impl Into<OsString>>,
        product: Product,
    ) -> Result<Self, ClusterError> {
        let program =
            env::current_exe().map_err(product.failed("find", Path::new("the running program")))?;
        Ok(Self::new(program, arguments, product))
    }

    /// Starts the supervisor's process in a process group of its own, so that terminal signals do not reach it. Its
    /// output and the server's go to the log.
    pub(crate) fn spawn(
        &self,
        folder: &Folder,
        purpose: Purpose,
        programs: Option<&Programs>,
    ) -> Result<Child, ClusterError> {
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
            .map_err(self.product.failed("run", &self.program))
    }
}

/// Owns the server of the cluster in `dir` until no process has used it for the grace period. This is the main
/// function of a supervisor's process.
///
/// A server that an earlier supervisor left behind is adopted. If another supervisor is running, this returns at once.
///
/// # Errors
///
/// Fails if the server cannot be started, or exits by itself.
pub fn supervise(dir: &Path, purpose: Purpose, product: Product) -> Result<(), ClusterError> {
    let account = Account::of_server(product)?;
    let folder = Folder::open(dir, &account)?;
    let Some(supervising) = lock(&folder)? else {
        return Ok(());
    };
    let mut server = match running(&folder, &account) {
        Some(pid) => Server::Adopted(pid),
        None => Server::Own(start(&folder, &account, purpose)?),
    };
    let mut used_at = Instant::now();
    loop {
        sleep(CHECK_INTERVAL);
        if server.has_ended(&folder, &account)? {
            return Ok(());
        }
        match folder.try_empty() {
            Use::Busy => used_at = Instant::now(),
            Use::Idle(locks) if used_at.elapsed() >= purpose.grace() => {
                server.stop(&folder, &account)?;
                folder.remove_sockets();
                // In this order: a new user must not find a supervisor without a server.
                drop(supervising);
                drop(locks);
                return Ok(());
            }
            Use::Idle(_) => {}
            Use::Gone => {
                let stopped = server.stop(&folder, &account);
                folder.remove_sockets();
                return stopped;
            }
        }
    }
}

/// Locks the supervisor's file and writes the process id to it, or returns `None` if another one holds the lock.
fn lock(folder: &Folder) -> Result<Option<File>, ClusterError> {
    let mut lock = folder.lock_file(folder::SUPERVISOR)?;
    let began = Instant::now();
    while lock.try_lock().is_err() {
        if began.elapsed() > LOCK_LIMIT {
            return Ok(None);
        }
        sleep(Duration::from_millis(5));
    }
    lock.set_len(0)
        .and_then(|()| writeln!(lock, "{}", id()))
        .map_err(folder.failed("write"))?;
    Ok(Some(lock))
}

/// Starts the server, which writes to the supervisor's log.
fn start(folder: &Folder, account: &Account, purpose: Purpose) -> Result<Child, ClusterError> {
    let programs = find(account, &folder.data())?;
    neutralize_pid_files(folder, account.product)?;
    let program = programs.path("postgres");
    let mut command = account.command(&program);
    command.args(arguments(folder));
    for setting in ["listen_addresses=", "port=5432"]
        .iter()
        .chain(purpose.settings())
    {
        command.args(["-c", setting]);
    }
    command
        .process_group(0)
        .spawn()
        .map_err(account.product.failed("run", &program))
}

/// The server of a supervisor.
enum Server {
    /// A child process of this supervisor.
    Own(Child),
    /// A server whose supervisor was killed.
    Adopted(Pid),
}

impl Server {
    /// Returns whether the server has ended; an unsuccessful exit is an error.
    fn has_ended(&mut self, folder: &Folder, account: &Account) -> Result<bool, ClusterError> {
        match self {
            Self::Adopted(pid) => Ok(!is_server(*pid, folder, account)),
            Self::Own(child) => match child.try_wait().map_err(folder.failed("wait for"))? {
                Some(status) if !status.success() => Err(ClusterError::Ended { status }),
                ended => Ok(ended.is_some()),
            },
        }
    }

    /// Stops the server and waits until it has ended.
    fn stop(mut self, folder: &Folder, account: &Account) -> Result<(), ClusterError> {
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
            kill_process(pid, signal).map_err(folder.failed("stop the server of"))?;
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

/// Returns the arguments that bind a server to this directory, and that also identify it.
fn arguments(folder: &Folder) -> [OsString; 4] {
    [
        "-D".into(),
        folder.data().into(),
        "-k".into(),
        folder.sockets().into(),
    ]
}

/// Returns whether the server accepts connections.
pub(crate) fn is_ready(folder: &Folder) -> bool {
    let pid_file = fs::read_to_string(folder.data().join("postmaster.pid")).unwrap_or_default();
    // The status may be left over from a crash: the socket must accept a connection too.
    pid_file
        .lines()
        .nth(STATUS_LINE)
        .is_some_and(|status| status.trim() == "ready")
        && UnixStream::connect(folder.sockets().join(SOCKET)).is_ok()
}

/// Returns the process id of the server of this directory, if it is running.
pub(crate) fn running(folder: &Folder, account: &Account) -> Option<Pid> {
    let pid_file = fs::read_to_string(folder.data().join("postmaster.pid")).ok()?;
    let pid = Pid::from_raw(pid_file.lines().next()?.trim().parse().ok()?)?;
    is_server(pid, folder, account).then_some(pid)
}

/// Returns whether a process is the server of this directory: a process id in a pid file may have been assigned to
/// another process.
///
/// The account is compared as well: it can write any id into the file, and root is going to stop that process.
fn is_server(pid: Pid, folder: &Folder, account: &Account) -> bool {
    let expected = arguments(folder)
        .map(|argument| argument.to_string_lossy().into_owned())
        .join(" ");
    process(pid).is_some_and(|(uid, command)| {
        uid == account.uid && format!("{command} ").contains(&format!(" {expected} "))
    })
}

/// Makes the pid files of a server that has ended harmless.
///
/// PostgreSQL does not start while the process in such a file is alive, and after a reboot that may be any process of
/// this account. It ignores the id of its own parent, so the id of this process is written there. Removing the files
/// would also disable its second check, whether remaining processes of the old server still use the data.
fn neutralize_pid_files(folder: &Folder, product: Product) -> Result<(), ClusterError> {
    for path in [
        folder.data().join("postmaster.pid"),
        folder.sockets().join(format!("{SOCKET}.lock")),
    ] {
        let Ok(content) = fs::read_to_string(&path) else {
            continue;
        };
        let rest = content.split_once('\n').map_or("", |(_, rest)| rest);
        fs::write(&path, format!("{}\n{rest}", id())).map_err(product.failed("write", &path))?;
    }
    Ok(())
}

/// Returns the owner and the command line of a process.
fn process(pid: Pid) -> Option<(u32, String)> {
    let pid = pid.as_raw_nonzero().to_string();
    let proc = Path::new("/proc").join(&pid);
    if Path::new("/proc/self/cmdline").exists() {
        let uid = proc.metadata().ok()?.uid();
        let command =
            String::from_utf8_lossy(&fs::read(proc.join("cmdline")).ok()?).replace('\0', " ");
        return Some((uid, command));
    }
    process_by_ps(&pid)
}

/// Queries `ps`, for systems without `/proc`.
fn process_by_ps(pid: &str) -> Option<(u32, String)> {
    let output = Command::new("ps")
        .args(["-ww", "-o", "uid=", "-o", "command=", "-p", pid])
        .output()
        .ok()?;
    let text = String::from_utf8(output.stdout).ok()?;
    let (uid, command) = text.trim().split_once(' ')?;
    Some((uid.parse().ok()?, command.trim().to_owned()))
}

#[cfg(test)]
mod tests {
    use rustix::process::{Pid, geteuid, getpid};

    use super::{process, process_by_ps};

    #[test]
    fn process_is_identified_by_owner_and_command_line() {
        let (uid, command) = process(getpid()).unwrap();
        assert_eq!(uid, geteuid().as_raw());
        let program = std::env::args().next().unwrap();
        assert!(command.starts_with(&program), "{command}");
        // A machine with `/proc` may have no `ps`.
        if let Some((uid_by_ps, command_by_ps)) =
            process_by_ps(&getpid().as_raw_nonzero().to_string())
        {
            assert_eq!(uid_by_ps, uid);
            assert!(command_by_ps.starts_with(&program), "{command_by_ps}");
        }
    }

    #[test]
    fn process_that_has_ended_is_not_found() {
        let mut child = std::process::Command::new("true").spawn().unwrap();
        let pid = Pid::from_child(&child);
        child.wait().unwrap();
        assert_eq!(process(pid), None);
    }
}
