//! Benchmarks of placing, replaying and reading orders over HTTP, compared with pgbench running the same statements; of
//! reading them with and without the log; and of the cost of metrics.
//!
//! `cargo bench --bench orders` prints a table to standard output and its progress to standard error.
//! `docs/performance.md` explains the figures and has the latest ones.

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

use anyhow::ensure;
use lmn_partner_api::telemetry;
use support::{
    database::Database,
    http::{self, Client},
    orders::{self, PLACED, READ, REPLAYED, Scripts, get, post},
    pgbench,
    plan::{PARTNERS, Plan, number},
    report::{Compared, Run, Table},
    script::Script,
    server::Server,
};
use tokio::task::JoinSet;

/// Clients that place the orders to be replayed and read; enough of them that commits share their fsyncs.
const PREPARING: usize = 16;
/// Number of clients that read while settings are compared.
const COMPARING: usize = 8;
/// Number of requests recorded in metrics to measure the cost of one.
const RECORDED: u32 = 25_000;
/// Settings under which a read is compared, the defaults first.
const LOGGING: [(&str, &[(&str, &str)]); 2] =
    [("log on", &[]), ("log off", &[("LMN_LOG__FILTER", "off")])];

#[tokio::main(flavor = "current_thread")]
async fn main() -> anyhow::Result<()> {
    let mut plan = Plan::read()?;
    let scratch = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR"))?;
    eprintln!("making a catalogue of {} vehicles", plan.vehicles);
    let database = Database::make(&plan, scratch.path()).await?;
    plan.bid = database.bid().await?;
    eprintln!("recording the statements that each request sends to PostgreSQL");
    let scripts = orders::record(&database, &plan, scratch.path()).await?;
    let bench = Bench {
        database,
        plan,
        scratch: scratch.path(),
        scripts,
    };
    let table = bench.run().await?;
    let compared = bench.compare_logging().await?;
    println!("{}\n\n{}", bench.setting()?, table.markdown());
    println!(
        "Reading an order, {COMPARING} clients:\n\n{}",
        compared.markdown()
    );
    let recorded = telemetry::time_recording(RECORDED).as_secs_f64();
    println!(
        "Metrics: {:.2} µs a request, of {RECORDED} recorded by one thread.",
        recorded * 1e6 / f64::from(RECORDED)
    );
    bench.database.remove().await
}

/// The database, the plan and the scripts of all runs.
struct Bench<'a> {
    database: Database,
    plan: Plan,
    scratch: &'a Path,
    scripts: Scripts,
}

