//! [`TestDatabase`]: a database for each test, cloned from one migrated template and dropped when the test has passed.
//!
//! The databases are on a private server below `target/`, unless `TEST_DATABASE_URL` names a database on another
//! server. That server is neither started nor stopped; the user must be allowed to create databases.

#![allow(
    clippy::panic,
    clippy::print_stderr,
    clippy::unwrap_used,
    reason = "a test without its database cannot go on"
)]

use std::{
    env,
    path::Path,
    process::id,
    sync::{
        LazyLock,
        atomic::{AtomicU32, Ordering},
    },
    thread,
    time::{Duration, Instant},
};

use dev_postgres::{Cluster, Purpose};
use lmn_partner_api::{
    cli::dev_db,
    config::Settings,
    database::{Database, MIGRATOR, migrate},
    telemetry::metrics::Metrics,
    values::environment::Environment,
};
use rustix::{
    io::Errno,
    process::{Pid, test_kill_process},
};
use sqlx::{AssertSqlSafe, Connection, PgConnection, PgPool, postgres::PgPoolOptions};
use tokio::{runtime, sync::OnceCell, task::spawn_blocking, time::sleep};

/// Advisory lock of the process that makes the template; an arbitrary number that nothing else uses.
const TEMPLATE_LOCK: i64 = 0x6c6d_6e01;
/// Default number of connections of a test.
const CONNECTIONS: u32 = 5;
/// Time for sessions to end before the database is dropped by force.
const END_LIMIT: Duration = Duration::from_millis(500);

/// The server on which the databases are made.
static SERVER: LazyLock<Server> = LazyLock::new(Server::find);
/// Name of the template, set once it exists.
static TEMPLATE: OnceCell<String> = OnceCell::const_new();

/// A database of one test.
pub(crate) struct TestDatabase {
    /// Connections of the test.
    pub(crate) pool: PgPool,
    /// Connections made by the code under test.
    pub(crate) product: Database,
    name: String,
}

impl TestDatabase {
    /// Makes a database with the current schema and nothing in it.
    pub(crate) async fn new() -> Self {
        Self::with_connections(CONNECTIONS).await
    }

    /// Makes a database with the current schema, and pools of up to `connections`.
    pub(crate) async fn with_connections(connections: u32) -> Self {
        let mut admin = Self::admin().await;
        let template = TEMPLATE.get_or_init(|| prepare(&mut admin)).await;
        let clone = format!("template {template} strategy file_copy");
        Self::create(admin, &clone, connections).await
    }

    /// Makes a database without a schema.
    pub(crate) async fn empty() -> Self {
        Self::create(Self::admin().await, "", CONNECTIONS).await
    }

    async fn admin() -> PgConnection {
        spawn_blocking(|| LazyLock::force(&SERVER)).await.unwrap();
        SERVER.connect().await
    }

    async fn create(mut admin: PgConnection, options: &str, connections: u32) -> Self {
        static COUNTER: AtomicU32 = AtomicU32::new(0);
        let number = COUNTER.fetch_add(1, Ordering::Relaxed);
        let name = format!("test_{}_{number}", id());
        run(&mut admin, format!("create database {name} {options}"))
            .await
            .unwrap();
        admin.close().await.unwrap();
        let pool = PgPoolOptions::new()
            .max_connections(connections)
            .connect(&SERVER.url(&name))
            .await
            .unwrap();
        let product = product(&SERVER.url(&name), connections);
        Self {
            pool,
            product,
            name,
        }
    }

    /// Returns the URL of the database.
    pub(crate) fn url(&self) -> String {
        SERVER.url(&self.name)
    }
}

/// Makes a pool of the code under test, with the default settings; it connects on first use.
pub(crate) fn product(url: &str, connections: u32) -> Database {
    let variables = [
        ("DATABASE_URL", url.to_owned()),
        ("LMN_DATABASE__CONNECTIONS_MAX", connections.to_string()),
    ];
    let variables = variables.map(|(name, value)| (name.to_owned(), value));
    let settings = Settings::read(None, &variables).unwrap();
    Database::connect(&settings.database, Metrics::new()).unwrap()
}

impl Drop for TestDatabase {
    fn drop(&mut self) {
        if thread::panicking() {
            eprintln!("kept for inspection until the next run: {}", self.url());
            return;
        }
        let name = self.name.clone();
        // On another thread, because `drop` cannot wait for the test's runtime.
        let dropping = thread::spawn(move || {
            let runtime = runtime::Builder::new_current_thread()
                .enable_all()
                .build()
                .unwrap();
            runtime.block_on(remove(&name));
        });
        if dropping.join().is_err() {
            eprintln!("could not be dropped: {}", self.url());
        }
    }
}

/// The server of the tests.
enum Server {
    /// A private server, which runs as long as this process.
    Private(Cluster),
    /// Another server, by the URL of a database on it.
    Named(String),
}

impl Server {
    fn find() -> Self {
        if let Ok(url) = env::var("TEST_DATABASE_URL") {
            return Self::Named(url);
        }
        let dir = Path::new(env!("CARGO_TARGET_TMPDIR")).join("pg");
        let supervisor = dev_db::supervisor(env!("CARGO_BIN_EXE_lmn"));
        let notice = |line: &str| eprintln!("{line}");
        let cluster = Cluster::ensure(&dir, Purpose::Tests, &supervisor, &notice);
        Self::Private(cluster.unwrap_or_else(|error| panic!("{error}")))
    }

