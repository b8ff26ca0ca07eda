//! Measurements of runs, and their tables.

use std::{fmt::Write, process, time::Duration};

use super::process::{Cpu, Memory};

/// The measurements of one run.
#[derive(Debug)]
pub struct Run {
    /// Number of clients.
    pub clients: usize,
    /// Requests or transactions per second.
    pub rate: f64,
    /// Number of measured requests or transactions.
    pub requests: usize,
    /// Number of all requests or transactions, including those before and after the measured ones.
    pub all: usize,
    /// Latencies of the measured requests or transactions.
    pub latencies: Latencies,
    /// CPU time while the run was measured.
    pub costs: Costs,
    /// Memory of the server at the end.
    pub memory: Option<Memory>,
}

/// Percentiles of latencies, in milliseconds.
#[derive(Debug, Clone, Copy)]
pub struct Latencies {
    /// The median.
    pub p50: f64,
    /// The 99th percentile.
    pub p99: f64,
    /// The longest.
    pub max: f64,
}

impl Latencies {
    /// Computes the percentiles.
    pub fn of(mut all: Vec<Duration>) -> Self {
        all.sort_unstable();
        let at = |share: f64| {
            let place = (all.len() as f64 * share).ceil() as usize;
            let found = all.get(place.saturating_sub(1)).copied();
            found.unwrap_or_default().as_secs_f64() * 1000.0
        };
        Self {
            p50: at(0.50),
            p99: at(0.99),
            max: at(1.0),
        }
    }
}

/// CPU seconds of the processes of a run.
#[derive(Debug, Clone, Copy)]
pub struct Costs {
    server: Option<f64>,
    postgres: f64,
    load: f64,
}

impl Costs {
    /// Returns the CPU seconds since an earlier reading.
    pub fn since(self, before: Self) -> Self {
        Self {
            server: self.server.zip(before.server).map(|(now, then)| now - then),
            postgres: self.postgres - before.postgres,
            load: self.load - before.load,
        }
    }
}

/// Reads the CPU time of the processes of a run.
#[derive(Debug, Clone, Copy)]
pub struct Meter {
    postmaster: u32,
    server: Option<u32>,
}

impl Meter {
    /// Makes a meter. With a server, this process generates the load; without one, a child does.
    pub fn new(postmaster: u32, server: Option<u32>) -> Self {
        Self { postmaster, server }
    }

    /// Reads the CPU seconds so far.
    pub fn read(self) -> anyhow::Result<Costs> {
        let own = Cpu::of(process::id())?;
        let server = self.server.map(Cpu::of).transpose()?;
        Ok(Costs {
            server: server.map(|it| it.own),
            postgres: Cpu::of_family(self.postmaster)?,
            load: match server {
                Some(_) => own.own,
                None => own.with_ended,
            },
        })
    }
}

/// The table of throughput, with a row for each run.
#[derive(Debug)]
pub struct Throughput(String);

impl Default for Throughput {
    fn default() -> Self {
        let head = "\
| what | by | requests/s | ÷ fixed response | p50 ms | p99 ms | CPU s per 1,000: server | PostgreSQL | load generator | server MiB, at most |
|---|---|--:|--:|--:|--:|--:|--:|--:|--:|
";
        Self(head.to_owned())
    }
}

impl Throughput {
    /// Adds a run, compared with that of a fixed response of the same size.
    pub fn add(&mut self, what: &str, by: &str, run: &Run, fixed: Option<&Run>) {
        let ratio = fixed.map(|it| format!("{:.2}", run.rate / it.rate));
        let ratio = ratio.unwrap_or_else(|| "–".to_owned());
        // Writing to a string cannot fail.
        let _ = writeln!(
            self.0,
            "| {what} | {by} | {:.0} | {ratio} | {} |",
            run.rate,
            run.costs()
        );
    }

    /// Returns the table as Markdown.
    pub fn markdown(&self) -> &str {
        &self.0
    }
}

