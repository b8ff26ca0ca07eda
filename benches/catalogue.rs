//! Browsing over HTTP: pages and cars, beside PostgreSQL with the very same statements and a fixed answer of the same size.
//!
//! `cargo bench --bench catalogue` prints a table to standard output and what it is doing to standard error. What the
//! figures mean, and the last ones taken: `docs/performance.md`.

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

use std::{path::Path, thread::available_parallelism};

use anyhow::Context;
use support::{
    browse,
    database::Database,
    fixed,
    http::{self, Client},
    pgbench,
    plan::Plan,
    report::{Browsed, Run},
    script::Script,
    server::Server,
    wire::Ear,
};
use tokio::{runtime, task::spawn_blocking};

/// How many clients ask at once.
const CLIENTS: usize = 16;
/// The page that partners open with.
const PAGE: &str = "?source=glovis,sk,aj,lotte,kcar&auction_status=upcoming";
/// The smaller catalogue, beside which the other is measured.
const SMALL_SHARE: usize = 10;
/// Nothing that was read is given again.
const NOTHING_KEPT: (&str, &str) = ("LMN_CATALOGUE__TRUST_MILLISECONDS", "1");

fn main() -> anyhow::Result<()> {
    if let Some(bytes) = fixed::wanted() {
        // With as many threads as the binary has.
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
    let mut table = Browsed::default();
    let small = Bench::new(plan.catalogue / SMALL_SHARE, &plan, scratch.path()).await?;
    let small_page = small.page(&mut table, "page 1", PAGE).await?;
    let large = Bench::new(plan.catalogue, &plan, scratch.path()).await?;
    let page = large.page(&mut table, "page 1", PAGE).await?;
    let deep = large.deep_page().await?;
    let deep_page = large.page(&mut table, "a deep page", &deep).await?;
    large.car(&mut table).await?;
    println!(
        "{} cores, PostgreSQL {}; {CLIENTS} clients, {} s a run after {} s of warm-up.\n\n{}",
        available_parallelism()?,
        large.database.version,
        plan.measured.as_secs(),
        plan.warm_up.as_secs(),
        table.markdown(),
    );
    println!("A deep page beside page 1: {:.2}.", deep_page / page);
    println!(
        "{} cars beside {}: {:.2}.",
        large.cars,
        small.cars,
        page / small_page
    );
    Ok(())
}

/// One catalogue, and what it is measured with.
struct Bench<'a> {
    database: Database,
    cars: usize,
    plan: &'a Plan,
    scratch: &'a Path,
}

impl<'a> Bench<'a> {
    async fn new(cars: usize, plan: &'a Plan, scratch: &'a Path) -> anyhow::Result<Self> {
        let database = Database::catalogue(cars).await?;
        Ok(Self {
            database,
            cars,
            plan,
            scratch,
        })
    }

    /// Measures a page kept, read, as PostgreSQL alone gives it, and as a fixed answer; returns how fast it was read.
    async fn page(&self, table: &mut Browsed, what: &str, below: &str) -> anyhow::Result<f64> {
        let what = format!("{what} of {} cars", self.cars);
        let (script, bytes) = self.listen(below).await?;
        let kept = self.http(below, &[]).await?;
        let read = self.http(below, &[NOTHING_KEPT]).await?;
        let pgbench = self.pgbench(&script)?;
        let fixed = self.fixed(bytes).await?;
        table.add(&what, &kept, &read, &pgbench, &fixed);
        Ok(read.rate)
    }

    /// Does the same with one car.
    async fn car(&self, table: &mut Browsed) -> anyhow::Result<()> {
        let server = self.serve(&[])?;
        let page = browse::read(&mut Client::connect(server.address).await?, PAGE).await?;
        server.stop()?;
        let id = page["data"][7]["id"].as_str().context("no eighth car")?;
        self.page(table, "one car", &format!("/{id}"))
            .await
            .map(drop)
    }

    /// Walks a quarter of the way through the list, and returns the question for the page there.
    async fn deep_page(&self) -> anyhow::Result<String> {
        let server = self.serve(&[])?;
        let mut client = Client::connect(server.address).await?;
        let cursor = browse::walk(&mut client, &PAGE[1..], self.cars / 8).await?;
        server.stop()?;
        Ok(format!("{PAGE}{cursor}"))
    }

    /// Asks once, and listens to what that sends to PostgreSQL; returns it as a script, and the answer's size.
    async fn listen(&self, below: &str) -> anyhow::Result<(Script, usize)> {
        eprintln!("listening to what {below} sends to PostgreSQL");
        let folder = tempfile::tempdir()?;
        let ear = Ear::listen(folder.path(), self.database.socket_folder())?;
        let url = format!(
            "postgres://postgres@localhost/{}?sslmode=disable&host={}",
            self.database.name(),
            folder.path().display()
        );
        let scratch = self.scratch.to_owned();
        let starting = spawn_blocking(move || {
            let settings = [("LMN_DATABASE__CONNECTIONS_MAX", "1"), NOTHING_KEPT];
            Server::serve_only(&url, &settings, &scratch)
        });
        let server = starting.await??;
        let mut client = Client::connect(server.address).await?;
        let mut request = Vec::new();
        browse::get(0, below, &mut request);
        client.ask(&request, browse::READ).await?;
        ear.take().await?;
        let bytes = client.ask(&request, browse::READ).await?.body.len();
        let heard = ear.take().await?;
        spawn_blocking(|| server.stop()).await??;
        Ok((Script::repeat(&heard.statements)?, bytes))
    }

    fn serve(&self, settings: &[(&str, &str)]) -> anyhow::Result<Server> {
        Server::serve_only(&self.database.url(), settings, self.scratch)
    }

    async fn http(&self, below: &str, settings: &[(&str, &str)]) -> anyhow::Result<Run> {
        eprintln!("{} cars, {below}: HTTP {settings:?}", self.cars);
        self.drive(self.serve(settings)?, below).await
    }

    async fn fixed(&self, bytes: usize) -> anyhow::Result<Run> {
        eprintln!("a fixed answer of {bytes} bytes: HTTP");
        let command = fixed::command(&self.database.url(), bytes)?;
        self.drive(Server::run(command, self.scratch)?, "").await
    }

    async fn drive(&self, server: Server, below: &str) -> anyhow::Result<Run> {
        let mut requests = Vec::new();
        for client in 0..CLIENTS {
            let mut request = Vec::new();
            browse::get(client, below, &mut request);
            requests.push(request);
        }
        let write = move |client: usize, _: usize, bytes: &mut Vec<u8>| {
            bytes.extend_from_slice(&requests[client]);
        };
        let postmaster = self.database.postmaster;
        let run = http::drive(
            &server,
            postmaster,
            (CLIENTS, self.plan),
            browse::READ,
            write,
        )
        .await?;
        server.stop()?;
        Ok(run)
    }

    fn pgbench(&self, script: &Script) -> anyhow::Result<Run> {
        eprintln!("the same: pgbench");
        pgbench::drive(&self.database, self.scratch, (CLIENTS, self.plan), script)
    }
}
