//! What the operator's commands share: where they work, as whom, and how they print.

use std::path::PathBuf;

use anyhow::{Context, bail};

use super::{Source, block_on, dev_db::this_program, say};
use crate::{
    audit::model::Author,
    database::{
        self, Connection, Database, Tx,
        embedded::{Cluster, Purpose},
    },
    environment::Environment,
    id::RequestId,
    partners::{self, model::Partner},
    settings::{self, OPERATOR_VARIABLE, Settings},
};

/// Where a command of the operator works, and how it prints.
#[derive(Debug, clap::Args)]
pub(super) struct Desk {
    #[command(flatten)]
    source: Source,
    /// Where `lmn dev` keeps the private database that is used when DATABASE_URL is not set.
    #[arg(long, global = true, default_value = ".lmn", value_name = "FOLDER")]
    data_dir: PathBuf,
    /// Print JSON: one document, or one a line for a list.
    #[arg(long, global = true)]
    pub(super) json: bool,
}

/// One run of a command: a database, and somebody who works on it under one request id.
pub(super) struct Session {
    /// The database.
    pub(super) database: Database,
    /// Which deployment it is; the database says so.
    pub(super) environment: Environment,
    /// Who works.
    pub(super) author: Author,
    /// Whether to print JSON.
    pub(super) json: bool,
}

impl Desk {
    /// Does the work of a command on the database.
    pub(super) fn work(
        &self,
        work: impl AsyncFnOnce(&Session) -> anyhow::Result<()>,
    ) -> anyhow::Result<()> {
        self.work_through(Database::connect, work)
    }

    /// Does the same in one session of the database from beginning to end.
    pub(super) fn work_alone(
        &self,
        work: impl AsyncFnOnce(&Session) -> anyhow::Result<()>,
    ) -> anyhow::Result<()> {
        self.work_through(Database::connect_alone, work)
    }

    fn work_through(
        &self,
        connect: fn(&settings::Database) -> Result<Database, sqlx::Error>,
        work: impl AsyncFnOnce(&Session) -> anyhow::Result<()>,
    ) -> anyhow::Result<()> {
        // The private server runs as long as the cluster is held.
        let (settings, _cluster) = self.settings()?;
        block_on(async {
            let database = connect(&settings.database)?;
            let mut connection = database
                .acquire()
                .await
                .context("the database cannot be reached")?;
            let deployment = database::any_deployment(&mut connection).await?;
            drop(connection);
            let session = Session {
                environment: deployment.environment,
                author: Author::operator(&account(), RequestId::random()),
                json: self.json,
                database,
            };
            work(&session).await?;
            session.database.close().await;
            Ok(())
        })
    }

    /// Reads the settings; where they name no database, the private one of `lmn dev` is started.
    fn settings(&self) -> anyhow::Result<(Settings, Option<Cluster>)> {
        let file = self.source.config.as_deref();
        let mut variables = settings::environment();
        match Settings::read(file, &variables) {
            Ok(settings) => return Ok((settings, None)),
            Err(complaints) if complaints.lack_only_the_database() => {}
            Err(complaints) => return Err(complaints.into()),
        }
        let folder = self.data_dir.display();
        variables.push(("DATABASE_URL".into(), "postgres://".into()));
        let mut settings = Settings::read(file, &variables)?;
        if settings.environment != Environment::Sandbox {
            bail!("DATABASE_URL is not set, and the private database of `lmn dev` is a sandbox");
        }
        // `lmn dev` keeps its key here, wherever its server lies.
        if !self.data_dir.join("api_key").exists() {
            bail!("DATABASE_URL is not set, and there is no sandbox of `lmn dev` in {folder}");
        }
        let dir = self.data_dir.join("pg");
        let cluster = Cluster::ensure(&dir, Purpose::Data, &this_program()?, &|words| say(words))?;
        settings.database.url = cluster.url("lmn").into();
        Ok((settings, Some(cluster)))
    }
}

impl Session {
    /// Begins a transaction.
    pub(super) async fn begin(&self) -> anyhow::Result<Tx> {
        self.database
            .begin()
            .await
            .context("the database cannot be reached")
    }

    /// Finds the partner that a command was given.
    pub(super) async fn partner(
        &self,
        conn: &mut Connection,
        id_or_name: &str,
    ) -> anyhow::Result<Partner> {
        let found = partners::store::find(conn, id_or_name).await?;
        found.with_context(|| format!("there is no partner with the id or name `{id_or_name}`"))
    }
}

/// Returns who is at the terminal, as far as the environment knows.
fn account() -> String {
    let said = [OPERATOR_VARIABLE, "USER", "LOGNAME"]
        .into_iter()
        .filter_map(|name| std::env::var(name).ok())
        .find(|account| !account.trim().is_empty());
    said.unwrap_or_else(|| rustix::process::getuid().as_raw().to_string())
}