impl Bench<'_> {
    async fn run(&self) -> anyhow::Result<Table> {
        let mut table = Table::default();
        for clients in self.plan.clients {
            let (http, pgbench) = self.place(clients).await?;
            table.add("place an order", &http, &pgbench);
        }
        eprintln!("placing {} orders to replay and read", self.plan.orders);
        self.prepare_orders().await?;
        for clients in self.plan.clients {
            let (http, pgbench) = self.replay(clients).await?;
            table.add("replay it", &http, &pgbench);
        }
        for clients in self.plan.clients {
            let (http, pgbench) = self.read(clients).await?;
            table.add("read it", &http, &pgbench);
        }
        Ok(table)
    }

    /// Describes the circumstances of the figures.
    fn setting(&self) -> anyhow::Result<String> {
        Ok(format!(
            "{} cores, PostgreSQL {}; {} s a run after {} s of warm-up; {} vehicles, {} orders to replay and read.",
            available_parallelism()?,
            self.database.version,
            self.plan.measured.as_secs(),
            self.plan.warm_up.as_secs(),
            self.plan.vehicles,
            self.plan.orders,
        ))
    }

    fn serve(&self, settings: &[(&str, &str)]) -> anyhow::Result<Server> {
        Server::serve(&self.database.url(), settings, self.scratch)
    }

    /// Places orders by HTTP and by pgbench, each starting without orders.
    async fn place(&self, clients: usize) -> anyhow::Result<(Run, Run)> {
        eprintln!("placing orders, {clients} at once: HTTP");
        self.database.reset().await?;
        let bid = self.plan.bid;
        let request = move |client, round, bytes: &mut Vec<u8>| {
            post(client, number(client, clients, round), bid, bytes);
        };
        let http = self.drive(&[], clients, PLACED, request).await?;
        self.check_count("201s", &http).await?;

        eprintln!("placing orders, {clients} at once: pgbench");
        self.database.reset().await?;
        let pgbench = self.pgbench(clients, &self.scripts.place)?;
        self.check_count("transactions", &pgbench).await?;
        Ok((http, pgbench))
    }

    /// Replays orders, each client one of its own.
    async fn replay(&self, clients: usize) -> anyhow::Result<(Run, Run)> {
        eprintln!("replaying orders, {clients} at once");
        let bid = self.plan.bid;
        let request = move |client, _, bytes: &mut Vec<u8>| post(client, client, bid, bytes);
        let http = self.drive(&[], clients, REPLAYED, request).await?;
        Ok((http, self.pgbench(clients, &self.scripts.replay)?))
    }

    /// Reads orders, each client one of its own.
    async fn read(&self, clients: usize) -> anyhow::Result<(Run, Run)> {
        eprintln!("reading orders, {clients} at once");
        let http = self.read_by_http(&[], clients).await?;
        Ok((http, self.pgbench(clients, &self.scripts.read)?))
    }

    /// Reads orders with and without the log, in turns, so that changes of the machine's speed affect both alike.
    async fn compare_logging(&self) -> anyhow::Result<Compared> {
        let mut compared = Compared::default();
        for turn in 1..=self.plan.turns {
            for (what, settings) in LOGGING {
                eprintln!("reading orders, {what}, turn {turn}");
                compared.add(what, self.read_by_http(settings, COMPARING).await?);
            }
        }
        Ok(compared)
    }

    async fn read_by_http(&self, settings: &[(&str, &str)], clients: usize) -> anyhow::Result<Run> {
        let mut ids = Vec::new();
        for client in 0..clients {
            ids.push(orders::id_of_clients_order(&self.database, client).await?);
        }
        let request = move |client: usize, _, bytes: &mut Vec<u8>| get(client, &ids[client], bytes);
        self.drive(settings, clients, READ, request).await
    }

    async fn drive(
        &self,
        settings: &[(&str, &str)],
        clients: usize,
        expected: http::Expected,
        request: impl Fn(usize, usize, &mut Vec<u8>) + Clone + Send + 'static,
    ) -> anyhow::Result<Run> {
        let server = self.serve(settings)?;
        let postmaster = self.database.postmaster;
        let run = http::drive(
            &server,
            postmaster,
            (clients, &self.plan),
            expected,
            request,
        )
        .await;
        server.stop()?;
        run
    }

    fn pgbench(&self, clients: usize, script: &Script) -> anyhow::Result<Run> {
        pgbench::drive(&self.database, self.scratch, (clients, &self.plan), script)
    }

    /// Checks that exactly the reported orders are stored, all of them complete.
    async fn check_count(&self, what: &str, run: &Run) -> anyhow::Result<()> {
        let (orders, reported) = (self.database.count_orders().await?, run.all);
        eprintln!("  {:.0}/s; {reported} {what}, {orders} orders", run.rate);
        ensure!(
            usize::try_from(orders)? == reported,
            "{reported} {what}, but {orders} orders"
        );
        Ok(())
    }

    /// Places the orders to be replayed and read: order 0 for client 0, and so on.
    async fn prepare_orders(&self) -> anyhow::Result<()> {
        const {
            assert!(
                PREPARING.is_multiple_of(PARTNERS),
                "the number of an order determines its partner"
            )
        };
        self.database.reset().await?;
        let server = self.serve(&[])?;
        let mut placing = JoinSet::new();
        for client in 0..PREPARING {
            let (orders, bid) = (self.plan.orders, self.plan.bid);
            let mut asking = Client::connect(server.address).await?;
            placing.spawn(async move {
                let mut bytes = Vec::new();
                for number in (client..orders).step_by(PREPARING) {
                    bytes.clear();
                    post(client, number, bid, &mut bytes);
                    asking.ask(&bytes, PLACED).await?;
                }
                anyhow::Ok(())
            });
        }
        while let Some(placed) = placing.join_next().await {
            placed??;
        }
        server.stop()?;
        self.database.settle().await
    }
}
