//! The import of a catalogue, beside a plain `copy` of the rows that it writes into an equal table.
//!
//! `cargo bench --bench import` prints a table to standard output and what it is doing to standard error. What the
//! figures mean, and the last ones taken: `docs/performance.md`.

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
    fs::{self, File},
    io::{BufRead, BufReader, BufWriter, Read, Write},
    path::{Path, PathBuf},
    process::{self, Command, Stdio},
    thread::available_parallelism,
    time::{Duration, Instant},
};

use anyhow::{Context, ensure};
use serde_json::Value;
use sqlx::PgConnection;
use support::{
    database::{Database, run},
    process::Cpu,
};

/// Of how many cars one has another price in the third import.
const CHANGED_OF: usize = 10;
/// How long after a run its CPU is read.
const SETTLING: Duration = Duration::from_millis(500);
/// Bytes that are sent to the database at once.
const CHUNK_BYTES: usize = 256 * 1024;

#[tokio::main(flavor = "current_thread")]
async fn main() -> anyhow::Result<()> {
    let bench = Bench::make().await?;
    let mut rows = String::new();
    for round in 1..=bench.rounds {
        for row in bench.round(round).await? {
            rows.push_str(&row);
        }
    }
    println!(
        "{} cores, PostgreSQL {}; {} cars of the demo, {} bytes a line.\n\n\
         | round | what | s | cars/s | ÷ plain copy | CPU s per 1,000 cars: lmn | PostgreSQL |\n\
         |--:|---|--:|--:|--:|--:|--:|\n{rows}",
        available_parallelism()?,
        bench.database.version,
        bench.cars,
        fs::metadata(&bench.file)?.len() / bench.cars as u64,
    );
    bench.database.remove().await
}

/// What everything is done with.
struct Bench {
    database: Database,
    scratch: tempfile::TempDir,
    /// The cars, and the same with other prices here and there.
    file: PathBuf,
    changed: PathBuf,
    cars: usize,
    rounds: usize,
}

/// What a run took.
#[derive(Clone, Copy)]
struct Took {
    seconds: f64,
    lmn: f64,
    postgres: f64,
}

impl Bench {
    async fn make() -> anyhow::Result<Self> {
        let is_check = !env::args_os().any(|it| it == OsStr::new("--bench"));
        let number = |name: &str, usual: usize, check: usize| match env::var(name) {
            Ok(text) => text.parse().with_context(|| format!("{name} is a number")),
            Err(_) if is_check => Ok(check),
            Err(_) => Ok(usual),
        };
        let cars = number("LMN_BENCH_CARS", 200_000, 3_000)?;
        let rounds = number("LMN_BENCH_ROUNDS", 3, 1)?;
        let scratch = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR"))?;
        let database = Database::empty().await?;
        let bench = Self {
            database,
            file: scratch.path().join("cars"),
            changed: scratch.path().join("changed"),
            scratch,
            cars,
            rounds,
        };
        eprintln!("making a file of {cars} cars");
        let out = File::create(&bench.file)?;
        let mut made = bench.lmn(&["catalog", "demo", "--vehicles", &cars.to_string()]);
        ensure!(made.stdout(out).status()?.success(), "it makes cars");
        change_prices(&bench.file, &bench.changed)?;
        ensure!(bench.lmn(&["migrate"]).status()?.success(), "it migrates");
        Ok(bench)
    }

    /// Imports the file three times, then copies the rows that the first import wrote.
    async fn round(&self, round: usize) -> anyhow::Result<Vec<String>> {
        let mut connection = self.database.connect().await?;
        run(&mut connection, "truncate vehicles cascade".into()).await?;
        let new = self.import(&self.file, "inserted", self.cars).await?;
        let rows = self.scratch.path().join("rows");
        let columns = self.copy_out(&mut connection, &rows).await?;
        let same = self.import(&self.file, "unchanged", self.cars).await?;
        let moved = self.cars.div_ceil(CHANGED_OF);
        let changed = self.import(&self.changed, "updated", moved).await?;
        let copy = self.copy_in(&mut connection, &columns, &rows).await?;
        fs::remove_file(rows)?;
        let runs = [
            ("import, all new", new),
            ("import again, nothing changed", same),
            ("import again, a tenth with other prices", changed),
            ("plain copy of the same rows", copy),
        ];
        let runs = runs.map(|(what, took)| self.row(round, what, took, copy));
        runs.iter().for_each(|row| eprint!("{row}"));
        Ok(runs.to_vec())
    }

    /// Returns the binary, on the database of the benchmark.
    fn lmn(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_lmn"));
        let inherited = env::vars_os().filter(|(name, _)| {
            let name = name.to_string_lossy();
            name.starts_with("LMN_") || name.starts_with("DATABASE_URL")
        });
        for (name, _) in inherited {
            command.env_remove(name);
        }
        command.args(arguments).stdin(Stdio::null());
        command.env("DATABASE_URL", self.database.url());
        command
    }

