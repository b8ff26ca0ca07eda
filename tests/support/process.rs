//! The binary `lmn`: commands that run to their end, and servers.

use std::{
    io::{BufRead, BufReader},
    process::{Child, Command, Output, Stdio},
};

use serde_json::Value;

/// Returns a command of the binary without the settings of the test's environment. A server that it starts listens on
/// free ports, because processes of several tests run at once.
pub fn lmn(arguments: &[&str], variables: &[(&str, &str)]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_lmn"));
    let inherited = std::env::vars()
        .filter(|(name, _)| name.starts_with("LMN_") || name.starts_with("DATABASE_URL"));
    for (name, _) in inherited {
        command.env_remove(name);
    }
    command
        .args(arguments)
        .env("LMN_SERVER__LISTEN", "127.0.0.1:0")
        .env("LMN_OPERATOR__LISTEN", "127.0.0.1:0")
        // No load balancer has to notice that a server stops.
        .env("LMN_SERVER__DRAIN_GRACE_MILLISECONDS", "0")
        .envs(variables.iter().copied())
        .stdin(Stdio::null());
    command
}

/// Runs a command to its end.
pub fn run(arguments: &[&str], variables: &[(&str, &str)]) -> Output {
    lmn(arguments, variables).output().expect("the binary runs")
}

/// Returns the standard error of a command as text.
pub fn words(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

/// Returns a command of the binary on a database. Settings are named as in the environment, without the prefix `LMN_`;
/// it logs errors only, unless they say otherwise.
pub fn lmn_on(database_url: &str, arguments: &[&str], settings: &[(&str, &str)]) -> Command {
    let settings = settings
        .iter()
        .map(|(name, value)| (format!("LMN_{name}"), value));
    let mut command = lmn(arguments, &[("DATABASE_URL", database_url)]);
    command.env("LMN_LOG__FILTER", "error").envs(settings);
    command
}

/// A running server, killed when it is dropped.
pub struct Process {
    child: Option<Child>,
    /// The line that it printed when it became ready.
    pub ready: Value,
}

impl Process {
    /// Starts a server on a database, by a command and settings as for [`lmn_on`].
    pub fn on(database_url: &str, arguments: &[&str], settings: &[(&str, &str)]) -> Self {
        Self::run(lmn_on(database_url, arguments, settings))
    }

    /// Starts a server that prints one line of JSON once it is ready.
    pub fn start(arguments: &[&str], variables: &[(&str, &str)]) -> Self {
        Self::run(lmn(arguments, variables))
    }

    /// Starts a server by a given command.
    pub fn run(command: Command) -> Self {
        Self::run_with_log(command, Stdio::piped())
    }

    /// Starts a server by a given command and redirects its log. A log larger than the pipe buffer needs a file.
    pub fn run_with_log(mut command: Command, log: impl Into<Stdio>) -> Self {
        let mut child = command
            .stdout(Stdio::piped())
            .stderr(log)
            .spawn()
            .expect("the binary runs");
        let mut line = String::new();
        let stdout = child.stdout.take().expect("its output is ours");
        BufReader::new(stdout)
            .read_line(&mut line)
            .expect("its output can be read");
        match serde_json::from_str(&line) {
            Ok(ready) => Self {
                child: Some(child),
                ready,
            },
            Err(error) => {
                let output = child.wait_with_output().expect("it ends");
                panic!("{error} in `{line}`: {}", words(&output))
            }
        }
    }

    /// Returns the process id.
    pub fn id(&self) -> u32 {
        self.child.as_ref().expect("it is running").id()
    }

    /// Returns the URL of the API.
    pub fn url(&self) -> &str {
        self.ready["url"].as_str().expect("it prints its URL")
    }

    /// Returns the URL of the operator's listener.
    pub fn operator_url(&self) -> &str {
        self.ready["operator_url"]
            .as_str()
            .expect("it prints its operator's URL")
    }

    /// Kills the process without a graceful stop.
    pub fn kill(self) {
        drop(self);
    }

    /// Sends a signal to the server.
    pub fn signal(&self, signal: rustix::process::Signal) {
        let child = self.child.as_ref().expect("it is running");
        let id = rustix::process::Pid::from_child(child);
        rustix::process::kill_process(id, signal).expect("it was alive");
    }

    /// Stops the server gracefully, and returns its output.
    pub fn stop(self) -> Output {
        self.signal(rustix::process::Signal::TERM);
        self.wait()
    }

    /// Waits until the server ends, and returns its output.
    pub fn wait(mut self) -> Output {
        let child = self.child.take().expect("it is running");
        child.wait_with_output().expect("it ends")
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        if let Some(mut child) = self.child.take() {
            child.kill().expect("it was alive");
            child.wait().expect("it is dead");
        }
    }
}
