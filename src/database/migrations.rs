//! The migrations, and the row that identifies the deployment of a database.

use chrono::{DateTime, Utc};
use secrecy::ExposeSecret;
use sqlx::{Connection, PgConnection, PgExecutor, migrate::Migrator};

use super::hosts::Hosts;
use crate::{config::Database, values::environment::Environment};

/// Session settings for migrations, which override the defaults of the role, the database and the server.
const SESSION: [(&str, &str); 2] = [
    ("default_transaction_read_only", "off"),
    ("search_path", "public"),
];

/// All migrations, compiled in.
pub static MIGRATOR: Migrator = sqlx::migrate!();

/// The identity of a database.
#[derive(Debug, Clone)]
pub struct Deployment {
    /// The environment, fixed by the first migration.
    pub environment: Environment,
    /// The key that authenticates pagination cursors, the same for all replicas.
    pub cursor_key: Vec<u8>,
    /// The database's time when this was read.
    pub now: DateTime<Utc>,
}

/// Reasons why a database cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum SchemaError {
    /// Some migrations of this binary are not applied.
    #[error(
        "the database is not migrated ({pending} of {known} migrations are missing); run `lmn migrate`"
    )]
    Pending {
        /// The number of migrations that are not applied.
        pending: usize,
        /// The number of migrations of this binary.
        known: usize,
    },
    /// The database belongs to the other environment.
    #[error("the database is a {database} one, but the setting `environment` is `{settings}`", database = .database.as_str(), settings = .settings.as_str())]
    Mismatch {
        /// The environment of the database.
        database: Environment,
        /// The environment of the settings.
        settings: Environment,
    },
    /// The database could not be queried.
    #[error("the database cannot be read")]
    Database(#[from] sqlx::Error),
    /// A migration failed.
    #[error("a migration failed")]
    Migration(#[from] sqlx::migrate::MigrateError),
}

/// Applies the pending migrations. A new database gets this `environment`.
pub async fn migrate(
    connection: &mut PgConnection,
    environment: Environment,
) -> Result<(), SchemaError> {
    migrate_with(&MIGRATOR, connection, environment).await?;
    deployment(connection, environment).await.map(drop)
}

/// Applies the migrations of `migrator`, which may differ from this binary's own.
pub(crate) async fn migrate_with(
    migrator: &Migrator,
    connection: &mut PgConnection,
    environment: Environment,
) -> Result<(), SchemaError> {
    sqlx::query("select set_config('lmn.environment', $1, false)")
        .bind(environment.as_str())
        .execute(&mut *connection)
        .await?;
    Ok(migrator.run(connection).await?)
}

/// Applies the pending migrations to the database of the settings, over a connection without the timeouts of the
/// pool.
pub async fn migrate_at(database: &Database, environment: Environment) -> Result<(), SchemaError> {
    let session = SESSION.map(|(name, value)| (name, value.to_owned()));
    let hosts = Hosts::parse(database.url.expose_secret())?.with_settings(&session);
    let mut connection = hosts.connect(database.acquire).await?;
    migrate(&mut connection, environment).await?;
    Ok(connection.close().await?)
}

/// Reads the deployment, and refuses a database that is not migrated or belongs to the other environment.
pub async fn deployment<C>(
    connection: &mut C,
    environment: Environment,
) -> Result<Deployment, SchemaError>
where
    for<'c> &'c mut C: PgExecutor<'c>,
{
    let deployment = any_deployment(connection).await?;
    if deployment.environment != environment {
        return Err(SchemaError::Mismatch {
            database: deployment.environment,
            settings: environment,
        });
    }
    Ok(deployment)
}

/// Reads the deployment of either environment, and refuses a database that is not migrated.
pub(crate) async fn any_deployment<C>(connection: &mut C) -> Result<Deployment, SchemaError>
where
    for<'c> &'c mut C: PgExecutor<'c>,
{
    refuse_pending(&mut *connection).await?;
    let row =
        sqlx::query!(r#"select environment, cursor_key, lmn_now(0) as "now!" from deployment"#)
            .fetch_one(connection)
            .await?;
    let environment = Environment::parse(&row.environment)
        .ok_or_else(|| sqlx::Error::Decode("deployment.environment is not a valid value".into()))?;
    Ok(Deployment {
        environment,
        cursor_key: row.cursor_key,
        now: row.now,
    })
}

/// Returns an error if a migration is not applied.
async fn refuse_pending(connection: impl PgExecutor<'_>) -> Result<(), SchemaError> {
    match pending(connection).await? {
        0 => Ok(()),
        pending => Err(SchemaError::Pending {
            pending,
            known: MIGRATOR.iter().count(),
        }),
    }
}

/// Counts the migrations of this binary that are not applied. Newer migrations in the database are ignored.
pub(crate) async fn pending(database: impl PgExecutor<'_>) -> Result<usize, sqlx::Error> {
    // sqlx owns the table, and an empty database lacks it, so this query is not checked at compile time.
    let applied =
        match sqlx::query_scalar::<_, i64>("select version from _sqlx_migrations where success")
            .fetch_all(database)
            .await
        {
            Ok(versions) => versions,
            Err(sqlx::Error::Database(error)) if error.code().as_deref() == Some("42P01") => {
                Vec::new()
            }
            Err(error) => return Err(error),
        };
    let lacks = |version: &i64| !applied.contains(version);
    let known = MIGRATOR.iter().map(|migration| migration.version);
    Ok(known.filter(lacks).count())
}