    async fn import(&self, file: &Path, counted: &str, expected: usize) -> anyhow::Result<Took> {
        let file = file.to_string_lossy();
        let mut import = self.lmn(&["catalog", "import", &file, "--json"]);
        import.stderr(Stdio::inherit());
        let (output, took) = self.measure(async || Ok(import.output()?)).await?;
        ensure!(
            output.status.success(),
            "the import ended with {}",
            output.status
        );
        let summary: Value = serde_json::from_slice(&output.stdout)?;
        ensure!(summary[counted] == expected, "it says {summary}");
        Ok(took)
    }

    /// Writes the rows to a file, in the order in which they were written, and returns their columns.
    async fn copy_out(&self, connection: &mut PgConnection, rows: &Path) -> anyhow::Result<String> {
        let columns: String = sqlx::query_scalar(
            "select string_agg(column_name, ', ' order by ordinal_position) from information_schema.columns
             where table_name = 'vehicles' and is_generated = 'NEVER'",
        )
        .fetch_one(&mut *connection)
        .await?;
        let psql = Command::new(self.database.programs.join("psql"))
            .args([&self.database.url(), "-c"])
            .arg(format!("copy (select {columns} from vehicles) to stdout"))
            .stdout(File::create(rows)?)
            .status()?;
        ensure!(psql.success(), "the rows are copied out");
        Ok(columns)
    }

    /// Copies the rows into an equal table, in one statement.
    async fn copy_in(
        &self,
        connection: &mut PgConnection,
        columns: &str,
        rows: &Path,
    ) -> anyhow::Result<Took> {
        let equal = "drop table if exists equal; create table equal (like vehicles including all);
            create trigger equal_inserted after insert on equal
                for each statement execute function note_catalogue_change()";
        run(connection, equal.into()).await?;
        let mut rows = File::open(rows)?;
        let (copied, took) = self
            .measure(async || {
                let statement = format!("copy equal ({columns}) from stdin");
                let mut copy = connection.copy_in_raw(&statement).await?;
                let mut chunk = vec![0; CHUNK_BYTES];
                loop {
                    let length = rows.read(&mut chunk)?;
                    if length == 0 {
                        break Ok(copy.finish().await?);
                    }
                    copy.send(&chunk[..length]).await?;
                }
            })
            .await?;
        ensure!(copied == self.cars as u64, "{copied} rows were copied");
        run(connection, "drop table equal".into()).await?;
        Ok(took)
    }

    /// Measures one thing from a quiet state.
    async fn measure<T>(
        &self,
        work: impl AsyncFnOnce() -> anyhow::Result<T>,
    ) -> anyhow::Result<(T, Took)> {
        run(&mut self.database.connect().await?, "checkpoint".into()).await?;
        let costs = || {
            let own = Cpu::of(process::id())?;
            let postgres = Cpu::of_family(self.database.postmaster)?;
            anyhow::Ok((own.with_ended, postgres))
        };
        let (before, began) = (costs()?, Instant::now());
        let done = work().await?;
        let seconds = began.elapsed().as_secs_f64();
        // By then the process that served it has ended, and its time is its parent's.
        tokio::time::sleep(SETTLING).await;
        let after = costs()?;
        let took = Took {
            seconds,
            lmn: after.0 - before.0,
            postgres: after.1 - before.1,
        };
        Ok((done, took))
    }

    fn row(&self, round: usize, what: &str, took: Took, copy: Took) -> String {
        let cars = self.cars as f64;
        let per_thousand = |seconds: f64| seconds * 1_000.0 / cars;
        format!(
            "| {round} | {what} | {:.1} | {:.0} | {:.2} | {:.3} | {:.3} |\n",
            took.seconds,
            cars / took.seconds,
            copy.seconds / took.seconds,
            per_thousand(took.lmn),
            per_thousand(took.postgres),
        )
    }
}

/// Copies a file of cars; one in some has another price.
fn change_prices(from: &Path, to: &Path) -> anyhow::Result<()> {
    let mut out = BufWriter::new(File::create(to)?);
    for (n, line) in BufReader::new(File::open(from)?).lines().enumerate() {
        let mut line = line?;
        if n % CHANGED_OF == 0 {
            let mut car: Value = serde_json::from_str(&line)?;
            let price = car["pricing"]["listing_usd"].as_i64().unwrap();
            car["pricing"]["listing_usd"] = (price + 1).into();
            line = car.to_string();
        }
        writeln!(out, "{line}")?;
    }
    Ok(out.flush()?)
}
