//! A program that partners are shown, and what it says.

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

/// How long a program may say nothing that is waited for.
const PATIENCE: Duration = Duration::from_secs(50);

/// Which of them.
#[derive(Debug, Clone, Copy)]
pub enum Language {
    Rust,
    Python,
}

/// How long it waits for an attempt and for all of them, in milliseconds.
#[derive(Debug, Clone, Copy)]
pub struct Times {
    pub attempt: u32,
    pub total: u32,
}

impl Times {
    /// Little for an attempt that is not answered, and much for all of them.
    pub const USUAL: Self = Self {
        attempt: 400,
        total: 20_000,
    };
}

/// A running one, killed when it is dropped.
pub struct Program {
    child: Child,
    lines: Receiver<String>,
    /// Everything that it said.
    pub said: Vec<String>,
}

/// Where a program keeps its key and its journal, so that it can be started again.
pub struct Desk(TempDir);

impl Desk {
    pub fn new(api_key: &str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join("key"), api_key).unwrap();
        Self(folder)
    }

    fn file(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    /// Returns what is written down of every intention under a name.
    pub fn journal(&self, name: &str) -> Vec<Value> {
        let journal = fs::read(self.file("journal.json")).unwrap();
        let journal: Value = serde_json::from_slice(&journal).unwrap();
        let intentions = journal.as_array().unwrap().iter();
        intentions.map(|it| it[name].clone()).collect()
    }

    /// Returns the keys of the intentions that are written down.
    pub fn keys(&self) -> Vec<String> {
        let keys = self.journal("key");
        keys.iter()
            .map(|it| it.as_str().unwrap().to_owned())
            .collect()
    }
}

impl Program {
    /// Starts one that shall have `orders` orders.
    pub fn start(language: Language, api: &str, desk: &Desk, orders: usize, times: Times) -> Self {
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
            .args([desk.file("key"), desk.file("journal.json")])
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
        let (told, lines) = channel();
        let output = BufReader::new(child.stdout.take().unwrap()).lines();
        // It ends with the program, and so does what it tells.
        thread::spawn(move || {
            output
                .map_while(Result::ok)
                .try_for_each(|it| told.send(it))
        });
        Self {
            child,
            lines,
            said: Vec::new(),
        }
    }

    /// Reads on until it says something that begins like this, and returns that.
    pub fn until(&mut self, beginning: &str) -> String {
        loop {
            let line = self.lines.recv_timeout(PATIENCE).unwrap_or_else(|error| {
                panic!("{error}: it never said `{beginning}`: {:#?}", self.said)
            });
            self.said.push(line.clone());
            if line.starts_with(beginning) {
                return line;
            }
        }
    }

    /// Waits until it ends by itself, and says whether that is a success.
    pub fn ends(&mut self) -> bool {
        loop {
            match self.lines.recv_timeout(PATIENCE) {
                Ok(line) => self.said.push(line),
                Err(RecvTimeoutError::Disconnected) => break,
                Err(RecvTimeoutError::Timeout) => panic!("it goes on: {:#?}", self.said),
            }
        }
        self.child.wait().unwrap().success()
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.child.kill();
        self.child.wait().unwrap();
    }
}

/// Returns where Cargo puts the example: it is built along with the tests.
fn binary() -> PathBuf {
    let test = env::current_exe().unwrap();
    let profile = test.parent().and_then(Path::parent).unwrap();
    profile.join("examples/partner")
}

fn file(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(path)
}
