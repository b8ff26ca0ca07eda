//! The private PostgreSQL with real processes: how it is started, the account it runs as, and that it stops however the
//! processes that use it end.
//!
//! Run as root, the tests also run programs as a normal user. Run as a normal user, the tests of root check nothing.

#![allow(
    clippy::panic,
    clippy::print_stdout,
    clippy::unwrap_used,
    reason = "a test that cannot go on should say where"
)]

use std::{
    cell::RefCell,
    fs::{self, File, Permissions},
    io::{BufRead, BufReader, Write},
    os::unix::{
        fs::{MetadataExt, PermissionsExt, chown, symlink},
        process::CommandExt,
    },
    path::{Path, PathBuf},
    process::{Child, Command, Output, Stdio},
    thread,
    time::{Duration, Instant},
};

use dev_postgres::{Cluster, ClusterError, Purpose, Supervisor};
use lmn_partner_api::cli::dev_db;
use rustix::process::{Pid, Signal, geteuid, kill_process, test_kill_process};
use sqlx::{AssertSqlSafe, Connection, Executor, PgConnection};
use tempfile::TempDir;
use tokio::runtime::Builder;

/// The program under test.
const LMN: &str = env!("CARGO_BIN_EXE_lmn");
/// The normal user as which root runs programs: the account `nobody` on nearly every system.
const NORMAL_USER: u32 = 65534;

#[test]
fn second_user_shares_the_server_and_a_later_one_finds_the_data() {
    let folder = Folder::new();
    let first = folder.ensure(Purpose::Tests);
    run(&folder, "create table kept as select 7 as seven");
    assert_eq!(ask(&folder, "select current_setting('fsync')"), "off");
    let second = folder.ensure(Purpose::Tests);
    let server = folder.server();
    drop(first);
    assert_eq!(ask(&folder, "select seven from kept"), "7");
    assert_eq!(folder.server(), server);
    drop(second);
    folder.stop();
    let _later = folder.ensure(Purpose::Tests);
    assert_ne!(folder.server(), server);
    assert_eq!(ask(&folder, "select seven from kept"), "7");
}

#[test]
fn server_of_a_killed_user_stops_by_itself_and_keeps_the_data() {
    // This server is in use all the time, so it must keep running when the other one stops.
    let used = Folder::new();
    let _using = used.ensure(Purpose::Data);
    let folder = Folder::new();
    let mut user = folder.user();
    user.wait_until_served();
    run(&folder, "create table kept as select 7 as seven");
    user.process.kill().unwrap();
    folder.wait_for_the_end();
    assert_eq!(ask(&used, "select 1"), "1");
    let _later = folder.ensure(Purpose::Data);
    assert_eq!(ask(&folder, "select seven from kept"), "7");
    assert_eq!(ask(&folder, "select current_setting('fsync')"), "on");
}

#[test]
fn server_of_a_killed_supervisor_is_adopted_and_still_stops() {
    let folder = Folder::new();
    let first = folder.ensure(Purpose::Data);
    let server = folder.server();
    kill_process(folder.supervisor(), Signal::KILL).unwrap();
    assert!(eventually(|| folder.has_no_supervisor()));
    let second = folder.ensure(Purpose::Data);
    assert_eq!(folder.server(), server);
    assert!(!folder.has_no_supervisor());
    drop((first, second));
    folder.wait_for_the_end();
}

#[test]
fn killed_server_is_started_anew_once_its_last_process_has_ended() {
    let folder = Folder::new();
    let _using = folder.ensure(Purpose::Tests);
    // A query that takes longer than a start, and whose backend does not notice the end of the server meanwhile.
    let busy = "select count(*) from generate_series(1, 4000000)";
    let others = "select count(*) from pg_stat_activity where query ~ '^select count.*series'";
    thread::scope(|scope| {
        scope.spawn(|| with_connection(&folder, async |other| drop(other.execute(busy).await)));
        assert!(eventually(|| ask(&folder, others) == "1"));
        let server = folder.server();
        kill_process(server, Signal::KILL).unwrap();
        assert!(eventually(|| test_kill_process(server).is_err()));
        let _later = folder.ensure(Purpose::Tests);
        assert_eq!(ask(&folder, "select 1"), "1");
    });
}

