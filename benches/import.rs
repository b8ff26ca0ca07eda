//! Benchmarks of the import of a catalogue while partners browse and order, compared with a plain `copy` of the rows
//! that it writes into an identical table.
//!
//! `cargo bench --bench import` prints two tables to standard output and its progress to standard error.
//! `docs/performance.md` explains the figures and has the latest ones.

#![allow(
    dead_code,
    missing_docs,
    unreachable_pub,
    clippy::cast_possible_truncation,
    clippy::disallowed_methods,
    clippy::indexing_slicing,
    clippy::print_stderr,
    clippy::print_stdout,
    clippy::unwrap_used,
    reason = "a benchmark is a program of its own, ends where it cannot go on, and shares its support"
)]

mod support;

use std::{
    env,
    ffi::OsStr,
    fmt::Write,
    fs,
    path::Path,
    process::{self, Stdio},
    sync::Arc,
    thread::available_parallelism,
    time::{Duration, Instant},
};

use anyhow::{Context, ensure};
use serde_json::Value;
use support::{
    database::{Database, run},
    equal::Equal,
    files::{CHANGED_OF, Files},
    load::{KINDS, Load, Sent, Targets},
    process::Cpu,
    report::Latencies,
    server::{Server, lmn},
};
use tokio::time::sleep;

/// Time between the end of a run and the reading of its CPU time.
const SETTLING: Duration = Duration::from_millis(500);

#[tokio::main(flavor = "current_thread")]
async fn main() -> anyhow::Result<()> {
    let bench = Bench::make()?;
    let mut totals = Totals::default();
    let mut version = String::new();
    for round in 1..=bench.rounds {
        version = bench.round(round, &mut totals).await?;
    }
    println!(
        "{} cores, PostgreSQL {version}; {} new vehicles of the demo beside {}, {} bytes a line.\n\n{}",
        available_parallelism()?,
        bench.files.vehicles,
        bench.files.base_vehicles,
        fs::metadata(&bench.files.new)?.len() / bench.files.vehicles as u64,
        totals.markdown(),
    );
    Ok(())
}

/// The files and parameters of all rounds.
struct Bench {
    scratch: tempfile::TempDir,
    files: Files,
    rounds: usize,
    /// Time for which requests are sent while nothing is imported.
    quiet: Duration,
}

impl Bench {
    fn make() -> anyhow::Result<Self> {
        let is_check = !env::args_os().any(|it| it == OsStr::new("--bench"));
        let number = |name: &str, usual: usize, check: usize| match env::var(name) {
            Ok(text) => text.parse().with_context(|| format!("{name} is a number")),
            Err(_) if is_check => Ok(check),
            Err(_) => Ok(usual),
        };
        let vehicles = number("LMN_BENCH_VEHICLES", 200_000, 3_000)?;
        let rounds = number("LMN_BENCH_ROUNDS", 3, 1)?;
        let scratch = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR"))?;
        eprintln!("making files of {vehicles} new vehicles");
        Ok(Self {
            files: Files::make(scratch.path(), vehicles)?,
            scratch,
            rounds,
            quiet: Duration::from_secs(if is_check { 1 } else { 30 }),
        })
    }

    /// Imports the new vehicles three times, and copies the rows that the first import wrote; returns the version of
    /// PostgreSQL.
    async fn round(&self, round: usize, totals: &mut Totals) -> anyhow::Result<String> {
        let database = Database::empty().await?;
        let version = database.version.clone();
        let url = database.url();
        let migrated = lmn(&["migrate"], &[("DATABASE_URL", &url)]).status()?;
        ensure!(migrated.success(), "the migration ended with {migrated}");
        let (base, base_vehicles) = (&self.files.base, self.files.base_vehicles);
        import(&url, base, "inserted", base_vehicles).await?;
        database.add_partners().await?;
        let equal = Equal::make(&database).await?;
        let server = Server::serve(&url, &[], self.scratch.path())?;
        let round = Round {
            targets: Targets::read(&database).await?,
            server,
            equal,
            database,
            round,
            vehicles: self.files.vehicles,
        };
        round.measure(self, &url, totals).await?;
        round.server.stop()?;
        round.database.remove().await?;
        Ok(version)
    }
}

/// One round, in a database of its own.
struct Round {
    database: Database,
    server: Server,
    equal: Equal,
    targets: Arc<Targets>,
    round: usize,
    vehicles: usize,
}

/// Time and CPU seconds of a run, and the latencies of the requests sent meanwhile.
struct Measured {
    seconds: f64,
    client: f64,
    server: f64,
    postgres: f64,
    sent: Sent,
}

