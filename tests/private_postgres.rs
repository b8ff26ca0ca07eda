//! The private PostgreSQL with real processes: who starts it, who it runs as, and that it ends however its users do.
//!
//! Run as root, the tests also play a normal user; run as a normal user, those about root have nothing to show and pass.

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

use lmn_partner_api::database::embedded::{Cluster, EmbeddedError, Keeper, Purpose};
use rustix::process::{Pid, Signal, geteuid, kill_process, test_kill_process};
use sqlx::{AssertSqlSafe, Connection, Executor, PgConnection};
use tempfile::TempDir;
use tokio::runtime::Builder;

/// The program under test.
const LMN: &str = env!("CARGO_BIN_EXE_lmn");
/// The normal user that root plays: the account `nobody`, nearly everywhere.
const NORMAL_USER: u32 = 65534;

#[test]
fn a_second_user_shares_the_server_and_a_later_one_finds_the_data() {
    let place = Place::new();
    let first = place.ensure(Purpose::Tests);
    run(&place, "create table kept as select 7 as seven");
    assert_eq!(ask(&place, "select current_setting('fsync')"), "off");
    let second = place.ensure(Purpose::Tests);
    let server = place.server();
    drop(first);
    assert_eq!(ask(&place, "select seven from kept"), "7");
    assert_eq!(place.server(), server);
    drop(second);
    place.stop();
    let _later = place.ensure(Purpose::Tests);
    assert_ne!(place.server(), server);
    assert_eq!(ask(&place, "select seven from kept"), "7");
}

#[test]
fn the_server_of_a_killed_user_stops_by_itself_and_keeps_the_data() {
    // This one is in use all the time, so it must outlast the other.
    let used = Place::new();
    let _using = used.ensure(Purpose::Data);
    let place = Place::new();
    let mut user = place.user();
    user.wait_until_served();
    run(&place, "create table kept as select 7 as seven");
    user.process.kill().unwrap();
    place.wait_for_the_end();
    assert_eq!(ask(&used, "select 1"), "1");
    let _later = place.ensure(Purpose::Data);
    assert_eq!(ask(&place, "select seven from kept"), "7");
    assert_eq!(ask(&place, "select current_setting('fsync')"), "on");
}

#[test]
fn the_server_of_a_killed_keeper_is_adopted_and_still_stops() {
    let place = Place::new();
    let first = place.ensure(Purpose::Data);
    let server = place.server();
    kill_process(place.keeper(), Signal::KILL).unwrap();
    assert!(eventually(|| place.has_no_keeper()));
    let second = place.ensure(Purpose::Data);
    assert_eq!(place.server(), server);
    assert!(!place.has_no_keeper());
    drop((first, second));
    place.wait_for_the_end();
}

#[test]
fn a_killed_server_is_started_anew_once_its_last_process_has_ended() {
    let place = Place::new();
    let _using = place.ensure(Purpose::Tests);
    // Takes longer than a start, and looks neither left nor right before it has the answer.
    let busy = "select count(*) from generate_series(1, 4000000)";
    let others = "select count(*) from pg_stat_activity where query ~ '^select count.*series'";
    thread::scope(|scope| {
        scope.spawn(|| with_connection(&place, async |other| drop(other.execute(busy).await)));
        assert!(eventually(|| ask(&place, others) == "1"));
        let server = place.server();
        kill_process(server, Signal::KILL).unwrap();
        assert!(eventually(|| test_kill_process(server).is_err()));
        let _later = place.ensure(Purpose::Tests);
        assert_eq!(ask(&place, "select 1"), "1");
    });
}

#[test]
fn many_that_come_at_once_make_one_cluster() {
    let place = Place::new();
    let mut users: Vec<User> = (0..5).map(|_| place.user()).collect();
    let mut servers: Vec<Pid> = users
        .iter_mut()
        .map(|user| {
            user.wait_until_served();
            place.server()
        })
        .collect();
    servers.dedup();
    assert_eq!(servers.len(), 1, "{servers:?}");
    assert_eq!(place.unfinished(), Vec::<PathBuf>::new());
}

