//! The real binary as a process of its own, its log going to a file.

use std::{
    ffi::OsStr,
    fs::File,
    io::{BufRead, BufReader},
    net::SocketAddr,
    path::Path,
    process::{Child, Command, Stdio},
};

use anyhow::Context;
use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;

/// A running server; told to stop if it is dropped.
pub struct Server {
    child: Child,
    /// Where it listens.
    pub address: SocketAddr,
}

impl Server {
    /// Starts `lmn serve` with its settings at their defaults, on a database.
    pub fn serve(
        database_url: &str,
        settings: &[(&str, &str)],
        scratch: &Path,
    ) -> anyhow::Result<Self> {
        let mut variables = vec![
            ("DATABASE_URL", database_url),
            ("LMN_SERVER__LISTEN", "127.0.0.1:0"),
        ];
        variables.extend_from_slice(settings);
        Self::start(&["serve", "--json"], &variables, scratch)
    }

    /// Starts `lmn serve --no-worker`, so that nothing is done but what is asked for.
    pub fn serve_only(
        database_url: &str,
        settings: &[(&str, &str)],
        scratch: &Path,
    ) -> anyhow::Result<Self> {
        let mut variables = vec![
            ("DATABASE_URL", database_url),
            ("LMN_SERVER__LISTEN", "127.0.0.1:0"),
        ];
        variables.extend_from_slice(settings);
        Self::start(&["serve", "--no-worker", "--json"], &variables, scratch)
    }

    /// Starts the binary and waits for the line that it prints when it is ready.
    pub fn start(
        arguments: &[&str],
        variables: &[(&str, &str)],
        scratch: &Path,
    ) -> anyhow::Result<Self> {
        Self::run(lmn(arguments, variables), scratch)
    }

    /// Starts a command that prints where it listens, as the binary does.
    pub fn run(mut command: Command, scratch: &Path) -> anyhow::Result<Self> {
        let log = scratch.join("server.log");
        let mut child = command
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(File::create(&log)?)
            .spawn()?;
        let mut line = String::new();
        let stdout = child.stdout.take().context("the server has no output")?;
        BufReader::new(stdout).read_line(&mut line)?;
        let ready: Value = serde_json::from_str(&line).with_context(|| {
            let words = std::fs::read_to_string(&log).unwrap_or_default();
            format!("the server is not ready; it said `{line}` and {words}")
        })?;
        let address = ready["url"]
            .as_str()
            .and_then(|url| url.strip_prefix("http://")?.parse().ok())
            .with_context(|| format!("the server did not say its address: {line}"))?;
        Ok(Self { child, address })
    }

    /// Returns its number.
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Stops it as an operator would.
    pub fn stop(mut self) -> anyhow::Result<()> {
        kill_process(Pid::from_child(&self.child), Signal::TERM)?;
        let status = self.child.wait()?;
        anyhow::ensure!(status.success(), "the server ended with {status}");
        Ok(())
    }
}

/// Makes a command of the real binary, with these settings alone.
pub fn lmn(arguments: &[&str], variables: &[(&str, impl AsRef<OsStr>)]) -> Command {
    let inherited = std::env::vars_os().filter(|(name, _)| {
        let name = name.to_string_lossy();
        name.starts_with("LMN_") || name.starts_with("DATABASE_URL")
    });
    let mut command = Command::new(env!("CARGO_BIN_EXE_lmn"));
    for (name, _) in inherited {
        command.env_remove(name);
    }
    command.args(arguments);
    for (name, value) in variables {
        command.env(name, value);
    }
    command
}

impl Drop for Server {
    fn drop(&mut self) {
        // It has ended already unless something went wrong.
        if matches!(self.child.try_wait(), Ok(None)) {
            let _ = self.child.kill();
            let _ = self.child.wait();
        }
    }
}
