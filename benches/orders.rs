//! Placing, replaying and reading orders over HTTP, beside pgbench with the very same statements.
//!
//! `cargo bench --bench orders` prints a table to standard output and what it is doing to standard error. What the
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

use anyhow::ensure;
use support::{
    database::Database,
    http::{self, Client},
    orders::{self, PLACED, READ, REPLAYED, Scripts, get, post},
    pgbench,
    plan::{PARTNERS, Plan, number},
    report::{Run, Table},
    server::Server,
};
use tokio::task::JoinSet;

/// Who place the orders that are then replayed and read: so many that the commits share their fsyncs.
const PREPARING: usize = 16;

#[tokio::main(flavor = "current_thread")]
async fn main() -> anyhow::Result<()> {
    let mut plan = Plan::read()?;
    let scratch = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR"))?;
    eprintln!("making a catalogue of {} cars", plan.cars);
    let database = Database::make(&plan, scratch.path()).await?;
    plan.bid = database.bid().await?;
    eprintln!("listening to what each request sends to PostgreSQL");
    let scripts = orders::listen(&database, &plan, scratch.path()).await?;
    let bench = Bench {
        database,
        plan,
        scratch: scratch.path(),
        scripts,
    };
    let table = bench.run().await?;
    println!("{}\n\n{}", bench.setting()?, table.markdown());
    bench.database.remove().await
}

/// What everything is done with.
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

    /// Says under which circumstances the figures were obtained.
    fn setting(&self) -> anyhow::Result<String> {
        Ok(format!(
            "{} cores, PostgreSQL {}; {} s a run after {} s of warm-up; {} cars, {} orders to replay and read.",
            available_parallelism()?,
            self.database.version,
            self.plan.measured.as_secs(),
            self.plan.warm_up.as_secs(),
            self.plan.cars,
            self.plan.orders,
        ))
    }

    fn serve(&self) -> anyhow::Result<Server> {
        Server::serve(&self.database.url(), &[], self.scratch)
    }

    /// Places orders, by HTTP and by pgbench, each from an empty order book.
    async fn place(&self, clients: usize) -> anyhow::Result<(Run, Run)> {
        eprintln!("placing orders, {clients} at once: HTTP");
        self.database.reset().await?;
        let bid = self.plan.bid;
        let request = move |client, round, bytes: &mut Vec<u8>| {
            post(client, number(client, clients, round), bid, bytes);
        };
        let http = self.drive(clients, PLACED, request).await?;
        self.check_count("201s", &http).await?;

        eprintln!("placing orders, {clients} at once: pgbench");
        self.database.reset().await?;
        let pgbench = self.pgbench(clients, &self.scripts.place)?;
        self.check_count("transactions", &pgbench).await?;
        Ok((http, pgbench))
    }

    /// Replays orders, each client its own.
    async fn replay(&self, clients: usize) -> anyhow::Result<(Run, Run)> {
        eprintln!("replaying orders, {clients} at once");
        let bid = self.plan.bid;
        let request = move |client, _, bytes: &mut Vec<u8>| post(client, client, bid, bytes);
        let http = self.drive(clients, REPLAYED, request).await?;
        Ok((http, self.pgbench(clients, &self.scripts.replay)?))
    }

    /// Reads orders, each client its own.
    async fn read(&self, clients: usize) -> anyhow::Result<(Run, Run)> {
        eprintln!("reading orders, {clients} at once");
        let mut ids = Vec::new();
        for client in 0..clients {
            ids.push(orders::id_of_clients_order(&self.database, client).await?);
        }
        let request = move |client: usize, _, bytes: &mut Vec<u8>| get(client, &ids[client], bytes);
        let http = self.drive(clients, READ, request).await?;
        Ok((http, self.pgbench(clients, &self.scripts.read)?))
    }

    async fn drive(
        &self,
        clients: usize,
        expected: http::Expected,
        request: impl Fn(usize, usize, &mut Vec<u8>) + Clone + Send + 'static,
    ) -> anyhow::Result<Run> {
        let server = self.serve()?;
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

    fn pgbench(&self, clients: usize, script: &support::script::Script) -> anyhow::Result<Run> {
        pgbench::drive(&self.database, self.scratch, (clients, &self.plan), script)
    }

    /// Sees that every order that was reported is there, whole, and no other.
    async fn check_count(&self, what: &str, run: &Run) -> anyhow::Result<()> {
        let (orders, reported) = (self.database.count_orders().await?, run.all);
        eprintln!("  {:.0}/s; {reported} {what}, {orders} orders", run.rate);
        ensure!(
            usize::try_from(orders)? == reported,
            "{reported} {what}, but {orders} orders"
        );
        Ok(())
    }

    /// Places the orders that are replayed and read: client 0 has order 0, and so on.
    async fn prepare_orders(&self) -> anyhow::Result<()> {
        const {
            assert!(
                PREPARING.is_multiple_of(PARTNERS),
                "a number tells its partner"
            )
        };
        self.database.reset().await?;
        let server = self.serve()?;
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