impl Run {
    /// Returns the CPU time of the server for one request, in microseconds.
    fn server_microseconds(&self) -> f64 {
        self.costs.server.unwrap_or_default() * 1_000_000.0 / self.requests as f64
    }

    /// Returns the columns of latencies, CPU time and memory.
    fn costs(&self) -> String {
        let Self {
            latencies: Latencies { p50, p99, .. },
            costs,
            ..
        } = self;
        let optional = |value: Option<String>| value.unwrap_or_else(|| "–".to_owned());
        let per_thousand = |seconds: f64| format!("{:.2}", seconds * 1000.0 / self.requests as f64);
        let (server, postgres, load) = (
            optional(costs.server.map(per_thousand)),
            per_thousand(costs.postgres),
            per_thousand(costs.load),
        );
        let memory = self
            .memory
            .map(|it| format!("{:.0}, {:.0}", it.now, it.peak));
        let memory = optional(memory);
        format!("{p50:.2} | {p99:.2} | {server} | {postgres} | {load} | {memory}")
    }
}

/// The table of HTTP and pgbench, with a row for each run.
#[derive(Debug)]
pub struct Table(String);

impl Default for Table {
    fn default() -> Self {
        let head = "\
| what | clients | by | requests/s | HTTP ÷ pgbench | p50 ms | p99 ms | CPU s per 1,000: server | PostgreSQL | load generator | server MiB, at most |
|---|--:|---|--:|--:|--:|--:|--:|--:|--:|--:|
";
        Self(head.to_owned())
    }
}

impl Table {
    /// Adds a pair of runs.
    pub fn add(&mut self, what: &str, http: &Run, pgbench: &Run) {
        self.row(what, "HTTP", http, Some(http.rate / pgbench.rate));
        self.row(what, "pgbench", pgbench, None);
    }

    fn row(&mut self, what: &str, by: &str, run: &Run, ratio: Option<f64>) {
        let ratio = ratio.map_or_else(|| "–".to_owned(), |it| format!("{it:.2}"));
        // Writing to a string cannot fail.
        let _ = writeln!(
            self.0,
            "| {what} | {} | {by} | {:.0} | {ratio} | {} |",
            run.clients,
            run.rate,
            run.costs()
        );
    }

    /// Returns the table as Markdown.
    pub fn markdown(&self) -> &str {
        &self.0
    }
}

/// The table of one request under several settings, with a row for each setting, compared with the first one.
#[derive(Debug, Default)]
pub struct Compared(Vec<(&'static str, Vec<Run>)>);

impl Compared {
    /// Adds a run under a setting.
    pub fn add(&mut self, setting: &'static str, run: Run) {
        match self.0.iter_mut().find(|(it, _)| *it == setting) {
            Some((_, runs)) => runs.push(run),
            None => self.0.push((setting, vec![run])),
        }
    }

    /// Returns the table as Markdown.
    pub fn markdown(&self) -> String {
        let mut table = "\
| setting | runs | requests/s | server CPU µs a request: mean | least | most | saves µs | % |
|---|--:|--:|--:|--:|--:|--:|--:|
"
        .to_owned();
        let mean = |runs: &[Run], of: fn(&Run) -> f64| {
            runs.iter().map(of).sum::<f64>() / runs.len() as f64
        };
        let first = self.0.first();
        let whole = first.map_or(0.0, |(_, runs)| mean(runs, Run::server_microseconds));
        for (setting, runs) in &self.0 {
            let cpu = mean(runs, Run::server_microseconds);
            let all = || runs.iter().map(Run::server_microseconds);
            // Writing to a string cannot fail.
            let _ = writeln!(
                table,
                "| {setting} | {} | {:.0} | {cpu:.1} | {:.1} | {:.1} | {:.1} | {:.1} |",
                runs.len(),
                mean(runs, |it| it.rate),
                all().fold(f64::INFINITY, f64::min),
                all().fold(0.0, f64::max),
                whole - cpu,
                (whole - cpu) * 100.0 / whole,
            );
        }
        table
    }
}