#[test]
fn simultaneous_users_make_one_cluster() {
    let folder = Folder::new();
    let mut users: Vec<User> = (0..5).map(|_| folder.user()).collect();
    let mut servers: Vec<Pid> = users
        .iter_mut()
        .map(|user| {
            user.wait_until_served();
            folder.server()
        })
        .collect();
    servers.dedup();
    assert_eq!(servers.len(), 1, "{servers:?}");
    assert_eq!(folder.unfinished(), Vec::<PathBuf>::new());
}

#[test]
fn start_that_is_killed_midway_leaves_no_unfinished_cluster() {
    let folder = Folder::new();
    let mut user = folder.user();
    assert!(eventually(|| !folder.unfinished().is_empty()));
    user.process.kill().unwrap();
    let _later = folder.ensure(Purpose::Tests);
    assert_eq!(ask(&folder, "select 1"), "1");
    assert_eq!(folder.unfinished(), Vec::<PathBuf>::new());
}

#[test]
fn pid_files_left_by_a_crash_do_not_block_a_start() {
    let folder = Folder::new();
    let cluster = folder.ensure(Purpose::Tests);
    let files = ["data/postmaster.pid", ".s.PGSQL.5432.lock"].map(|name| folder.dir.join(name));
    let contents = files
        .each_ref()
        .map(|file| fs::read_to_string(file).unwrap());
    drop(cluster);
    folder.stop();
    // As after a power cut, the files exist, and their process id now belongs to another process of the same account.
    let owner = folder.data().metadata().unwrap();
    let mut other = Command::new("sleep");
    other.arg("600");
    if geteuid().is_root() {
        other.uid(owner.uid()).gid(owner.gid());
    }
    let mut other = other.spawn().unwrap();
    for (file, content) in files.iter().zip(contents) {
        let (_, rest) = content.split_once('\n').unwrap();
        fs::write(file, format!("{}\n{rest}", other.id())).unwrap();
        chown(file, Some(owner.uid()), Some(owner.gid())).unwrap();
        fs::set_permissions(file, Permissions::from_mode(0o600)).unwrap();
    }
    let started = folder.try_ensure(Purpose::Tests);
    let is_alive = other.try_wait().unwrap().is_none();
    other.kill().unwrap();
    other.wait().unwrap();
    started.unwrap();
    assert!(is_alive, "the other process was taken for the server");
}

#[test]
fn reason_of_a_failed_start_is_reported_at_once() {
    let folder = Folder::new();
    drop(folder.ensure(Purpose::Tests));
    folder.stop();
    let began = Instant::now();

    let settings = folder.data().join("postgresql.conf");
    let mut settings = File::options().append(true).open(settings).unwrap();
    settings.write_all(b"no_such_setting = 1\n").unwrap();
    let error = folder.try_ensure(Purpose::Tests).unwrap_err();
    assert!(
        matches!(error, ClusterError::EndedAtStart { .. }),
        "{error}"
    );
    assert!(error.to_string().contains("contains errors"), "{error}");

    fs::write(folder.data().join("PG_VERSION"), "7\n").unwrap();
    let error = folder.try_ensure(Purpose::Tests).unwrap_err();
    assert!(
        error.to_string().contains("made by PostgreSQL 7"),
        "{error}"
    );
    assert!(
        began.elapsed() < Duration::from_secs(20),
        "{:?}",
        began.elapsed()
    );
}