#[test]
fn a_start_that_is_killed_midway_leaves_nothing_half_made() {
    let place = Place::new();
    let mut user = place.user();
    assert!(eventually(|| !place.unfinished().is_empty()));
    user.process.kill().unwrap();
    let _later = place.ensure(Purpose::Tests);
    assert_eq!(ask(&place, "select 1"), "1");
    assert_eq!(place.unfinished(), Vec::<PathBuf>::new());
}

#[test]
fn pid_files_left_by_a_crash_do_not_block_a_start() {
    let place = Place::new();
    let cluster = place.ensure(Purpose::Tests);
    let files = ["data/postmaster.pid", ".s.PGSQL.5432.lock"].map(|name| place.dir.join(name));
    let contents = files
        .each_ref()
        .map(|file| fs::read_to_string(file).unwrap());
    drop(cluster);
    place.stop();
    // As after a power cut the files are there, and their number now belongs to another process of the server's account.
    let owner = place.data().metadata().unwrap();
    let mut bystander = Command::new("sleep");
    bystander.arg("600");
    if geteuid().is_root() {
        bystander.uid(owner.uid()).gid(owner.gid());
    }
    let mut bystander = bystander.spawn().unwrap();
    for (file, content) in files.iter().zip(contents) {
        let (_, rest) = content.split_once('\n').unwrap();
        fs::write(file, format!("{}\n{rest}", bystander.id())).unwrap();
        chown(file, Some(owner.uid()), Some(owner.gid())).unwrap();
        fs::set_permissions(file, Permissions::from_mode(0o600)).unwrap();
    }
    let started = place.try_ensure(Purpose::Tests);
    let spared = bystander.try_wait().unwrap().is_none();
    bystander.kill().unwrap();
    bystander.wait().unwrap();
    started.unwrap();
    assert!(spared, "the bystander was taken for the server");
}

#[test]
fn what_stands_in_the_way_of_a_start_is_said_at_once() {
    let place = Place::new();
    drop(place.ensure(Purpose::Tests));
    place.stop();
    let began = Instant::now();

    let settings = place.data().join("postgresql.conf");
    let mut settings = File::options().append(true).open(settings).unwrap();
    settings.write_all(b"no_such_setting = 1\n").unwrap();
    let refusal = place.try_ensure(Purpose::Tests).unwrap_err();
    assert!(
        matches!(refusal, EmbeddedError::EndedAtStart { .. }),
        "{refusal}"
    );
    assert!(refusal.to_string().contains("contains errors"), "{refusal}");

    fs::write(place.data().join("PG_VERSION"), "7\n").unwrap();
    let refusal = place.try_ensure(Purpose::Tests).unwrap_err();
    assert!(
        refusal.to_string().contains("made by PostgreSQL 7"),
        "{refusal}"
    );
    assert!(
        began.elapsed() < Duration::from_secs(20),
        "{:?}",
        began.elapsed()
    );
}

#[test]
fn a_path_too_long_for_a_socket_is_refused() {
    let place = Place::new();
    let refusal = ensure(&place.dir.join("long".repeat(20)), Purpose::Tests).unwrap_err();
    assert!(
        matches!(refusal, EmbeddedError::PathTooLong { .. }),
        "{refusal}"
    );
}

#[test]
fn a_folder_with_something_else_in_it_is_left_alone() {
    let place = Place::of_normal_user();
    fs::create_dir(&place.dir).unwrap();
    fs::set_permissions(&place.dir, Permissions::from_mode(0o755)).unwrap();
    fs::write(place.dir.join("diary"), "").unwrap();
    chown(&place.dir, place.played, place.played).unwrap();
    let said = said(&place.shell("true").output().unwrap());
    assert!(said.contains("is not an empty folder"), "{said}");
    assert_eq!(place.dir.metadata().unwrap().mode() & 0o777, 0o755);
    assert_eq!(fs::read_dir(&place.dir).unwrap().count(), 1);
}