impl Round {
    async fn measure(&self, bench: &Bench, url: &str, totals: &mut Totals) -> anyhow::Result<()> {
        let (new, changed) = (&bench.files.new, &bench.files.changed);
        let rows = bench.scratch.path().join("rows");
        // The first requests, which connect and prepare statements, are not measured.
        self.measure_work(wait(bench.quiet / 10)).await?;
        let quiet = self.measure_work(wait(bench.quiet)).await?;
        let all = self.vehicles;
        let imported = self.measure_work(import(url, new, "inserted", all)).await?;
        self.equal.copy_out(&self.database, &rows)?;
        let copying = self.equal.copy_in(&self.database, &rows, all);
        let copied = self.measure_work(copying).await?;
        fs::remove_file(&rows)?;
        let same = self
            .measure_work(import(url, new, "unchanged", all))
            .await?;
        let repriced = all.div_ceil(CHANGED_OF);
        let again = self
            .measure_work(import(url, changed, "updated", repriced))
            .await?;
        for (what, run) in [
            ("import, all new", &imported),
            ("plain copy of the same rows", &copied),
            ("import again, nothing changed", &same),
            ("import again, a tenth with other prices", &again),
        ] {
            totals.add(self, what, run, copied.seconds);
        }
        totals.ratios.push(copied.seconds / imported.seconds);
        totals.quiet.add(&quiet.sent);
        totals.importing.add(&imported.sent);
        totals.copying.add(&copied.sent);
        Ok(())
    }

    /// Runs work from an idle state while requests are sent, and measures it.
    async fn measure_work(
        &self,
        work: impl Future<Output = anyhow::Result<()>>,
    ) -> anyhow::Result<Measured> {
        let mut connection = self.database.connect().await?;
        // So that autovacuum does not process the rows of the last run during this one.
        for statement in ["vacuum (analyze)", "checkpoint"] {
            run(&mut connection, statement.into()).await?;
        }
        let costs = || {
            let own = Cpu::of(process::id())?;
            let server = Cpu::of(self.server.pid())?;
            let postgres = Cpu::of_family(self.database.postmaster)?;
            anyhow::Ok((own.with_ended - own.own, server.own, postgres))
        };
        let load = Load::start(self.server.address, &self.targets).await?;
        let (before, began) = (costs()?, Instant::now());
        work.await?;
        let seconds = began.elapsed().as_secs_f64();
        let sent = load.stop().await?;
        // By then the backend that served the run has ended, and its CPU time is included in that of its parent.
        sleep(SETTLING).await;
        let after = costs()?;
        Ok(Measured {
            seconds,
            client: after.0 - before.0,
            server: after.1 - before.1,
            postgres: after.2 - before.2,
            sent,
        })
    }
}

/// Waits for a duration.
async fn wait(duration: Duration) -> anyhow::Result<()> {
    sleep(duration).await;
    Ok(())
}

/// Imports a file; the summary must have `expected` vehicles under the member `counted`.
async fn import(url: &str, file: &Path, counted: &str, expected: usize) -> anyhow::Result<()> {
    let file = file.to_string_lossy();
    let mut import = lmn(
        &["catalog", "import", &file, "--json"],
        &[("DATABASE_URL", url)],
    );
    import.stdin(Stdio::null());
    let output = tokio::process::Command::from(import).output().await?;
    ensure!(
        output.status.success(),
        "the import ended with {}: {}",
        output.status,
        String::from_utf8_lossy(&output.stderr)
    );
    let summary: Value = serde_json::from_slice(&output.stdout)?;
    ensure!(
        summary[counted] == expected,
        "the summary of the import is {summary}"
    );
    Ok(())
}

/// The tables of all rounds.
#[derive(Default)]
struct Totals {
    rows: String,
    /// Rates of the import of new vehicles, each divided by that of the copy.
    ratios: Vec<f64>,
    quiet: Sent,
    importing: Sent,
    copying: Sent,
}

impl Totals {
    fn add(&mut self, round: &Round, what: &str, run: &Measured, copy_seconds: f64) {
        let vehicles = round.vehicles as f64;
        let per_thousand = |seconds: f64| seconds * 1_000.0 / vehicles;
        let row = format!(
            "| {} | {what} | {:.1} | {:.0} | {:.2} | {:.3} | {:.3} | {:.3} |\n",
            round.round,
            run.seconds,
            vehicles / run.seconds,
            copy_seconds / run.seconds,
            per_thousand(run.client),
            per_thousand(run.server),
            per_thousand(run.postgres),
        );
        eprint!("{row}");
        self.rows.push_str(&row);
    }

    fn markdown(&self) -> String {
        let mut ratios = self.ratios.clone();
        ratios.sort_by(f64::total_cmp);
        let mut tables = format!(
            "\
| round | what | s | vehicles/s | ÷ plain copy | CPU s per 1,000 vehicles: client | server | PostgreSQL |
|--:|---|--:|--:|--:|--:|--:|--:|
{}
Import of new vehicles ÷ plain copy, median of {} rounds: {:.2}.

| request | while | requests | p50 ms | p99 ms | at most ms | p50 ÷ quiet | p99 ÷ quiet | at most ÷ quiet |
|---|---|--:|--:|--:|--:|--:|--:|--:|
",
            self.rows,
            ratios.len(),
            ratios.get(ratios.len() / 2).copied().unwrap_or_default(),
        );
        for kind in KINDS {
            let (_, quiet) = self.quiet.of(kind);
            for (what, sent) in [
                ("quiet", &self.quiet),
                ("importing", &self.importing),
                ("copying", &self.copying),
            ] {
                let (requests, Latencies { p50, p99, max }) = sent.of(kind);
                // Writing to a string cannot fail.
                let _ = writeln!(
                    tables,
                    "| {} | {what} | {requests} | {p50:.2} | {p99:.2} | {max:.2} | {:.2} | {:.2} | {:.2} |",
                    kind.name(),
                    p50 / quiet.p50,
                    p99 / quiet.p99,
                    max / quiet.max,
                );
            }
        }
        tables
    }
}