#[test]
fn cluster_with_a_long_path_has_its_socket_in_a_private_folder_elsewhere() {
    let mut folder = Folder::new();
    folder.dir = folder.temp.path().join("long".repeat(40));
    let cluster = folder.ensure(Purpose::Tests);
    assert_eq!(cluster.dir(), folder.dir);
    let url = cluster.url("postgres");
    let (_, sockets) = url.split_once("?host=").unwrap();
    let sockets = PathBuf::from(sockets);
    assert!(sockets.starts_with("/tmp"), "{url}");
    let (found, data) = (sockets.metadata().unwrap(), folder.data().metadata());
    assert_eq!(found.mode() & 0o777, 0o700);
    assert_eq!(found.uid(), data.unwrap().uid());
    let seven: String = connected(&url, async |connection| {
        let query = sqlx::query_scalar("select 7::text");
        query.fetch_one(connection).await.unwrap()
    });
    assert_eq!(seven, "7");
    // A second user finds the same socket, and nothing is left of it after the cluster.
    let second = folder.ensure(Purpose::Tests);
    assert_eq!(second.url("postgres"), url);
    drop((cluster, second, folder));
    assert!(eventually(|| !sockets.exists()), "{url} is left behind");
}

#[test]
fn path_too_long_for_the_server_is_refused() {
    let folder = Folder::new();
    let mut deep = folder.dir.clone();
    deep.extend((0..5).map(|_| "long".repeat(50)));
    let error = ensure(&deep, Purpose::Tests).unwrap_err();
    assert!(matches!(error, ClusterError::PathTooLong { .. }), "{error}");
}

#[test]
fn folder_with_other_files_is_left_alone() {
    let folder = Folder::of_normal_user();
    fs::create_dir(&folder.dir).unwrap();
    fs::set_permissions(&folder.dir, Permissions::from_mode(0o755)).unwrap();
    fs::write(folder.dir.join("diary"), "").unwrap();
    chown(&folder.dir, folder.normal_user, folder.normal_user).unwrap();
    let errors = stderr_of(&folder.shell("true").output().unwrap());
    assert!(errors.contains("is not an empty folder"), "{errors}");
    assert_eq!(folder.dir.metadata().unwrap().mode() & 0o777, 0o755);
    assert_eq!(fs::read_dir(&folder.dir).unwrap().count(), 1);
}

#[test]
fn planted_symbolic_link_is_not_followed() {
    let folder = Folder::new();
    let target = folder.temp.path().join("target");
    fs::create_dir(&target).unwrap();
    symlink(&target, &folder.dir).unwrap();
    let error = folder.try_ensure(Purpose::Tests).unwrap_err();
    assert!(matches!(error, ClusterError::NotOurs { .. }), "{error}");
    assert_eq!(target.metadata().unwrap().uid(), geteuid().as_raw());
}

#[test]
fn missing_server_programs_are_reported_with_the_remedies() {
    let folder = Folder::of_normal_user();
    let output = folder
        .shell("true")
        .env("PATH", "/nonexistent")
        .env("HOME", folder.temp.path())
        .env("LMN_NO_SYSTEM_POSTGRES", "1")
        .env_remove("PG_BIN_DIR")
        .env_remove("XDG_CACHE_HOME")
        .output()
        .unwrap();
    let errors = stderr_of(&output);
    for remedy in [
        "apt-get install postgresql",
        "PG_BIN_DIR",
        "DATABASE_URL",
        "docker compose up",
    ] {
        assert!(errors.contains(remedy), "{errors}");
    }
    assert!(!output.status.success());
}

#[test]
fn server_of_a_normal_user_runs_as_that_user_and_stops_with_it() {
    let folder = Folder::of_normal_user();
    let mut user = folder.user();
    user.wait_until_served();
    run(&folder, "create table kept as select 7 as seven");
    let owner = folder.data().metadata().unwrap().uid();
    assert_eq!(owner, folder.normal_user.unwrap_or(geteuid().as_raw()));
    assert_eq!(folder.dir.metadata().unwrap().mode() & 0o777, 0o700);
    user.process.kill().unwrap();
    folder.wait_for_the_end();
    let mut later = folder.user();
    later.wait_until_served();
    assert_eq!(ask(&folder, "select seven from kept"), "7");
}

