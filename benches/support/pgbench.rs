//! Runs pgbench: the same statements over the same socket, without a server in between.

use std::{fs, path::Path, process::Command, thread::available_parallelism, time::Duration};

use anyhow::Context;

use super::{
    database::Database,
    plan::Plan,
    report::{Latencies, Meter, Run},
    script::Script,
};

/// Runs a script, first for warm-up, then measured.
pub fn drive(
    database: &Database,
    scratch: &Path,
    (clients, plan): (usize, &Plan),
    script: &Script,
) -> anyhow::Result<Run> {
    let folder = scratch.join("pgbench");
    fs::create_dir_all(&folder)?;
    fs::write(folder.join("script.sql"), &script.text)?;
    let run = Pgbench {
        database,
        folder: &folder,
        clients,
        script,
    };
    let mut all = 0;
    if !plan.warm_up.is_zero() {
        all += transactions(&run.run(plan.warm_up, 0)?)?;
    }
    let meter = Meter::new(database.postmaster, None);
    let before = meter.read()?;
    let words = run.run(plan.measured, plan.first_round(clients))?;
    let costs = meter.read()?.since(before);
    let latencies = take_latencies(&folder)?;
    let requests = transactions(&words)?;
    anyhow::ensure!(
        requests == latencies.len(),
        "the log of pgbench has another number of transactions: {words}"
    );
    Ok(Run {
        clients,
        rate: after(&words, "tps = ")?.parse()?,
        requests,
        all: all + requests,
        latencies: Latencies::of(latencies),
        costs,
        memory: None,
    })
}

/// The parameters of pgbench.
struct Pgbench<'a> {
    database: &'a Database,
    folder: &'a Path,
    clients: usize,
    script: &'a Script,
}

impl Pgbench<'_> {
    fn run(&self, time: Duration, first_round: usize) -> anyhow::Result<String> {
        for entry in fs::read_dir(self.folder)? {
            let path = entry?.path();
            if path.extension().is_none_or(|it| it != "sql") {
                fs::remove_file(path)?;
            }
        }
        let program = self.database.programs.join("pgbench");
        let threads = available_parallelism()?.get().min(self.clients);
        let mut command = Command::new(&program);
        command
            .current_dir(self.folder)
            .args(["--no-vacuum", "--protocol=prepared", "--file=script.sql"])
            .args(["--log", "--log-prefix=log", "--username=postgres"])
            .arg("--host")
            .arg(self.database.socket_folder())
            .arg(format!("--client={}", self.clients))
            .arg(format!("--jobs={threads}"))
            .arg(format!("--time={}", time.as_secs()))
            .arg(format!("--define=clients={}", self.clients))
            .arg(format!("--define=first_round={first_round}"))
            .arg(format!("--define=round={first_round}"));
        for (name, value) in &self.script.variables {
            command.arg(format!("--define={name}={value}"));
        }
        let output = command
            .arg(self.database.name())
            .output()
            .with_context(|| {
                format!(
                    "running {}, which must be installed beside initdb",
                    program.display()
                )
            })?;
        let words = String::from_utf8_lossy(&output.stdout).into_owned();
        let errors = String::from_utf8_lossy(&output.stderr);
        let failed = after(&words, "number of failed transactions: ").unwrap_or("0");
        anyhow::ensure!(
            output.status.success() && failed == "0",
            "pgbench failed: {errors}{words}"
        );
        Ok(words)
    }
}

fn transactions(words: &str) -> anyhow::Result<usize> {
    Ok(after(words, "number of transactions actually processed: ")?.parse()?)
}

/// Returns the word that follows a label.
fn after<'a>(words: &'a str, label: &str) -> anyhow::Result<&'a str> {
    let (_, rest) = words
        .split_once(label)
        .with_context(|| format!("pgbench did not print `{label}`: {words}"))?;
    Ok(rest.split_whitespace().next().unwrap_or_default())
}

/// Reads the time of each transaction from the logs, which have a line each: client, number, microseconds, …
fn take_latencies(folder: &Path) -> anyhow::Result<Vec<Duration>> {
    let mut latencies = Vec::new();
    for entry in fs::read_dir(folder)? {
        let path = entry?.path();
        if path.extension().is_some_and(|it| it == "sql") {
            continue;
        }
        for line in fs::read_to_string(&path)?.lines() {
            let microseconds = line.split(' ').nth(2).context("a line without a time")?;
            latencies.push(Duration::from_micros(microseconds.parse()?));
        }
    }
    Ok(latencies)
}
