//! The cost of each query of [`QUERIES`], measured by repeated requests over one connection.

use std::{fmt::Write, time::Instant};

use anyhow::Context;
use serde_json::Value;

use super::{
    browse::{self, READ},
    database::Database,
    http::Client,
    plan::Plan,
    process::Threads,
    queries::{QUERIES, Query, Values},
    report::Latencies,
    server::Server,
};

/// Number of requests before those that are measured.
const WARM_UP: usize = 3;
/// Size of the catalogue divided by the largest depth of a page.
const DEPTH_SHARE: usize = 20;
/// Number of queries in the table; all of them are printed to standard error.
const WORST: usize = 10;

/// The cost of one request for a query.
#[derive(Debug)]
struct Cost {
    name: &'static str,
    /// Number of vehicles on the page.
    rows: usize,
    page: Spent,
    /// The same query with one vehicle per page, which costs little more than the search.
    single: Spent,
}

/// CPU time of one request in microseconds, and latencies.
#[derive(Debug, Clone, Copy)]
struct Spent {
    server: f64,
    postgres: f64,
    latencies: Latencies,
}

/// The costs of all queries, the highest first.
#[derive(Debug)]
pub struct Costs(Vec<Cost>);

/// A client, and the processes whose CPU time is measured.
struct Session {
    client: Client,
    server: u32,
    postmaster: u32,
    requests: usize,
}

/// Measures every query.
pub async fn measure(
    database: &Database,
    server: &Server,
    plan: &Plan,
    values: &Values,
) -> anyhow::Result<Costs> {
    let mut session = Session {
        client: Client::connect(server.address).await?,
        server: server.pid(),
        postmaster: database.postmaster,
        requests: plan.requests,
    };
    let mut costs = Vec::new();
    for query in &QUERIES {
        let depth = query.depth.min(plan.catalogue / DEPTH_SHARE);
        let cost = session.measure(query, values, depth).await;
        let cost = cost.with_context(|| format!("measuring `{}`", query.name))?;
        eprint!("{}", cost.row());
        costs.push(cost);
    }
    costs.sort_by(|one, other| other.page.server.total_cmp(&one.page.server));
    Ok(Costs(costs))
}

/// Sends every query once, with full pages, to fill the cache.
pub async fn ask_all(server: &Server, values: &Values) -> anyhow::Result<()> {
    let mut client = Client::connect(server.address).await?;
    for query in &QUERIES {
        browse::read(&mut client, &format!("?{}&limit=200", query.of(values))).await?;
    }
    Ok(())
}

impl Session {
    async fn measure(
        &mut self,
        query: &Query,
        values: &Values,
        depth: usize,
    ) -> anyhow::Result<Cost> {
        let text = query.of(values);
        let cursor = browse::skip(&mut self.client, &text, depth).await?;
        let (rows, page) = self.ask(&format!("?{text}&limit=50{cursor}")).await?;
        let (_, single) = self.ask(&format!("?{text}&limit=1{cursor}")).await?;
        Ok(Cost {
            name: query.name,
            rows,
            page,
            single,
        })
    }

    /// Requests a page; returns its number of rows and the cost of one request.
    async fn ask(&mut self, below: &str) -> anyhow::Result<(usize, Spent)> {
        let mut bytes = Vec::new();
        browse::get(0, below, &mut bytes);
        let mut rows = 0;
        for _ in 0..WARM_UP {
            let body = self.client.ask(&bytes, READ).await?.body;
            let page: Value = serde_json::from_slice(body)?;
            rows = page["data"].as_array().context("no page")?.len();
        }
        let before = self.threads()?;
        let mut latencies = Vec::with_capacity(self.requests);
        for _ in 0..self.requests {
            let asked = Instant::now();
            self.client.ask(&bytes, READ).await?;
            latencies.push(asked.elapsed());
        }
        let after = self.threads()?;
        let microseconds = |seconds: f64| seconds * 1e6 / self.requests as f64;
        let spent = Spent {
            server: microseconds(after.0.seconds_since(&before.0)),
            postgres: microseconds(after.1.seconds_since(&before.1)),
            latencies: Latencies::of(latencies),
        };
        Ok((rows, spent))
    }

    fn threads(&self) -> anyhow::Result<(Threads, Threads)> {
        Ok((
            Threads::of(self.server)?,
            Threads::of_family(self.postmaster)?,
        ))
    }
}

impl Cost {
    fn row(&self) -> String {
        let Self {
            name,
            rows,
            page,
            single,
        } = self;
        let Latencies { p50, p99, .. } = page.latencies;
        format!(
            "| {name} | {rows} | {:.0} | {:.0} | {:.0} | {p50:.2} | {p99:.2} |\n",
            page.server, single.server, page.postgres
        )
    }
}

impl Costs {
    /// Returns the most expensive queries as Markdown.
    pub fn markdown(&self) -> String {
        let mut table = "\
| query | vehicles on the page | CPU µs a request: server | server, one vehicle a page | PostgreSQL | p50 ms | p99 ms |
|---|--:|--:|--:|--:|--:|--:|
"
        .to_owned();
        for cost in self.0.iter().take(WORST) {
            table.push_str(&cost.row());
        }
        let worst = |of: fn(&Cost) -> f64| {
            let worst = self
                .0
                .iter()
                .max_by(|one, other| of(one).total_cmp(&of(other)));
            worst.map(|cost| (cost.name, of(cost))).unwrap_or_default()
        };
        let all = [
            ("server CPU µs", worst(|cost| cost.page.server)),
            (
                "server CPU µs of one vehicle a page",
                worst(|cost| cost.single.server),
            ),
            ("PostgreSQL CPU µs", worst(|cost| cost.page.postgres)),
            ("p50 µs", worst(|cost| cost.page.latencies.p50 * 1e3)),
        ];
        let _ = writeln!(table, "\nThe worst of all {}:\n", self.0.len());
        for (what, (name, value)) in all {
            // Writing to a string cannot fail.
            let _ = writeln!(table, "- {what}: {value:.0}, {name}");
        }
        table
    }
}
