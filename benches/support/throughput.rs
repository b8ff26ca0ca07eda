//! Throughput of pages and vehicles read by sixteen clients, compared with a fixed response of the same size.

use std::{path::Path, sync::Arc};

use anyhow::Context;

use super::{
    browse::{self, READ},
    database::Database,
    fixed,
    http::{self, Client},
    plan::Plan,
    report::{Run, Throughput},
    server::Server,
};

/// Number of concurrent clients.
pub const CLIENTS: usize = 16;
/// The query of the page: one make by price.
const PAGE: &str = "make=hyundai&sort=price_asc";
/// Number of vehicles before the deep page; fewer in a small catalogue.
const DEPTH: usize = 5_000;
/// Size of the catalogue divided by the largest depth of the deep page.
const DEPTH_SHARE: usize = 20;
/// Number of vehicles that are read in turn.
const VEHICLES: i64 = 20_000;

/// A set of resources that is read repeatedly.
#[derive(Debug, Clone)]
pub struct Workload {
    what: String,
    /// The parts of the URLs below `/v1/vehicles`, read in turn.
    below: Arc<Vec<String>>,
    /// Size of the first response's body in bytes.
    bytes: usize,
}

/// The runs of one workload.
#[derive(Debug)]
pub struct Runs {
    /// With vehicles cached.
    pub cached: Run,
    /// With every vehicle read from the database.
    pub read: Run,
}

impl Workload {
    /// Returns the workload of the first page.
    pub async fn page(server: &Server, vehicles: usize) -> anyhow::Result<Self> {
        Self::new(
            server,
            format!("page 1 of {vehicles} vehicles"),
            vec![format!("?{PAGE}")],
        )
        .await
    }

    /// Returns all workloads of a catalogue.
    pub async fn all(
        database: &Database,
        server: &Server,
        vehicles: usize,
    ) -> anyhow::Result<Vec<Self>> {
        let depth = DEPTH.min(vehicles / DEPTH_SHARE);
        let mut client = Client::connect(server.address).await?;
        let cursor = browse::skip(&mut client, PAGE, depth).await?;
        let ids =
            "select '/' || id from vehicles where withdrawn_at is null order by md5(id) limit $1";
        let ids = sqlx::query_scalar(ids).bind(VEHICLES);
        let ids: Vec<String> = ids.fetch_all(&mut database.connect().await?).await?;
        let one = ids.first().context("a catalogue without vehicles")?.clone();
        Ok(vec![
            Self::page(server, vehicles).await?,
            Self::new(
                server,
                format!("page after {depth} of {vehicles} vehicles"),
                vec![format!("?{PAGE}{cursor}")],
            )
            .await?,
            Self::new(server, "one vehicle".to_owned(), vec![one]).await?,
            Self::new(server, format!("any of {} vehicles", ids.len()), ids).await?,
        ])
    }

    async fn new(server: &Server, what: String, below: Vec<String>) -> anyhow::Result<Self> {
        let mut request = Vec::new();
        browse::get(0, &below[0], &mut request);
        let mut client = Client::connect(server.address).await?;
        let bytes = client.ask(&request, READ).await?.body.len();
        Ok(Self {
            what,
            below: Arc::new(below),
            bytes,
        })
    }

    /// Reads the workload from a server.
    pub async fn drive(
        &self,
        database: &Database,
        server: &Server,
        plan: &Plan,
    ) -> anyhow::Result<Run> {
        eprintln!("reading {}", self.what);
        let below = self.below.clone();
        let write = move |client: usize, round: usize, bytes: &mut Vec<u8>| {
            let place = (round * CLIENTS + client) % below.len();
            browse::get(client, &below[place], bytes);
        };
        http::drive(server, database.postmaster, (CLIENTS, plan), READ, write).await
    }

    /// Reads a fixed response of the same size.
    pub async fn drive_fixed(
        &self,
        database: &Database,
        plan: &Plan,
        scratch: &Path,
    ) -> anyhow::Result<Run> {
        eprintln!("reading a fixed response of {} bytes", self.bytes);
        let command = fixed::command(&database.url(), self.bytes)?;
        let server = Server::run(command, scratch)?;
        let write = |client: usize, _: usize, bytes: &mut Vec<u8>| browse::get(client, "", bytes);
        let run = http::drive(&server, database.postmaster, (CLIENTS, plan), READ, write).await?;
        server.stop()?;
        Ok(run)
    }

    /// Adds the runs of the workload to the table.
    pub fn add(&self, table: &mut Throughput, runs: &Runs, fixed: Option<&Run>) {
        table.add(&self.what, "cache", &runs.cached, fixed);
        table.add(&self.what, "database", &runs.read, fixed);
        if let Some(fixed) = fixed {
            table.add(&self.what, "fixed response", fixed, None);
        }
    }
}