    fn url(&self, database: &str) -> String {
        match self {
            Self::Private(cluster) => cluster.url(database),
            Self::Named(url) => {
                let (path, query) = url.split_once('?').unwrap_or((url, ""));
                let (server, _) = path.rsplit_once('/').unwrap();
                format!("{server}/{database}?{query}")
            }
        }
    }

    /// Connects to a database from which others can be created.
    async fn connect(&self) -> PgConnection {
        let url = match self {
            Self::Private(cluster) => cluster.url("postgres"),
            Self::Named(url) => url.clone(),
        };
        PgConnection::connect(&url).await.unwrap()
    }
}

/// Removes leftover databases, and returns the name of the template; makes the template if no other process has.
async fn prepare(admin: &mut PgConnection) -> String {
    sweep(admin).await;
    let template = format!("template_{:016x}", checksum());
    if is_finished(admin, &template).await {
        return template;
    }
    run(admin, format!("select pg_advisory_lock({TEMPLATE_LOCK})"))
        .await
        .unwrap();
    if !is_finished(admin, &template).await {
        remove_other_templates(admin).await;
        // Left over from a process that was killed while it made the template.
        run(admin, format!("drop database if exists {template}"))
            .await
            .unwrap();
        run(admin, format!("create database {template}"))
            .await
            .unwrap();
        let mut connection = PgConnection::connect(&SERVER.url(&template)).await.unwrap();
        migrate(&mut connection, Environment::Sandbox)
            .await
            .unwrap();
        connection.close().await.unwrap();
        // Connections are refused from now on, because a template in use cannot be cloned.
        let finished = "is_template true allow_connections false";
        run(admin, format!("alter database {template} {finished}"))
            .await
            .unwrap();
    }
    run(admin, format!("select pg_advisory_unlock({TEMPLATE_LOCK})"))
        .await
        .unwrap();
    template
}

/// Returns a checksum of the migrations.
fn checksum() -> u64 {
    let bytes = MIGRATOR
        .iter()
        .flat_map(|migration| migration.checksum.iter());
    bytes.fold(0xcbf2_9ce4_8422_2325, |hash, byte| {
        (hash ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3)
    })
}

async fn is_finished(admin: &mut PgConnection, template: &str) -> bool {
    sqlx::query("select from pg_database where datname = $1 and datistemplate")
        .bind(template)
        .fetch_optional(admin)
        .await
        .unwrap()
        .is_some()
}

/// Removes the templates of earlier migrations; on another server they are kept, as another checkout may use them.
async fn remove_other_templates(admin: &mut PgConnection) {
    if matches!(*SERVER, Server::Named(_)) {
        return;
    }
    for template in names(admin, "template\\_%").await {
        run(
            admin,
            format!("alter database {template} is_template false"),
        )
        .await
        .unwrap();
        run(admin, format!("drop database {template}"))
            .await
            .unwrap();
    }
}

/// Drops the databases left over from failed or killed runs.
async fn sweep(admin: &mut PgConnection) {
    for name in names(admin, "test\\_%").await {
        let owner = name.split('_').nth(1).and_then(|owner| owner.parse().ok());
        if owner
            .and_then(Pid::from_raw)
            .is_some_and(|owner| !is_alive(owner))
        {
            // Fails if another process drops it at the same time, or if it is in use.
            let _ = run(admin, format!("drop database {name}")).await;
        }
    }
}

fn is_alive(process: Pid) -> bool {
    test_kill_process(process) != Err(Errno::SRCH)
}

/// Returns the names of the databases that match `pattern`.
async fn names(admin: &mut PgConnection, pattern: &str) -> Vec<String> {
    sqlx::query_scalar("select datname::text from pg_database where datname like $1")
        .bind(pattern)
        .fetch_all(admin)
        .await
        .unwrap()
}

/// Ends the sessions of a database and drops it.
///
/// A forced drop would do both, but sleeps for 100 ms. Closing the pool would need the runtime of the test, which is
/// blocked.
async fn remove(name: &str) {
    let mut admin = SERVER.connect().await;
    let began = Instant::now();
    while end_sessions(&mut admin, name).await > 0 && began.elapsed() < END_LIMIT {
        sleep(Duration::from_millis(2)).await;
    }
    run(&mut admin, format!("drop database {name} with (force)"))
        .await
        .unwrap();
}

/// Ends the sessions of a database, and returns their number.
async fn end_sessions(admin: &mut PgConnection, name: &str) -> u64 {
    sqlx::query("select pg_terminate_backend(pid) from pg_stat_activity where datname = $1")
        .bind(name)
        .execute(admin)
        .await
        .unwrap()
        .rows_affected()
}

/// Runs a statement that is built from names generated in this module.
async fn run(admin: &mut PgConnection, statement: String) -> sqlx::Result<()> {
    sqlx::query(AssertSqlSafe(statement))
        .execute(admin)
        .await
        .map(drop)
}
