//! A process of an example integration, and its output.

use std::{
    env, fs,
    io::{BufRead, BufReader},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    sync::mpsc::{Receiver, RecvTimeoutError, channel},
    thread,
    time::Duration,
};

use serde_json::Value;
use tempfile::TempDir;

/// Longest wait for a line of output.
const PATIENCE: Duration = Duration::from_secs(50);

/// The language of the integration.
#[derive(Debug, Clone, Copy)]
pub enum Language {
    Rust,
    Python,
}

/// Timeouts of one attempt and of all attempts of a request together, in milliseconds.
#[derive(Debug, Clone, Copy)]
pub struct Times {
    pub attempt: u32,
    pub total: u32,
}

impl Times {
    /// A short timeout for an attempt, and a long one for all attempts.
    pub const USUAL: Self = Self {
        attempt: 400,
        total: 20_000,
    };
}

/// A running program, killed on drop.
pub struct Program {
    child: Child,
    lines: Receiver<String>,
    /// All lines of output read so far.
    pub output: Vec<String>,
}

/// The folder with the API key and the journal of a program, with which the program can be started again.
pub struct Workspace(TempDir);

impl Workspace {
    pub fn new(api_key: &str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join("key"), api_key).unwrap();
        Self(folder)
    }

    fn file(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    /// Returns a member of every intended order in the journal.
    pub fn journal(&self, name: &str) -> Vec<Value> {
        let journal = fs::read(self.file("journal.json")).unwrap();
        let journal: Value = serde_json::from_slice(&journal).unwrap();
        let orders = journal.as_array().unwrap().iter();
        orders.map(|it| it[name].clone()).collect()
    }

    /// Returns the idempotency keys in the journal.
    pub fn keys(&self) -> Vec<String> {
        let keys = self.journal("key");
        keys.iter()
            .map(|it| it.as_str().unwrap().to_owned())
            .collect()
    }
}

impl Program {
    /// Starts a program that places `orders` orders.
    pub fn start(
        language: Language,
        api: &str,
        workspace: &Workspace,
        orders: usize,
        times: Times,
    ) -> Self {
        let mut command = match language {
            Language::Rust => Command::new(binary()),
            Language::Python => {
                let mut python = Command::new("python3");
                python.arg("-B").arg(file("examples/python/partner.py"));
                python
            }
        };
        let child = command
            .arg(api)
            .args([workspace.file("key"), workspace.file("journal.json")])
            .arg(orders.to_string())
            .env("PARTNER_ATTEMPT_MS", times.attempt.to_string())
            .env("PARTNER_TOTAL_MS", times.total.to_string())
            .env("PARTNER_FIRST_PAUSE_MS", "20")
            .stdout(Stdio::piped())
            .spawn();
        let mut child = child.unwrap_or_else(|error| match language {
            Language::Rust => panic!("`cargo build --example partner` makes it: {error}"),
            Language::Python => panic!("this test needs python3 (README, Run it): {error}"),
        });
        let (sender, lines) = channel();
        let stdout = BufReader::new(child.stdout.take().unwrap()).lines();
        // The thread ends with the program's output.
        thread::spawn(move || {
            stdout
                .map_while(Result::ok)
                .try_for_each(|it| sender.send(it))
        });
        Self {
            child,
            lines,
            output: Vec::new(),
        }
    }

    /// Reads output until a line begins with `beginning`; returns that line.
    pub fn until(&mut self, beginning: &str) -> String {
        loop {
            let line = self.lines.recv_timeout(PATIENCE).unwrap_or_else(|error| {
                panic!(
                    "{error}: no line begins with `{beginning}`: {:#?}",
                    self.output
                )
            });
            self.output.push(line.clone());
            if line.starts_with(beginning) {
                return line;
            }
        }
    }

    /// Waits until the program ends by itself; returns whether it succeeded.
    pub fn ends(&mut self) -> bool {
        loop {
            match self.lines.recv_timeout(PATIENCE) {
                Ok(line) => self.output.push(line),
                Err(RecvTimeoutError::Disconnected) => break,
                Err(RecvTimeoutError::Timeout) => {
                    panic!("the program does not end: {:#?}", self.output)
                }
            }
        }
        self.child.wait().unwrap().success()
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        // The program may have ended by itself.
        let _ = self.child.kill();
        self.child.wait().unwrap();
    }
}

/// Returns the path at which Cargo puts the example, which is built along with the tests.
fn binary() -> PathBuf {
    let test = env::current_exe().unwrap();
    let profile = test.parent().and_then(Path::parent).unwrap();
    profile.join("examples/partner")
}

fn file(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(path)
}
