//! `lmn dev-db`: the private PostgreSQL behind `lmn dev` and the tests.

use std::{
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::{Context, bail};
use clap::{Subcommand, ValueEnum};
use sqlx::{Connection, PgConnection, migrate::Migrator};

use super::{block_on, say};
use crate::{
    database::{
        self,
        embedded::{self, Cluster, Keeper, Purpose},
    },
    environment::Environment,
};

/// What can be done with it.
#[derive(Debug, Subcommand)]
pub(super) enum DevDb {
    /// Own the server of a folder until nobody uses it any more. Started by those who use it.
    Keep {
        /// The folder.
        dir: PathBuf,
        /// What it is for.
        kind: Kind,
    },
    /// Run a program with DATABASE_URL set to a database of the private server.
    With {
        /// The server's folder.
        #[arg(long, default_value = ".lmn/pg")]
        dir: PathBuf,
        /// The database.
        #[arg(long, default_value = "postgres")]
        database: String,
        /// Bring the database up to date first, with the migrations in this folder.
        #[arg(long, value_name = "FOLDER")]
        migrations: Option<PathBuf>,
        /// The program and its arguments.
        #[arg(last = true, required = true)]
        command: Vec<String>,
    },
}

/// What a private server is for.
#[derive(Debug, Clone, Copy, ValueEnum)]
pub(super) enum Kind {
    /// Data that are kept.
    Data,
    /// Tests, whose data may be lost.
    Tests,
}

impl DevDb {
    /// Does it.
    pub(super) fn run(self) -> anyhow::Result<()> {
        match self {
            Self::Keep { dir, kind } => {
                let purpose = match kind {
                    Kind::Data => Purpose::Data,
                    Kind::Tests => Purpose::Tests,
                };
                Ok(embedded::keep(&dir, purpose)?)
            }
            Self::With {
                dir,
                database,
                migrations,
                command,
            } => {
                let cluster =
                    Cluster::ensure(&dir, Purpose::Data, &this_program()?, &|words| say(words))?;
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

/// Returns the keeper of a private server: this program again.
pub(crate) fn this_program() -> anyhow::Result<Keeper> {
    Ok(Keeper::this_program(["dev-db", "keep"])?)
}
