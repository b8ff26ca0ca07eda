//! The real binary as a process of its own, with its log in a file.

use std::{
    ffi::OsStr,
    fs::File,
    io::{BufRead, BufReader},
    net::SocketAddr,
    path::Path,
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};

use anyhow::Context;
use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;
use tokio::time::sleep;

use super::http::{Client, Expected};

/// The response of a server that is ready.
const READY: Expected = Expected {
    status: "200",
    header: "\r\ncontent-type: application/json\r\n",
};
/// Time within which a server that prints its address becomes ready.
const READY_LIMIT: Duration = Duration::from_secs(10);
/// Pause between two requests that check whether a server is ready.
const READY_STEP: Duration = Duration::from_millis(2);

/// A running server, killed on drop.
pub struct Server {
    child: Child,
    started: Instant,
    /// The address of the listener for partners.
    pub address: SocketAddr,
    /// The address of the operator's listener, if there is one.
    operator: Option<SocketAddr>,
}

impl Server {
    /// Starts `lmn serve` on a database, with default settings but for the given ones.
    pub fn serve(
        database_url: &str,
        settings: &[(&str, &str)],
        scratch: &Path,
    ) -> anyhow::Result<Self> {
        let variables = variables(database_url, settings);
        Self::start(&["serve", "--json"], &variables, scratch)
    }

    /// Starts `lmn serve --no-worker`, so that the server does no work but that of the requests.
    pub fn serve_only(
        database_url: &str,
        settings: &[(&str, &str)],
        scratch: &Path,
    ) -> anyhow::Result<Self> {
        let variables = variables(database_url, settings);
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

    /// Starts a command that prints its addresses, as the binary does.
    pub fn run(mut command: Command, scratch: &Path) -> anyhow::Result<Self> {
        let log = scratch.join("server.log");
        let started = Instant::now();
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
            format!("the server is not ready; it printed `{line}` and logged {words}")
        })?;
        let address = |member: &str| {
            ready[member]
                .as_str()?
                .strip_prefix("http://")?
                .parse()
                .ok()
        };
        Ok(Self {
            child,
            started,
            address: address("url")
                .with_context(|| format!("the server did not print its address: {line}"))?,
            operator: address("operator_url"),
        })
    }

    /// Waits until `GET /readyz` answers 200; returns the time since the process was started.
    pub async fn ready(&self) -> anyhow::Result<Duration> {
        let operator = self
            .operator
            .context("the server has no operator's listener")?;
        let printed = Instant::now();
        loop {
            let mut client = Client::connect(operator).await?;
            let request = b"GET /readyz HTTP/1.1\r\nhost: localhost\r\n\r\n";
            let answer = client.ask(request, READY).await.map(drop);
            match answer {
                Ok(()) => return Ok(self.started.elapsed()),
                Err(error) if printed.elapsed() > READY_LIMIT => return Err(error),
                Err(_) => sleep(READY_STEP).await,
            }
        }
    }

    /// Returns the process id of the server.
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Stops the server with SIGTERM.
    pub fn stop(mut self) -> anyhow::Result<()> {
        kill_process(Pid::from_child(&self.child), Signal::TERM)?;
        let status = self.child.wait()?;
        anyhow::ensure!(status.success(), "the server ended with {status}");
        Ok(())
    }
}

/// Returns environment variables for the database, free ports and the given settings.
fn variables<'a>(
    database_url: &'a str,
    settings: &[(&'a str, &'a str)],
) -> Vec<(&'a str, &'a str)> {
    let mut variables = vec![
        ("DATABASE_URL", database_url),
        ("LMN_SERVER__LISTEN", "127.0.0.1:0"),
        ("LMN_OPERATOR__LISTEN", "127.0.0.1:0"),
        ("LMN_SERVER__DRAIN_GRACE_MILLISECONDS", "0"),
    ];
    variables.extend_from_slice(settings);
    variables
}

/// Returns a command of the real binary, with the given settings alone.
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
        // The process has ended already unless the benchmark failed.
        if matches!(self.child.try_wait(), Ok(None)) {
            let _ = self.child.kill();
            let _ = self.child.wait();
        }
    }
}
