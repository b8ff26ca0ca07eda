//! Inspection of a server: its pid file, its socket and its command line.

use std::{
    ffi::OsString,
    fs,
    os::unix::{fs::MetadataExt, net::UnixStream},
    path::Path,
    process::{Command, id},
};

use rustix::process::Pid;

use super::{EmbeddedError, account::Account, error::failed, folder::Folder};

/// The name of the socket. It contains the port, which is never opened.
const SOCKET: &str = ".s.PGSQL.5432";
/// The line of the pid file, counted from 0, with the server's status.
const STATUS_LINE: usize = 7;

/// Returns the arguments that bind a server to this directory, and that also identify it.
pub(super) fn arguments(folder: &Folder) -> [OsString; 4] {
    [
        "-D".into(),
        folder.data().into(),
        "-k".into(),
        folder.path().into(),
    ]
}

/// Returns whether the server accepts connections.
pub(super) fn is_ready(folder: &Folder) -> bool {
    let pid_file = fs::read_to_string(folder.data().join("postmaster.pid")).unwrap_or_default();
    // The status may be left over from a crash: the socket must accept a connection too.
    pid_file
        .lines()
        .nth(STATUS_LINE)
        .is_some_and(|status| status.trim() == "ready")
        && UnixStream::connect(folder.path().join(SOCKET)).is_ok()
}

/// Returns the process id of the server of this directory, if it is running.
pub(super) fn running(folder: &Folder, account: &Account) -> Option<Pid> {
    let pid_file = fs::read_to_string(folder.data().join("postmaster.pid")).ok()?;
    let pid = Pid::from_raw(pid_file.lines().next()?.trim().parse().ok()?)?;
    is_server(pid, folder, account).then_some(pid)
}

/// Returns whether a process is the server of this directory: a process id in a pid file may have been assigned to
/// another process.
///
/// The account is compared as well: it can write any id into the file, and root is going to stop that process.
pub(super) fn is_server(pid: Pid, folder: &Folder, account: &Account) -> bool {
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
pub(super) fn disown_pid_files(folder: &Folder) -> Result<(), EmbeddedError> {
    for path in [
        folder.data().join("postmaster.pid"),
        folder.path().join(format!("{SOCKET}.lock")),
    ] {
        let Ok(content) = fs::read_to_string(&path) else {
            continue;
        };
        let rest = content.split_once('\n').map_or("", |(_, rest)| rest);
        fs::write(&path, format!("{}\n{rest}", id())).map_err(failed("write", &path))?;
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