#[test]
fn server_of_root_runs_as_another_account() {
    if !geteuid().is_root() {
        return;
    }
    let folder = Folder::new();
    let cluster = folder.ensure(Purpose::Tests);
    assert_eq!(cluster.dir(), folder.dir);
    assert_ne!(folder.data().metadata().unwrap().uid(), 0);
    assert_eq!(folder.dir.metadata().unwrap().mode() & 0o777, 0o700);
}

#[test]
fn cluster_of_root_is_made_where_the_other_account_can_reach_it() {
    if !geteuid().is_root() {
        return;
    }
    let closed = tempfile::tempdir().unwrap();
    fs::set_permissions(closed.path(), Permissions::from_mode(0o700)).unwrap();
    let notices = RefCell::new(String::new());
    let notice = |line: &str| notices.borrow_mut().push_str(line);
    let wanted = closed.path().join("pg");
    let cluster = Cluster::ensure(&wanted, Purpose::Tests, &supervisor(), &notice).unwrap();
    let mut folder = Folder::new();
    folder.dir = cluster.dir().to_owned();
    assert!(cluster.dir().starts_with("/var/lib"), "{cluster:?}");
    assert!(
        notices.borrow().contains(cluster.dir().to_str().unwrap()),
        "{notices:?}"
    );
    assert_eq!(ask(&folder, "select 1"), "1");
}

/// The folder of a test's cluster; dropping it stops the server and removes all files.
struct Folder {
    dir: PathBuf,
    program: PathBuf,
    /// The normal user as which root runs programs here.
    normal_user: Option<u32>,
    temp: TempDir,
}

impl Folder {
    fn new() -> Self {
        let temp = tempfile::tempdir().unwrap();
        // Accessible to the account of root's server.
        fs::set_permissions(temp.path(), Permissions::from_mode(0o755)).unwrap();
        let dir = temp.path().join("pg");
        Self {
            dir,
            program: LMN.into(),
            normal_user: None,
            temp,
        }
    }

    /// Makes the folder of a normal user, with the program where that user can reach it.
    fn of_normal_user() -> Self {
        let mut folder = Self::new();
        if geteuid().is_root() {
            let program = folder.temp.path().join("lmn");
            fs::hard_link(LMN, &program)
                .or_else(|_| fs::copy(LMN, &program).map(drop))
                .unwrap();
            chown(folder.temp.path(), Some(NORMAL_USER), Some(NORMAL_USER)).unwrap();
            folder.program = program;
            folder.normal_user = Some(NORMAL_USER);
        }
        folder
    }

    fn ensure(&self, purpose: Purpose) -> Cluster {
        self.try_ensure(purpose)
            .unwrap_or_else(|error| panic!("{error}"))
    }

    fn try_ensure(&self, purpose: Purpose) -> Result<Cluster, ClusterError> {
        ensure(&self.dir, purpose)
    }

    /// Returns a command that uses the cluster while it runs a shell script.
    fn shell(&self, script: &str) -> Command {
        let mut command = Command::new(&self.program);
        command
            .args(["dev-db", "with", "--dir"])
            .arg(&self.dir)
            .args(["--", "/bin/sh", "-c", script]);
        if let Some(user) = self.normal_user {
            command.uid(user).gid(user);
        }
        command.current_dir("/");
        command
    }

    /// Starts a process that uses the cluster until the returned value is dropped.
    fn user(&self) -> User {
        let mut command = self.shell("echo served; cat");
        command.stdin(Stdio::piped()).stdout(Stdio::piped());
        User {
            process: command.spawn().unwrap(),
        }
    }

    fn data(&self) -> PathBuf {
        self.dir.join("data")
    }

    fn server(&self) -> Pid {
        number_in(&self.data().join("postmaster.pid")).unwrap()
    }

    fn supervisor(&self) -> Pid {
        number_in(&self.dir.join("supervisor.lock")).unwrap()
    }

    fn has_no_supervisor(&self) -> bool {
        File::open(self.dir.join("supervisor.lock"))
            .is_ok_and(|lock| lock.try_lock_shared().is_ok())
    }

