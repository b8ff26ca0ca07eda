//! The private PostgreSQL of the benchmarks, with fsync on: a catalogue, partners, and the initial state of each run.

use std::{
    path::{Path, PathBuf},
    process::{ExitStatus, Stdio},
};

use anyhow::Context;
use dev_postgres::{Cluster, Purpose};
use lmn_partner_api::{cli::dev_db, database::MIGRATOR};
use sqlx::{AssertSqlSafe, Connection, PgConnection};

use uuid::Uuid;

use super::{
    plan::{FIRST_VEHICLE, PARTNERS, Plan, api_key},
    server::{Server, lmn},
};

/// The database of the orders; the one of an earlier run is dropped.
const ORDERS: &str = "bench";
/// The database that is empty at first.
const EMPTY: &str = "empty";
/// Age in days at which a catalogue is made anew; until then most of its ten days of auctions are still to come.
const DAYS_MAX: u32 = 4;
/// Number of demo vehicles from which the typical one is chosen.
const DEMO_VEHICLES: &str = "500";

/// A database, with a catalogue and partners unless it is empty.
pub struct Database {
    cluster: Cluster,
    name: String,
    /// The folder of PostgreSQL's programs.
    pub programs: PathBuf,
    /// The process id of the postmaster, the parent of all processes of the server.
    pub postmaster: u32,
    /// The version of PostgreSQL.
    pub version: String,
}

impl Database {
    /// Makes an empty database, without tables.
    pub async fn empty() -> anyhow::Result<Self> {
        let database = Self::find(EMPTY.to_owned()).await?;
        database.create().await?;
        Ok(database)
    }

    /// Makes a database for orders, with as many copies of a typical lot of the demo catalogue as the plan requires.
    pub async fn make(plan: &Plan, scratch: &Path) -> anyhow::Result<Self> {
        let database = Self::find(ORDERS.to_owned()).await?;
        database.create().await?;
        // `lmn dev` migrates the database and adds the demo's vehicles.
        let url = database.url();
        let data_dir = scratch.join("dev");
        let data_dir = data_dir.to_string_lossy();
        let arguments = [
            "dev",
            "--json",
            "--port=0",
            "--vehicles",
            DEMO_VEHICLES,
            "--data-dir",
            &data_dir,
        ];
        Server::start(&arguments, &[("DATABASE_URL", &url)], scratch)?.stop()?;
        database.fill(plan).await?;
        database.add_partners().await?;
        Ok(database)
    }

    /// Finds the demo catalogue with a number of vehicles, or makes it with the operator's commands; it is kept for the
    /// next run.
    pub async fn catalogue(vehicles: usize) -> anyhow::Result<Self> {
        let database = Self::find(format!("catalogue_{vehicles}")).await?;
        let schema: Vec<u8> = MIGRATOR
            .iter()
            .flat_map(|it| it.checksum.to_vec())
            .collect();
        if database.is_of(&schema).await {
            return Ok(database);
        }
        eprintln!("importing {vehicles} vehicles; they are kept for the next run");
        database.create().await?;
        let variables = [("DATABASE_URL", database.url())];
        check(lmn(&["migrate"], &variables).status()?)?;
        let number = vehicles.to_string();
        let mut demo = lmn(
            &["catalog", "demo", "--seed", "1", "--vehicles", &number],
            &variables,
        )
        .stdout(Stdio::piped())
        .spawn()?;
        let input = demo.stdout.take().context("the demo prints nothing")?;
        let importing = lmn(&["catalog", "import", "-"], &variables)
            .stdin(input)
            .status();
        check(demo.wait()?)?;
        check(importing?)?;
        let mut connection = database.connect().await?;
        // The state of the log some minutes later, after a worker has trimmed it.
        run(&mut connection, "truncate catalogue_changes".to_owned()).await?;
        database.add_partners().await?;
        let made_of = "create table made_of (schema bytea, is_whole boolean, made_at timestamptz)";
        run(&mut connection, made_of.to_owned()).await?;
        sqlx::query("insert into made_of values ($1, true, now())")
            .bind(&schema)
            .execute(&mut connection)
            .await?;
        Ok(database)
    }

