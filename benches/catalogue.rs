//! Benchmarks of the catalogue in memory: start and memory, the cost of every kind of query, throughput, and changes.
//!
//! `cargo bench --bench catalogue` prints a table for each to standard output, and its progress and the cost of every
//! query to standard error. `docs/performance.md` explains the figures and has the latest ones.

#![allow(
    missing_docs,
    dead_code,
    unreachable_pub,
    clippy::cast_possible_truncation,
    clippy::disallowed_methods,
    clippy::indexing_slicing,
    clippy::print_stderr,
    clippy::print_stdout,
    clippy::unwrap_used,
    reason = "a benchmark is a program of its own, and ends where it cannot go on"
)]

mod support;

use std::{fmt::Write, path::Path, thread::available_parallelism};

use support::{
    database::Database,
    fixed, merges,
    plan::Plan,
    process::Memory,
    queries::Values,
    report::{Run, Throughput},
    searches,
    server::Server,
    throughput::{CLIENTS, Runs, Workload},
};
use tokio::runtime;

/// Size of the large catalogue divided by that of the small one.
const SMALL_SHARE: usize = 10;

fn main() -> anyhow::Result<()> {
    if let Some(bytes) = fixed::wanted() {
        // A multi-threaded runtime, as in the binary.
        return runtime::Runtime::new()?.block_on(fixed::serve(bytes));
    }
    let runtime = runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    runtime.block_on(measure())
}

async fn measure() -> anyhow::Result<()> {
    let plan = Plan::read()?;
    let scratch = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR"))?;
    let mut starts = Starts::default();
    let small = Bench::new(plan.catalogue / SMALL_SHARE, &plan, scratch.path()).await?;
    let (small_page, small_runs) = small.page(&mut starts).await?;
    let large = Bench::new(plan.catalogue, &plan, scratch.path()).await?;
    let whole = large.whole(&mut starts).await?;
    let mut table = Throughput::default();
    small_page.add(&mut table, &small_runs, None);
    for (workload, runs) in &whole.throughput {
        let fixed = workload
            .drive_fixed(&small.database, &plan, scratch.path())
            .await?;
        workload.add(&mut table, runs, Some(&fixed));
    }
    println!(
        "{} cores, PostgreSQL {}, {} vehicles.\n\n# Start and memory\n\n{}",
        available_parallelism()?,
        large.database.version,
        large.vehicles,
        starts.markdown()
    );
    println!(
        "# Queries\n\n{} requests each over one connection, 50 vehicles a page, nothing cached.\n\n{}",
        plan.requests, whole.queries
    );
    println!(
        "# Throughput\n\n{CLIENTS} clients, {} s a run after {} s of warm-up.\n\n{}",
        plan.measured.as_secs(),
        plan.warm_up.as_secs(),
        table.markdown()
    );
    let ([page, deep, ..], small) = (&whole.throughput[..], &small_runs) else {
        anyhow::bail!("a page was not measured");
    };
    for (by, of) in [
        ("cache", (|it| it.cached.rate) as fn(&Runs) -> f64),
        ("database", |it| it.read.rate),
    ] {
        println!(
            "- {by}: deep page ÷ page 1: {:.2}; page 1 of {} vehicles ÷ of {}: {:.2}",
            of(&deep.1) / of(&page.1),
            plan.catalogue,
            plan.catalogue / SMALL_SHARE,
            of(&page.1) / of(small),
        );
    }
    println!("\n# Changes\n\n{}", whole.merges);
    Ok(())
}

/// Whether vehicles are cached.
#[derive(Debug, Clone, Copy)]
enum Cache {
    Default,
    Off,
}

impl Cache {
    fn name(self) -> &'static str {
        match self {
            Self::Default => "default",
            Self::Off => "off",
        }
    }

    fn settings(self) -> &'static [(&'static str, &'static str)] {
        match self {
            Self::Default => &[],
            Self::Off => &[("LMN_CATALOGUE__CACHE_MEBIBYTES", "0")],
        }
    }
}

