//! The common parts of the operator's commands: the database, the actor of changes and the output format. `lmn operator`:
//! adds, lists and revokes the operators who may use the operator API.

use std::path::PathBuf;

use anyhow::{Context, bail};
use chrono::{DateTime, Utc};
use clap::Subcommand;
use dev_postgres::Cluster;
use secrecy::ExposeSecret;
use serde_json::{Value, json};

use super::{
    Source,
    arguments::{Span, any_of},
    block_on, dev_db,
    key::{end, hand_over},
    print, print_outcome, say,
    system::{check_requirements, explain},
    warn_of_slips,
};
use crate::{
    audit::Actor,
    config::{self, OPERATOR_VARIABLE, Settings},
    database::{self, Connection, Database, Tx, clock},
    operators::{
        self,
        model::{Operator, Role},
        store,
    },
    partners::{self, model::Partner},
    telemetry::metrics::Metrics,
    values::{
        environment::Environment, id::RequestId, string_enum::StringEnum, timestamp::Timestamp,
    },
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

/// The maximum number of operators that are listed.
const OPERATORS_MAX: i64 = 10_000;

/// The arguments of `lmn operator`.
#[derive(Debug, clap::Args)]
pub(super) struct OperatorCommand {
    #[command(flatten)]
    operator: OperatorArgs,
    #[command(subcommand)]
    action: Action,
}

#[derive(Debug, Subcommand)]
enum Action {
    /// Add an operator and print the token. It is never shown again.
    Add {
        /// The name, which the audit log shows: one word of at most 64 characters.
        name: String,
        /// The role: `viewer` reads, `trader` also buys, `logistics` also ships, `admin` may do everything.
        #[arg(long, value_parser = any_of::<Role>())]
        role: Role,
        /// The time after which the token expires, such as 90d; by default it does not expire.
        #[arg(long, value_name = "SPAN")]
        expires_in: Option<Span>,
    },
    /// List all operators, the oldest first.
    List,
    /// Revoke the token of an operator. Every server refuses it at once.
    Revoke {
        /// The operator's name.
        name: String,
    },
}

impl OperatorCommand {
    /// Runs the command.
    pub(super) fn run(self) -> anyhow::Result<()> {
        let Self { operator, action } = self;
        operator.work(async |session| match &action {
            Action::Add {
                name,
                role,
                expires_in,
            } => add(session, name, *role, *expires_in).await,
            Action::List => list(session).await,
            Action::Revoke { name } => revoke(session, name).await,
        })
    }
}

async fn add(
    session: &Session,
    name: &str,
    role: Role,
    expires_in: Option<Span>,
) -> anyhow::Result<()> {
    let mut tx = session.begin().await?;
    let expires_in = expires_in.map(Span::length);
    let added = operators::add(&mut tx, &session.actor, name, role, expires_in).await?;
    tx.commit().await?;
    let (operator, token) = added;
    if session.json {
        return print_outcome(json!({
            "id": operator.id,
            "name": operator.name,
            "role": operator.role,
            "token": token.secret().expose_secret(),
            "expires_at": operator.expires_at.map(Timestamp::kst),
        }));
    }
    hand_over("token", token.secret(), operator.expires_at)
}

async fn list(session: &Session) -> anyhow::Result<()> {
    let mut tx = session.begin().await?;
    let now = clock::real_now(&mut tx).await?;
    let operators = store::list(&mut tx, None, OPERATORS_MAX).await?;
    operators.iter().try_for_each(|it| {
        if session.json {
            return print(operator_json(it, now));
        }
        let end = end(it.revoked_at, it.expires_at);
        let (name, role, state) = (&it.name, it.role.as_str(), it.state(now));
        let created_at = Timestamp::kst(it.created_at);
        print(format_args!(
            "{name:<24}  {role:<9}  {state:<7}  added {created_at}{end}"
        ))
    })
}

async fn revoke(session: &Session, name: &str) -> anyhow::Result<()> {
    let mut tx = session.begin().await?;
    let operator = operators::revoke(&mut tx, &session.actor, name).await?;
    let now = clock::real_now(&mut tx).await?;
    tx.commit().await?;
    if session.json {
        return print(operator_json(&operator, now));
    }
    say(format_args!("The token of `{name}` is revoked."));
    Ok(())
}

/// Returns an operator as JSON, without the token.
fn operator_json(operator: &Operator, now: DateTime<Utc>) -> Value {
    json!({
        "id": operator.id,
        "name": operator.name,
        "role": operator.role,
        "state": operator.state(now),
        "created_at": Timestamp::kst(operator.created_at),
        "expires_at": operator.expires_at.map(Timestamp::kst),
        "revoked_at": operator.revoked_at.map(Timestamp::kst),
    })
}