    /// Returns whether the database exists, unchanged, with this schema, and with enough auctions to come.
    async fn is_of(&self, schema: &[u8]) -> bool {
        let Ok(mut connection) = self.connect().await else {
            return false;
        };
        let made_of = format!(
            "select schema from made_of where is_whole and made_at > now() - interval '{DAYS_MAX} days'"
        );
        let made_of = sqlx::query_scalar(AssertSqlSafe(made_of)).fetch_one(&mut connection);
        made_of.await.is_ok_and(|it: Vec<u8>| it == schema)
    }

    /// Records whether the catalogue is unchanged; a changed one is made anew for the next run.
    pub async fn set_whole(&self, is_whole: bool) -> anyhow::Result<()> {
        let statement = format!("update made_of set is_whole = {is_whole}");
        run(&mut self.connect().await?, statement).await
    }

    async fn find(name: String) -> anyhow::Result<Self> {
        let dir = Path::new(env!("CARGO_TARGET_TMPDIR")).join("bench-pg");
        let supervisor = dev_db::supervisor(env!("CARGO_BIN_EXE_lmn"));
        let cluster = Cluster::ensure(&dir, Purpose::Data, &supervisor, &|words| {
            eprintln!("{words}")
        })?;
        let mut admin = PgConnection::connect(&cluster.url("postgres")).await?;
        let (programs, version, pid_file): (String, String, String) = sqlx::query_as(
            "select (select setting from pg_config where name = 'BINDIR'), current_setting('server_version'),
                    pg_read_file('postmaster.pid')",
        )
        .fetch_one(&mut admin)
        .await?;
        let postmaster = pid_file
            .lines()
            .next()
            .unwrap_or_default()
            .parse()
            .context("reading the server's pid file")?;
        Ok(Self {
            cluster,
            name,
            programs: programs.into(),
            postmaster,
            version,
        })
    }

    /// Creates the database anew, empty.
    async fn create(&self) -> anyhow::Result<()> {
        let mut admin = PgConnection::connect(&self.cluster.url("postgres")).await?;
        let name = &self.name;
        run(
            &mut admin,
            format!("drop database if exists {name} with (force)"),
        )
        .await?;
        run(&mut admin, format!("create database {name}")).await
    }

    /// Returns the URL of the database.
    pub fn url(&self) -> String {
        self.cluster.url(&self.name)
    }

    /// Returns the folder of the server's socket.
    pub fn socket_folder(&self) -> &Path {
        self.cluster.dir()
    }

    /// Returns the name of the database.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Connects to the database.
    pub async fn connect(&self) -> anyhow::Result<PgConnection> {
        Ok(PgConnection::connect(&self.url()).await?)
    }

    async fn fill(&self, plan: &Plan) -> anyhow::Result<()> {
        let mut connection = self.connect().await?;
        // All vehicles are in one auction, a month from now.
        let columns: String = sqlx::query_scalar(
            "select string_agg(column_name, ', ') from information_schema.columns
             where table_name = 'vehicles' and is_generated = 'NEVER' and column_name not in ('id', 'auction_date')",
        )
        .fetch_one(&mut connection)
        .await?;
        let last_vehicle = FIRST_VEHICLE + plan.vehicles - 1;
        run(
            &mut connection,
            format!(
                "create table typical as
                 select * from vehicles where auction_result = 'upcoming' and inspection is not null
                 order by pg_column_size(vehicles.*) limit 1
                 offset (select count(*) / 2 from vehicles
                         where auction_result = 'upcoming' and inspection is not null);
                 insert into vehicles (id, auction_date, {columns})
                 select number::text, date_trunc('day', now()) + interval '30 days', {columns}
                 from typical, generate_series({FIRST_VEHICLE}, {last_vehicle}) number"
            ),
        )
        .await
    }