/// A catalogue of one size, and the parameters of its measurements.
struct Bench<'a> {
    database: Database,
    vehicles: usize,
    plan: &'a Plan,
    scratch: &'a Path,
}

/// The measurements of a whole catalogue.
struct Whole {
    queries: String,
    throughput: Vec<(Workload, Runs)>,
    merges: String,
}

impl<'a> Bench<'a> {
    async fn new(vehicles: usize, plan: &'a Plan, scratch: &'a Path) -> anyhow::Result<Self> {
        let database = Database::catalogue(vehicles).await?;
        Ok(Self {
            database,
            vehicles,
            plan,
            scratch,
        })
    }

    /// Measures page 1 alone.
    async fn page(&self, starts: &mut Starts) -> anyhow::Result<(Workload, Runs)> {
        let started = self.start(Cache::Off).await?;
        let page = Workload::page(&started.server, self.vehicles).await?;
        let read = self.drive(&page, &started).await?;
        starts.stop(started)?;
        let started = self.start(Cache::Default).await?;
        let cached = self.drive(&page, &started).await?;
        starts.stop(started)?;
        Ok((page, Runs { cached, read }))
    }

    /// Measures everything.
    async fn whole(&self, starts: &mut Starts) -> anyhow::Result<Whole> {
        let values = Values::read(&self.database).await?;
        let started = self.start(Cache::Off).await?;
        let server = &started.server;
        let queries = searches::measure(&self.database, server, self.plan, &values).await?;
        let workloads = Workload::all(&self.database, server, self.vehicles).await?;
        let mut read = Vec::new();
        for workload in &workloads {
            read.push(self.drive(workload, &started).await?);
        }
        starts.stop(started)?;

        let started = self.start(Cache::Default).await?;
        searches::ask_all(&started.server, &values).await?;
        let mut throughput = Vec::new();
        for (workload, read) in workloads.into_iter().zip(read) {
            let cached = self.drive(&workload, &started).await?;
            throughput.push((workload, Runs { cached, read }));
        }
        let merges = merges::measure(&self.database, &started.server, self.plan.merges).await?;
        starts.stop(started)?;
        Ok(Whole {
            queries: queries.markdown(),
            throughput,
            merges,
        })
    }

    async fn drive(&self, workload: &Workload, started: &Started) -> anyhow::Result<Run> {
        workload
            .drive(&self.database, &started.server, self.plan)
            .await
    }

    /// Starts a server, and waits until it is ready.
    async fn start(&self, cache: Cache) -> anyhow::Result<Started> {
        let (vehicles, name) = (self.vehicles, cache.name());
        eprintln!("starting with {vehicles} vehicles, cache {name}");
        let server = Server::serve_only(&self.database.url(), cache.settings(), self.scratch)?;
        let seconds = server.ready().await?.as_secs_f64();
        Ok(Started {
            loaded: Memory::of(server.pid())?,
            server,
            seconds,
            vehicles,
            cache,
        })
    }
}

/// A server that is ready.
struct Started {
    server: Server,
    seconds: f64,
    loaded: Memory,
    vehicles: usize,
    cache: Cache,
}

/// The table of servers, a row each.
#[derive(Debug, Default)]
struct Starts(String);

impl Starts {
    /// Reads the memory of a server after its last request, and stops it.
    fn stop(&mut self, started: Started) -> anyhow::Result<()> {
        let Started {
            server,
            seconds,
            loaded,
            vehicles,
            cache,
        } = started;
        let after = Memory::of(server.pid())?;
        // Writing to a string cannot fail.
        let _ = writeln!(
            self.0,
            "| {vehicles} | {} | {seconds:.2} | {:.0} | {:.0} | {:.0} | {:.0} |",
            cache.name(),
            loaded.now,
            loaded.peak,
            after.now,
            after.peak,
        );
        server.stop()
    }

    fn markdown(&self) -> String {
        format!(
            "\
| vehicles | cache | s from the start of the process until ready | MiB after loading: resident | at most | MiB after all requests: resident | at most |
|--:|---|--:|--:|--:|--:|--:|
{}",
            self.0
        )
    }
}