    /// Returns the data folders that are still being made.
    fn unfinished(&self) -> Vec<PathBuf> {
        let entries = fs::read_dir(&self.dir).into_iter().flatten().flatten();
        entries
            .map(|entry| entry.path())
            .filter(|path| path.to_str().unwrap().contains("data.new"))
            .collect()
    }

    /// Stops the server at once; the supervisor would first wait for further users.
    fn stop(&self) {
        let server = self.server();
        kill_process(self.supervisor(), Signal::KILL).unwrap();
        kill_process(server, Signal::INT).unwrap();
        self.wait_for_the_end();
    }

    fn wait_for_the_end(&self) {
        let has_ended = || self.has_no_supervisor() && !self.data().join("postmaster.pid").exists();
        assert!(eventually(has_ended), "the server did not stop");
    }
}

impl Drop for Folder {
    /// Removes the folder of a server that still runs, which is one way to stop it.
    fn drop(&mut self) {
        let server = number_in(&self.data().join("postmaster.pid"));
        // The lock and not the process id, which a supervisor started by this process keeps until this process ends.
        let supervisor = File::open(self.dir.join("supervisor.lock"));
        let removed = eventually(|| fs::remove_dir_all(&self.dir).is_ok() || !self.dir.exists());
        let ended = eventually(|| {
            server.is_none_or(|server| test_kill_process(server).is_err())
                && supervisor
                    .as_ref()
                    .map_or(true, |lock| lock.try_lock_shared().is_ok())
        });
        if !thread::panicking() {
            assert!(removed && ended, "{} is left behind", self.dir.display());
        }
    }
}

/// A process that uses a cluster.
struct User {
    process: Child,
}

impl User {
    fn wait_until_served(&mut self) {
        let output = self.process.stdout.as_mut().unwrap();
        let mut line = String::new();
        BufReader::new(output).read_line(&mut line).unwrap();
        assert_eq!(line, "served\n");
    }
}

impl Drop for User {
    fn drop(&mut self) {
        self.process.kill().unwrap();
        self.process.wait().unwrap();
    }
}

fn supervisor() -> Supervisor {
    dev_db::supervisor(LMN)
}

fn ensure(dir: &Path, purpose: Purpose) -> Result<Cluster, ClusterError> {
    Cluster::ensure(dir, purpose, &supervisor(), &|line| println!("{line}"))
}

fn number_in(file: &Path) -> Option<Pid> {
    Pid::from_raw(
        fs::read_to_string(file)
            .ok()?
            .lines()
            .next()?
            .trim()
            .parse()
            .ok()?,
    )
}

/// Waits up to 30 s for a condition; returns whether it holds.
fn eventually(condition: impl Fn() -> bool) -> bool {
    let began = Instant::now();
    while !condition() {
        if began.elapsed() > Duration::from_secs(30) {
            return false;
        }
        thread::sleep(Duration::from_millis(20));
    }
    true
}

/// Runs statements on a cluster.
fn run(folder: &Folder, statements: &str) {
    with_connection(folder, async |connection| {
        connection.execute(AssertSqlSafe(statements)).await.unwrap();
    });
}

/// Returns the single value of a query as text.
fn ask(folder: &Folder, query: &str) -> String {
    let query = format!("select answer::text from ({query}) as query(answer)");
    with_connection(folder, async |connection| {
        sqlx::query_scalar(AssertSqlSafe(query))
            .fetch_one(connection)
            .await
            .unwrap()
    })
}

fn with_connection<T>(folder: &Folder, work: impl AsyncFnOnce(&mut PgConnection) -> T) -> T {
    let url = format!(
        "postgres://postgres@localhost/postgres?host={}",
        folder.dir.display()
    );
    connected(&url, work)
}

/// Works on a connection to a database.
fn connected<T>(url: &str, work: impl AsyncFnOnce(&mut PgConnection) -> T) -> T {
    let runtime = Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let mut connection = PgConnection::connect(url).await.unwrap();
        work(&mut connection).await
    })
}

fn stderr_of(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}