#[test]
fn a_link_that_was_planted_is_not_followed() {
    let place = Place::new();
    let target = place.temp.path().join("target");
    fs::create_dir(&target).unwrap();
    symlink(&target, &place.dir).unwrap();
    let refusal = place.try_ensure(Purpose::Tests).unwrap_err();
    assert!(
        matches!(refusal, EmbeddedError::NotOurs { .. }),
        "{refusal}"
    );
    assert_eq!(target.metadata().unwrap().uid(), geteuid().as_raw());
}

#[test]
fn without_any_server_the_ways_out_are_said() {
    let place = Place::of_normal_user();
    let output = place
        .shell("true")
        .env("PATH", "/nonexistent")
        .env("HOME", place.temp.path())
        .env("LMN_NO_SYSTEM_POSTGRES", "1")
        .env_remove("PG_BIN_DIR")
        .env_remove("XDG_CACHE_HOME")
        .output()
        .unwrap();
    let said = said(&output);
    for way in [
        "apt-get install postgresql",
        "PG_BIN_DIR",
        "DATABASE_URL",
        "docker compose up",
    ] {
        assert!(said.contains(way), "{said}");
    }
    assert!(!output.status.success());
}

#[test]
fn a_normal_user_s_server_runs_as_that_user_and_stops_likewise() {
    let place = Place::of_normal_user();
    let mut user = place.user();
    user.wait_until_served();
    run(&place, "create table kept as select 7 as seven");
    let owner = place.data().metadata().unwrap().uid();
    assert_eq!(owner, place.played.unwrap_or(geteuid().as_raw()));
    assert_eq!(place.dir.metadata().unwrap().mode() & 0o777, 0o700);
    user.process.kill().unwrap();
    place.wait_for_the_end();
    let mut later = place.user();
    later.wait_until_served();
    assert_eq!(ask(&place, "select seven from kept"), "7");
}

#[test]
fn root_hands_the_server_to_another_account() {
    if !geteuid().is_root() {
        return;
    }
    let place = Place::new();
    let cluster = place.ensure(Purpose::Tests);
    assert_eq!(cluster.dir(), place.dir);
    assert_ne!(place.data().metadata().unwrap().uid(), 0);
    assert_eq!(place.dir.metadata().unwrap().mode() & 0o777, 0o700);
}

#[test]
fn root_s_cluster_goes_where_the_account_can_reach_it() {
    if !geteuid().is_root() {
        return;
    }
    let closed = tempfile::tempdir().unwrap();
    fs::set_permissions(closed.path(), Permissions::from_mode(0o700)).unwrap();
    let notices = RefCell::new(String::new());
    let notice = |line: &str| notices.borrow_mut().push_str(line);
    let wanted = closed.path().join("pg");
    let cluster = Cluster::ensure(&wanted, Purpose::Tests, &keeper(), &notice).unwrap();
    let mut place = Place::new();
    place.dir = cluster.dir().to_owned();
    assert!(cluster.dir().starts_with("/var/lib"), "{cluster:?}");
    assert!(
        notices.borrow().contains(cluster.dir().to_str().unwrap()),
        "{notices:?}"
    );
    assert_eq!(ask(&place, "select 1"), "1");
}

/// Where a test's cluster lies; its end is the end of the server and of all files.
struct Place {
    dir: PathBuf,
    program: PathBuf,
    /// The normal user that root plays here.
    played: Option<u32>,
    temp: TempDir,
}

impl Place {
    fn new() -> Self {
        let temp = tempfile::tempdir().unwrap();
        // Open for the account of root's server.
        fs::set_permissions(temp.path(), Permissions::from_mode(0o755)).unwrap();
        let dir = temp.path().join("pg");
        Self {
            dir,
            program: LMN.into(),
            played: None,
            temp,
        }
    }

    /// A place of a normal user, with the program where that user can reach it.
    fn of_normal_user() -> Self {
        let mut place = Self::new();
        if geteuid().is_root() {
            let program = place.temp.path().join("lmn");
            fs::hard_link(LMN, &program)
                .or_else(|_| fs::copy(LMN, &program).map(drop))
                .unwrap();
            chown(place.temp.path(), Some(NORMAL_USER), Some(NORMAL_USER)).unwrap();
            place.program = program;
            place.played = Some(NORMAL_USER);
        }
        place
    }

