//! What a server tells about itself: its pid file, its socket, its command line.

use std::{
    ffi::OsString,
    fs,
    os::unix::{fs::MetadataExt, net::UnixStream},
    path::Path,
    process::{Command, id},
};

use rustix::process::Pid;

use super::{EmbeddedError, account::Account, error::failed, folder::Folder};

/// The socket, named after the port that is never opened.
const SOCKET: &str = ".s.PGSQL.5432";
/// The line of the pid file (from 0) that says how far the server is.
const STATUS_LINE: usize = 7;

/// Returns the arguments that make a server this folder's own, by which it is also known again.
pub(super) fn arguments(folder: &Folder) -> [OsString; 4] {
    [
        "-D".into(),
        folder.data().into(),
        "-k".into(),
        folder.path().into(),
    ]
}

/// Tells whether the server takes connections.
pub(super) fn is_ready(folder: &Folder) -> bool {
    let pid_file = fs::read_to_string(folder.data().join("postmaster.pid")).unwrap_or_default();
    // The word may be left over from a crash: the socket must answer too.
    pid_file
        .lines()
        .nth(STATUS_LINE)
        .is_some_and(|status| status.trim() == "ready")
        && UnixStream::connect(folder.path().join(SOCKET)).is_ok()
}

/// Returns the process that serves this folder's data, if one does.
pub(super) fn running(folder: &Folder, account: &Account) -> Option<Pid> {
    let pid_file = fs::read_to_string(folder.data().join("postmaster.pid")).ok()?;
    let pid = Pid::from_raw(pid_file.lines().next()?.trim().parse().ok()?)?;
    is_server(pid, folder, account).then_some(pid)
}

/// Tells whether a process serves this folder's data: the number in a pid file may belong to another process by now.
///
/// The account is compared as well, because it can write into the file whatever it likes, and root is going to end that process.
pub(super) fn is_server(pid: Pid, folder: &Folder, account: &Account) -> bool {
    let expected = arguments(folder)
        .map(|argument| argument.to_string_lossy().into_owned())
        .join(" ");
    process(pid).is_some_and(|(uid, command)| {
        uid == account.uid && format!("{command} ").contains(&format!(" {expected} "))
    })
}

/// Makes the pid files of a server that is no more harmless.
///
/// PostgreSQL does not start while the process in such a file is alive, and after a restart of the machine that may be any process of this account.
/// It knows that its own parent cannot be another server, so the number of this process is written there. Removing the files instead would
/// also remove its second check, whether left-over processes of the old server still use the data.
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

/// Asks `ps`, for systems without `/proc`.
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
    fn a_process_is_known_by_its_owner_and_command_line() {
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
    fn a_process_that_is_gone_is_nobody() {
        let mut child = std::process::Command::new("true").spawn().unwrap();
        let pid = Pid::from_child(&child);
        child.wait().unwrap();
        assert_eq!(process(pid), None);
    }
}