    /// Adds the partners, each with the key of [`api_key`], and analyzes all tables.
    pub async fn add_partners(&self) -> anyhow::Result<()> {
        let mut connection = self.connect().await?;
        for partner in 0..PARTNERS {
            let api_key = api_key(partner);
            run(
                &mut connection,
                format!(
                    "with partner as (
                         insert into partners (id, name, read_limit, read_window_seconds, read_burst,
                                               write_limit, write_window_seconds, write_burst, created_at)
                         values (gen_random_uuid(), 'partner {partner}', 1000000, 1, 1000000, 1000000, 1, 1000000, now())
                         returning id
                     )
                     insert into api_keys (id, partner_id, digest, prefix, created_at)
                     select gen_random_uuid(), id, sha256('{api_key}'), left('{api_key}', 12), now() from partner"
                ),
            )
            .await?;
        }
        run(&mut connection, "vacuum (analyze)".to_owned()).await?;
        Ok(connection.close().await?)
    }

    /// Returns the bid for any vehicle: a little more than its listing price.
    pub async fn bid(&self) -> anyhow::Result<i32> {
        let query = sqlx::query_scalar("select listing_usd + 500 from typical");
        Ok(query.fetch_one(&mut self.connect().await?).await?)
    }

    /// Returns the version of a vehicle's row. All ordered vehicles share it, because one statement has inserted them.
    pub async fn row_version(&self, vehicle: usize) -> anyhow::Result<String> {
        let query = sqlx::query_scalar("select xmin::text from vehicles where id = $1");
        let query = query.bind(vehicle.to_string());
        Ok(query.fetch_one(&mut self.connect().await?).await?)
    }

    /// Returns the id of a partner.
    pub async fn partner(&self, number: usize) -> anyhow::Result<Uuid> {
        let query = sqlx::query_scalar("select id from partners where name = $1");
        let query = query.bind(format!("partner {number}"));
        Ok(query.fetch_one(&mut self.connect().await?).await?)
    }

    /// Deletes all orders, and makes a checkpoint so that every run has the same distance to the next one.
    pub async fn reset(&self) -> anyhow::Result<()> {
        let mut connection = self.connect().await?;
        let orders = "orders, order_steps, order_vehicles, idempotency_keys, audit_entries";
        run(
            &mut connection,
            format!("truncate {orders}, delivery_queues, events, event_feeds, overdue_reminders"),
        )
        .await?;
        run(&mut connection, "vacuum (analyze) vehicles".to_owned()).await?;
        run(&mut connection, "checkpoint".to_owned()).await?;
        Ok(connection.close().await?)
    }

    /// Keeps the orders, analyzes all tables, and makes a checkpoint.
    pub async fn settle(&self) -> anyhow::Result<()> {
        let mut connection = self.connect().await?;
        run(&mut connection, "vacuum (analyze)".to_owned()).await?;
        run(&mut connection, "checkpoint".to_owned()).await?;
        Ok(connection.close().await?)
    }

    /// Counts the complete orders: those with their request id, vehicle and stored reply.
    pub async fn count_orders(&self) -> anyhow::Result<i64> {
        let query = sqlx::query_scalar(
            "select count(*) from orders
             join order_vehicles on order_vehicles.order_id = orders.id
             join idempotency_keys on idempotency_keys.order_id = orders.id and reply_body is not null
             where request_id is not null",
        );
        Ok(query.fetch_one(&mut self.connect().await?).await?)
    }

    /// Drops the database.
    pub async fn remove(self) -> anyhow::Result<()> {
        let mut admin = PgConnection::connect(&self.cluster.url("postgres")).await?;
        run(
            &mut admin,
            format!("drop database {} with (force)", self.name),
        )
        .await
    }
}

fn check(status: ExitStatus) -> anyhow::Result<()> {
    anyhow::ensure!(status.success(), "a command ended with {status}");
    Ok(())
}

/// Runs statements.
pub async fn run(connection: &mut PgConnection, sql: String) -> anyhow::Result<()> {
    sqlx::raw_sql(AssertSqlSafe(sql.clone()))
        .execute(connection)
        .await
        .with_context(|| format!("running {sql}"))?;
    Ok(())
}
