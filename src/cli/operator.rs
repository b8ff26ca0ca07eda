//! The common parts of the operator's commands: the database, the actor of changes and the output format.

use std::path::PathBuf;

use anyhow::{Context, bail};
use dev_postgres::Cluster;

use super::{
    Source, block_on, dev_db,
    system::{check_requirements, explain},
    warn_of_slips,
};
use crate::{
    audit::Actor,
    config::{self, OPERATOR_VARIABLE, Settings},
    database::{self, Connection, Database, Tx},
    partners::{self, model::Partner},
    telemetry::metrics::Metrics,
    values::{environment::Environment, id::RequestId},
};

/// The common arguments of the operator's commands.
#[derive(Debug, clap::Args)]
pub(super) struct OperatorArgs {
    #[command(flatten)]
    source: Source,
    /// The folder of `lmn dev`, whose private database is used if DATABASE_URL is not set.
    #[arg(long, global = true, default_value = ".lmn", value_name = "FOLDER")]
    data_dir: PathBuf,
    /// Print JSON: one document, or for lists one document per line.
    #[arg(long, global = true)]
    pub(super) json: bool,
}

/// The context of one run of a command.
pub(super) struct Session {
    /// The database.
    pub(super) database: Database,
    /// The environment of the deployment, as stored in the database.
    pub(super) environment: Environment,
    /// The actor of the changes, with one request id for the whole run.
    pub(super) actor: Actor,
    /// Whether to print JSON.
    pub(super) json: bool,
}

impl OperatorArgs {
    /// Runs `work` on the database.
    pub(super) fn work(
        &self,
        work: impl AsyncFnOnce(&Session) -> anyhow::Result<()>,
    ) -> anyhow::Result<()> {
        self.work_through(Database::connect, false, work)
    }

    /// Runs `work` in a single database session, whose state it uses.
    pub(super) fn work_alone(
        &self,
        work: impl AsyncFnOnce(&Session) -> anyhow::Result<()>,
    ) -> anyhow::Result<()> {
        self.work_through(Database::connect_exclusive, true, work)
    }

    fn work_through(
        &self,
        connect: fn(&config::Database, Metrics) -> Result<Database, sqlx::Error>,
        needs_session: bool,
        work: impl AsyncFnOnce(&Session) -> anyhow::Result<()>,
    ) -> anyhow::Result<()> {
        // The private server keeps running while the cluster is held.
        let (settings, _cluster) = self.settings()?;
        block_on(async {
            if needs_session {
                check_requirements(&settings).await?;
            }
            let database = connect(&settings.database, Metrics::new())?;
            let mut connection = database
                .acquire()
                .await
                .map_err(|error| explain(error, &settings.database))?;
            let deployment = database::any_deployment(&mut connection).await?;
            drop(connection);
            let session = Session {
                environment: deployment.environment,
                actor: Actor::operator(&account(), RequestId::random()),
                json: self.json,
                database,
            };
            work(&session).await?;
            session.database.close().await;
            Ok(())
        })
    }

    /// Reads the settings. If they name no database, starts the private one of `lmn dev`.
    fn settings(&self) -> anyhow::Result<(Settings, Option<Cluster>)> {
        let file = self.source.config.as_deref();
        let mut variables = config::environment();
        warn_of_slips(&variables);
        match Settings::read(file, &variables) {
            Ok(settings) => return Ok((settings, None)),
            Err(errors) if errors.lack_only_the_database() => {}
            Err(errors) => return Err(errors.into()),
        }
        let folder = self.data_dir.display();
        variables.push(("DATABASE_URL".into(), "postgres://".into()));
        let mut settings = Settings::read(file, &variables)?;
        if settings.environment != Environment::Sandbox {
            bail!("DATABASE_URL is not set, and the private database of `lmn dev` is a sandbox");
        }
        // `lmn dev` always stores its key here, while the private server may use another folder.
        if !self.data_dir.join("api_key").exists() {
            bail!("DATABASE_URL is not set, and there is no sandbox of `lmn dev` in {folder}");
        }
        let cluster = dev_db::start(&self.data_dir.join("pg"))?;
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

    /// Returns the partner with the id or name that was given to a command.
    pub(super) async fn partner(
        &self,
        conn: &mut Connection,
        id_or_name: &str,
    ) -> anyhow::Result<Partner> {
        let found = partners::store::find(conn, id_or_name).await?;
        found.with_context(|| format!("there is no partner with the id or name `{id_or_name}`"))
    }
}

/// Returns the account of the operator from the environment, or else the user id of the process.
fn account() -> String {
    let name = [OPERATOR_VARIABLE, "USER", "LOGNAME"]
        .into_iter()
        .filter_map(|name| std::env::var(name).ok())
        .find(|account| !account.trim().is_empty());
    name.unwrap_or_else(|| rustix::process::getuid().as_raw().to_string())
}
