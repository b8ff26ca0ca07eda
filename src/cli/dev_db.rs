//! `lmn dev-db`: runs or uses the private PostgreSQL server of `lmn dev` and the tests.

use std::{
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::{Context, bail};
use clap::{Subcommand, ValueEnum};
use dev_postgres::{Cluster, Product, Purpose, Supervisor};
use sqlx::{Connection, PgConnection, migrate::Migrator};

use super::{block_on, say};
use crate::{database, values::environment::Environment};

/// The names and remedies for private servers.
const PRODUCT: Product = Product {
    name: "lmn",
    url_variable: "DATABASE_URL",
    other_way: "use `docker compose up`",
    hide_installed_variable: "LMN_NO_SYSTEM_POSTGRES",
};
/// The command that supervises a private server.
const SUPERVISE: [&str; 2] = ["dev-db", "keep"];

/// The commands of `lmn dev-db`.
#[derive(Debug, Subcommand)]
pub(super) enum DevDb {
    /// Run the server of a folder until it has no users. Started by its users.
    Keep {
        /// The folder of the server.
        dir: PathBuf,
        /// The purpose of the server.
        kind: Kind,
    },
    /// Run a program with DATABASE_URL set to a database of the private server.
    With {
        /// The folder of the server.
        #[arg(long, default_value = ".lmn/pg")]
        dir: PathBuf,
        /// The name of the database.
        #[arg(long, default_value = "postgres")]
        database: String,
        /// Apply the migrations in this folder first.
        #[arg(long, value_name = "FOLDER")]
        migrations: Option<PathBuf>,
        /// The program and its arguments.
        #[arg(last = true, required = true)]
        command: Vec<String>,
    },
}

/// The purpose of a private server.
#[derive(Debug, Clone, Copy, ValueEnum)]
pub(super) enum Kind {
    /// Data that must not be lost.
    Data,
    /// Tests, whose data may be lost.
    Tests,
}

impl DevDb {
    /// Runs the command.
    pub(super) fn run(self) -> anyhow::Result<()> {
        match self {
            Self::Keep { dir, kind } => {
                let purpose = match kind {
                    Kind::Data => Purpose::Data,
                    Kind::Tests => Purpose::Tests,
                };
                Ok(dev_postgres::supervise(&dir, purpose, PRODUCT)?)
            }
            Self::With {
                dir,
                database,
                migrations,
                command,
            } => {
                let cluster = start(&dir)?;
                if let Some(folder) = migrations {
                    block_on(migrate(&cluster.url(&database), &folder)).context("migrating")?;
                }
                let (program, arguments) = command.split_first().context("no program is given")?;
                let mut child = Command::new(program);
                let status = child
                    .args(arguments)
                    .env("DATABASE_URL", cluster.url(&database))
                    .status();
                match status
                    .with_context(|| format!("{program} cannot run"))?
                    .code()
                {
                    Some(0) => Ok(()),
                    code => bail!("{program} ended with {code:?}"),
                }
            }
        }
    }
}

/// Applies the migrations of a folder, which may be newer than those in this binary.
async fn migrate(url: &str, folder: &Path) -> anyhow::Result<()> {
    let mut connection = PgConnection::connect(url).await?;
    let environment = Environment::Sandbox;
    database::migrate_with(&Migrator::new(folder).await?, &mut connection, environment).await?;
    Ok(connection.close().await?)
}

/// Starts the private server in a folder unless it is running. It keeps running while the cluster is held.
pub(super) fn start(dir: &Path) -> anyhow::Result<Cluster> {
    let supervisor = Supervisor::this_program(SUPERVISE, PRODUCT)?;
    Ok(Cluster::ensure(
        dir,
        Purpose::Data,
        &supervisor,
        &|notice| say(notice),
    )?)
}

/// Returns the supervisor of private servers that is run by `program`, a binary of `lmn`.
pub fn supervisor(program: impl Into<PathBuf>) -> Supervisor {
    Supervisor::new(program, SUPERVISE, PRODUCT)
}
