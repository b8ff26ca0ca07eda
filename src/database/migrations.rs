//! The migrations, and the one row that says which deployment a database is.

use chrono::{DateTime, Utc};
use secrecy::ExposeSecret;
use sqlx::{Connection, PgConnection, PgExecutor, migrate::Migrator};

use super::hosts::Hosts;
use crate::{environment::Environment, settings::Database};

/// Settings that no default of a role, a database or a server may decide while a migration runs.
const SESSION: [(&str, &str); 2] = [
    ("default_transaction_read_only", "off"),
    ("search_path", "public"),
];

/// Every migration, compiled in.
pub static MIGRATOR: Migrator = sqlx::migrate!();

/// What a database is.
#[derive(Debug, Clone)]
pub struct Deployment {
    /// Its environment, fixed by the first migration.
    pub environment: Environment,
    /// Authenticates pagination cursors; the same for all replicas.
    pub cursor_key: Vec<u8>,
    /// Its time when this was read.
    pub now: DateTime<Utc>,
}

/// Why a database cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum SchemaError {
    /// It has not seen all migrations of this binary.
    #[error(
        "the database is not migrated ({pending} of {known} migrations are missing); run `lmn migrate`"
    )]
    Pending {
        /// How many are missing.
        pending: usize,
        /// How many this binary has.
        known: usize,
    },
    /// It belongs to the other environment.
    #[error("the database is a {database} one, the setting `environment` says {settings}", database = .database.as_str(), settings = .settings.as_str())]
    Mismatch {
        /// What the database remembers.
        database: Environment,
        /// What the settings say.
        settings: Environment,
    },
    /// It cannot be asked.
    #[error("the database cannot be read")]
    Database(#[from] sqlx::Error),
    /// A migration failed.
    #[error("a migration failed")]
    Migration(#[from] sqlx::migrate::MigrateError),
}

/// Brings the schema up to date; a new database becomes one of `environment`.
pub async fn migrate(
    connection: &mut PgConnection,
    environment: Environment,
) -> Result<(), SchemaError> {
    migrate_with(&MIGRATOR, connection, environment).await?;
    deployment(connection, environment).await.map(drop)
}

/// Applies migrations that may be others than this binary's own.
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

/// Brings the schema of the settings' database up to date, over a connection without the limits of the pool.
pub async fn migrate_at(database: &Database, environment: Environment) -> Result<(), SchemaError> {
    let session = SESSION.map(|(name, value)| (name, value.to_owned()));
    let hosts = Hosts::parse(database.url.expose_secret())?.with_settings(&session);
    let mut connection = hosts.connect(database.acquire).await?;
    migrate(&mut connection, environment).await?;
    Ok(connection.close().await?)
}

/// Reads what the database is, and refuses one that is not ready or not `environment`.
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

/// Reads what the database is, of either environment, and refuses one that is not ready.
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
        .ok_or_else(|| sqlx::Error::Decode("deployment.environment has no meaning".into()))?;
    Ok(Deployment {
        environment,
        cursor_key: row.cursor_key,
        now: row.now,
    })
}

/// Refuses a database that lacks a migration.
async fn refuse_pending(connection: impl PgExecutor<'_>) -> Result<(), SchemaError> {
    match pending(connection).await? {
        0 => Ok(()),
        pending => Err(SchemaError::Pending {
            pending,
            known: MIGRATOR.iter().count(),
        }),
    }
}

/// Counts the migrations of this binary that a database lacks; newer ones than ours do not matter.
pub(crate) async fn pending(database: impl PgExecutor<'_>) -> Result<usize, sqlx::Error> {
    // The table is sqlx's own and absent in an empty database, so this one is not checked at compile time.
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
