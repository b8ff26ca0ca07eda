//! The private PostgreSQL of the benchmarks, with real fsync: a catalogue, partners, and the state each run starts from.

use std::{
    path::{Path, PathBuf},
    process::{ExitStatus, Stdio},
};

use anyhow::Context;
use lmn_partner_api::database::{
    MIGRATOR,
    embedded::{Cluster, Keeper, Purpose},
};
use sqlx::{AssertSqlSafe, Connection, PgConnection};

use uuid::Uuid;

use super::{
    plan::{FIRST_VEHICLE, PARTNERS, Plan, api_key},
    server::{Server, lmn},
};

/// The database of the orders; what an earlier run left in it is dropped.
const ORDERS: &str = "bench";
/// The database that begins with nothing.
const EMPTY: &str = "empty";
/// Age at which a catalogue is made anew: most of its ten days of auctions are to come until then.
const DAYS_MAX: u32 = 4;
/// Vehicles of the demo that the typical one is chosen from.
const DEMO_VEHICLES: &str = "500";

/// A database; most have a catalogue and partners.
pub struct Database {
    cluster: Cluster,
    name: String,
    /// The folder of its programs.
    pub programs: PathBuf,
    /// The process of which all others of the server are children.
    pub postmaster: u32,
    /// What it is.
    pub version: String,
}

impl Database {
    /// Makes one with nothing in it, not even tables.
    pub async fn empty() -> anyhow::Result<Self> {
        let database = Self::find(EMPTY.to_owned()).await?;
        database.create().await?;
        Ok(database)
    }

    /// Makes one for orders, with one typical lot of the demo catalogue as often as the plan says.
    pub async fn make(plan: &Plan, scratch: &Path) -> anyhow::Result<Self> {
        let database = Self::find(ORDERS.to_owned()).await?;
        database.create().await?;
        // It migrates, and brings the demo's vehicles.
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

    /// Finds the demo's catalogue of so many vehicles, or makes it as an operator would; it is kept for the next run.
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
        succeeds(lmn(&["migrate"], &variables).status()?)?;
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
        succeeds(demo.wait()?)?;
        succeeds(importing?)?;
        let mut connection = database.connect().await?;
        // As a worker leaves the log some minutes later.
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

    /// Says whether it is there, as it was made, of this schema, and has enough auctions to come.
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

    /// Notes whether the catalogue is as it was made; one that is not is made anew for the next run.
    pub async fn set_whole(&self, is_whole: bool) -> anyhow::Result<()> {
        let statement = format!("update made_of set is_whole = {is_whole}");
        run(&mut self.connect().await?, statement).await
    }

    async fn find(name: String) -> anyhow::Result<Self> {
        let dir = Path::new(env!("CARGO_TARGET_TMPDIR")).join("bench-pg");
        let keeper = Keeper::new(env!("CARGO_BIN_EXE_lmn"), ["dev-db", "keep"]);
        let cluster = Cluster::ensure(&dir, Purpose::Data, &keeper, &|words| eprintln!("{words}"))?;
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

    /// Makes it anew, with nothing in it.
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

    /// Returns its URL.
    pub fn url(&self) -> String {
        self.cluster.url(&self.name)
    }

    /// Returns the folder of its socket.
    pub fn socket_folder(&self) -> &Path {
        self.cluster.dir()
    }

    /// Returns its name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Connects to it.
    pub async fn connect(&self) -> anyhow::Result<PgConnection> {
        Ok(PgConnection::connect(&self.url()).await?)
    }

    async fn fill(&self, plan: &Plan) -> anyhow::Result<()> {
        let mut connection = self.connect().await?;
        // All in one auction, a month from now.
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

    /// Adds the partners, each with a key that the benchmarks know, and lets the planner look at everything.
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

    /// Returns the version of a vehicle's row. All vehicles that are ordered share it: one statement has inserted them.
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

    /// Forgets all orders, and gives every run the same room before the next checkpoint.
    pub async fn reset(&self) -> anyhow::Result<()> {
        let mut connection = self.connect().await?;
        let orders = "orders, order_steps, order_vehicles, idempotency_keys, audit_entries";
        run(
            &mut connection,
            format!("truncate {orders}, webhook_lanes, events, event_feeds, overdue_reminders"),
        )
        .await?;
        run(&mut connection, "vacuum (analyze) vehicles".to_owned()).await?;
        run(&mut connection, "checkpoint".to_owned()).await?;
        Ok(connection.close().await?)
    }

    /// Leaves the orders as they are, with what the planner should know of them.
    pub async fn settle(&self) -> anyhow::Result<()> {
        let mut connection = self.connect().await?;
        run(&mut connection, "vacuum (analyze)".to_owned()).await?;
        run(&mut connection, "checkpoint".to_owned()).await?;
        Ok(connection.close().await?)
    }

    /// Counts the orders that are whole: with their request, vehicle and stored reply.
    pub async fn count_orders(&self) -> anyhow::Result<i64> {
        let query = sqlx::query_scalar(
            "select count(*) from orders
             join order_vehicles on order_vehicles.order_id = orders.id
             join idempotency_keys on idempotency_keys.order_id = orders.id and reply_body is not null
             where request_id is not null",
        );
        Ok(query.fetch_one(&mut self.connect().await?).await?)
    }

    /// Drops it.
    pub async fn remove(self) -> anyhow::Result<()> {
        let mut admin = PgConnection::connect(&self.cluster.url("postgres")).await?;
        run(
            &mut admin,
            format!("drop database {} with (force)", self.name),
        )
        .await
    }
}

fn succeeds(status: ExitStatus) -> anyhow::Result<()> {
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