    fn ensure(&self, purpose: Purpose) -> Cluster {
        self.try_ensure(purpose)
            .unwrap_or_else(|refusal| panic!("{refusal}"))
    }

    fn try_ensure(&self, purpose: Purpose) -> Result<Cluster, EmbeddedError> {
        ensure(&self.dir, purpose)
    }

    /// A process that uses the cluster to run a shell.
    fn shell(&self, script: &str) -> Command {
        let mut command = Command::new(&self.program);
        command
            .args(["dev-db", "with", "--dir"])
            .arg(&self.dir)
            .args(["--", "/bin/sh", "-c", script]);
        if let Some(user) = self.played {
            command.uid(user).gid(user);
        }
        command.current_dir("/");
        command
    }

    /// Starts a process that uses the cluster until it is dropped.
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

    fn keeper(&self) -> Pid {
        number_in(&self.dir.join("keeper.lock")).unwrap()
    }

    fn has_no_keeper(&self) -> bool {
        File::open(self.dir.join("keeper.lock")).is_ok_and(|lock| lock.try_lock_shared().is_ok())
    }

    /// What is still being made.
    fn unfinished(&self) -> Vec<PathBuf> {
        let entries = fs::read_dir(&self.dir).into_iter().flatten().flatten();
        entries
            .map(|entry| entry.path())
            .filter(|path| path.to_str().unwrap().contains("data.new"))
            .collect()
    }

    /// Ends the server at once; the keeper would wait for a while whether somebody comes.
    fn stop(&self) {
        let server = self.server();
        kill_process(self.keeper(), Signal::KILL).unwrap();
        kill_process(server, Signal::INT).unwrap();
        self.wait_for_the_end();
    }

    fn wait_for_the_end(&self) {
        let has_ended = || self.has_no_keeper() && !self.data().join("postmaster.pid").exists();
        assert!(eventually(has_ended), "the server did not stop");
    }
}

impl Drop for Place {
    /// Removes the folder under a server that still runs, which is one way to end it.
    fn drop(&mut self) {
        let server = number_in(&self.data().join("postmaster.pid"));
        // The lock rather than the number, which a keeper started here keeps until this process ends.
        let keeper = File::open(self.dir.join("keeper.lock"));
        let removed = eventually(|| fs::remove_dir_all(&self.dir).is_ok() || !self.dir.exists());
        let ended = eventually(|| {
            server.is_none_or(|server| test_kill_process(server).is_err())
                && keeper
                    .as_ref()
                    .map_or(true, |keeper| keeper.try_lock_shared().is_ok())
        });
        if !thread::panicking() {
            assert!(removed && ended, "{} was left behind", self.dir.display());
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

fn keeper() -> Keeper {
    Keeper::new(LMN, ["dev-db", "keep"])
}

fn ensure(dir: &Path, purpose: Purpose) -> Result<Cluster, EmbeddedError> {
    Cluster::ensure(dir, purpose, &keeper(), &|line| println!("{line}"))
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

/// Waits for a condition, within a limit that only a failure reaches.
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

/// Runs statements on the place's cluster.
fn run(place: &Place, statements: &str) {
    with_connection(place, async |connection| {
        connection.execute(AssertSqlSafe(statements)).await.unwrap();
    });
}

/// Returns the one value of a query, as text.
fn ask(place: &Place, query: &str) -> String {
    let query = format!("select answer::text from ({query}) as query(answer)");
    with_connection(place, async |connection| {
        sqlx::query_scalar(AssertSqlSafe(query))
            .fetch_one(connection)
            .await
            .unwrap()
    })
}

fn with_connection<T>(place: &Place, work: impl AsyncFnOnce(&mut PgConnection) -> T) -> T {
    let url = format!(
        "postgres://postgres@localhost/postgres?host={}",
        place.dir.display()
    );
    let runtime = Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let mut connection = PgConnection::connect(&url).await.unwrap();
        work(&mut connection).await
    })
}

fn said(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}
