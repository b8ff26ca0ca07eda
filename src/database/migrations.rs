//! The migrations, and the row that identifies the deployment of a database.
//!
//! `migrations/README.md` has the rules for writing one.

use std::time::Duration;

use chrono::{DateTime, Utc};
use secrecy::ExposeSecret;
use sqlx::{
    Connection, PgConnection, PgExecutor,
    migrate::{Migrate, MigrateError, Migrator},
};
use tokio::time::sleep;

use super::{
    failure::is_lock_timeout,
    hosts::Hosts,
    manager::{SESSION, milliseconds},
};
use crate::{config::Database, values::environment::Environment};

/// Time that a statement of a migration waits for a lock. Every other statement on the table waits behind it.
const LOCK_TIMEOUT: Duration = Duration::from_secs(1);
/// Maximum number of times that a migration tries to get its locks.
const LOCK_TRIES: u32 = 4;
/// Time between two tries, in which the statements that waited are done.
const LOCK_PAUSE: Duration = Duration::from_secs(1);

/// Session settings for migrations, besides those of all sessions: they take the time that they need.
const UNLIMITED: [(&str, &str); 3] = [
    ("lock_timeout", "0"),
    ("statement_timeout", "0"),
    ("idle_in_transaction_session_timeout", "0"),
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
    /// The schema is too new for this binary.
    #[error(
        "the schema of the database serves only binaries that know migration {oldest}, and this one knows {newest}; deploy a newer binary"
    )]
    TooNew {
        /// The newest migration that a binary must know.
        oldest: i64,
        /// The newest migration of this binary.
        newest: i64,
    },
    /// A migration did not get its locks.
    #[error(
        "a migration did not get a lock in {tries} tries of {seconds} s, so nothing of it was applied; end the dump or the long transaction that holds the lock (see pg_stat_activity), and run `lmn migrate` again"
    )]
    Locked {
        /// The number of tries.
        tries: u32,
        /// The time of each in seconds.
        seconds: u64,
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
    Migration(#[from] MigrateError),
}

/// The result of applying the migrations.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Migrated {
    /// The number of migrations in the database that this binary does not know, and that serve it nevertheless.
    pub newer: usize,
}

/// Applies the pending migrations. A new database gets this `environment`.
///
/// Nothing is changed if the database belongs to the other environment, or if its schema is too new. The connection
/// keeps the lock timeout of migrations.
pub async fn migrate(
    connection: &mut PgConnection,
    environment: Environment,
) -> Result<Migrated, SchemaError> {
    refuse_unfit(connection, environment).await?;
    set(connection, "lmn.environment", environment.as_str()).await?;
    // Waits without a limit: another process may be migrating.
    connection.lock().await?;
    let applied = apply_with_lock_timeout(connection).await;
    let unlocked = connection.unlock().await;
    applied?;
    unlocked?;
    deployment(connection, environment).await?;
    let applied = applied_versions(connection).await?;
    let known: Vec<_> = MIGRATOR.iter().map(|it| it.version).collect();
    let newer = applied.iter().filter(|it| !known.contains(it));
    Ok(Migrated {
        newer: newer.count(),
    })
}

/// Applies the pending migrations under the lock of migrations. Tries again if a lock on a table is not acquired.
async fn apply_with_lock_timeout(connection: &mut PgConnection) -> Result<(), SchemaError> {
    let mut migrator = Migrator::with_migrations(MIGRATOR.iter().cloned().collect());
    migrator.set_ignore_missing(true).set_locking(false);
    set(connection, "lock_timeout", &milliseconds(LOCK_TIMEOUT)).await?;
    for attempt in 1..=LOCK_TRIES {
        match migrator.run(&mut *connection).await {
            Err(error) if is_locked(&error) => {
                tracing::warn!(attempt, %error, "a migration waits for a lock");
            }
            applied => return Ok(applied?),
        }
        if attempt < LOCK_TRIES {
            sleep(LOCK_PAUSE).await;
        }
    }
    Err(SchemaError::Locked {
        tries: LOCK_TRIES,
        seconds: LOCK_TIMEOUT.as_secs(),
    })
}

/// Returns whether a migration did not get a lock.
fn is_locked(error: &MigrateError) -> bool {
    matches!(
        error,
        MigrateError::Execute(error) | MigrateError::ExecuteMigration(error, _)
            if is_lock_timeout(error)
    )
}

/// Refuses a database of the other environment, and a schema that is too new for this binary.
///
/// The schema may be older than this binary, so the statement names no column that was added later.
async fn refuse_unfit(
    connection: &mut PgConnection,
    environment: Environment,
) -> Result<(), SchemaError> {
    let statement =
        "select environment, (to_jsonb(deployment) ->> 'oldest_binary')::bigint from deployment";
    let found = sqlx::query_as::<_, (String, Option<i64>)>(statement)
        .fetch_optional(connection)
        .await;
    let (stored, oldest) = match found {
        Ok(Some(row)) => row,
        Ok(None) => return Ok(()),
        Err(error) if is_undefined_table(&error) => return Ok(()),
        Err(error) => return Err(error.into()),
    };
    refuse_mismatch(parse_environment(&stored)?, environment)?;
    refuse_too_new(oldest.unwrap_or_default())
}

fn refuse_mismatch(database: Environment, settings: Environment) -> Result<(), SchemaError> {
    match database == settings {
        true => Ok(()),
        false => Err(SchemaError::Mismatch { database, settings }),
    }
}

fn refuse_too_new(oldest: i64) -> Result<(), SchemaError> {
    let newest = MIGRATOR.iter().map(|it| it.version).max();
    let newest = newest.unwrap_or_default();
    match newest >= oldest {
        true => Ok(()),
        false => Err(SchemaError::TooNew { oldest, newest }),
    }
}

fn parse_environment(stored: &str) -> Result<Environment, sqlx::Error> {
    let environment = Environment::parse(stored);
    environment
        .ok_or_else(|| sqlx::Error::Decode("deployment.environment is not a valid value".into()))
}

/// Sets a setting of the session.
async fn set(connection: &mut PgConnection, name: &str, value: &str) -> Result<(), sqlx::Error> {
    sqlx::query("select set_config($1, $2, false)")
        .bind(name)
        .bind(value)
        .execute(connection)
        .await
        .map(drop)
}

/// Applies the migrations of `migrator`, which may differ from this binary's own.
pub(crate) async fn migrate_with(
    migrator: &Migrator,
    connection: &mut PgConnection,
    environment: Environment,
) -> Result<(), SchemaError> {
    set(connection, "lmn.environment", environment.as_str()).await?;
    Ok(migrator.run(connection).await?)
}

/// Applies the pending migrations to the database of the settings, over a connection without the timeouts of the
/// pool.
pub async fn migrate_at(
    database: &Database,
    environment: Environment,
) -> Result<Migrated, SchemaError> {
    let owned = |(name, value): (&'static str, &str)| (name, value.to_owned());
    let hosts = Hosts::parse(database.url.expose_secret())?
        .with_settings(&SESSION.map(owned))
        .with_settings(&UNLIMITED.map(owned));
    let mut connection = hosts.connect(database.acquire).await?;
    let migrated = migrate(&mut connection, environment).await?;
    connection.close().await?;
    Ok(migrated)
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
    refuse_mismatch(deployment.environment, environment)?;
    Ok(deployment)
}

/// Reads the deployment of either environment, and refuses a database that is not migrated or too new.
pub(crate) async fn any_deployment<C>(connection: &mut C) -> Result<Deployment, SchemaError>
where
    for<'c> &'c mut C: PgExecutor<'c>,
{
    refuse_pending(&mut *connection).await?;
    let row = sqlx::query!(
        r#"select environment, cursor_key, oldest_binary, lmn_now(0) as "now!" from deployment"#
    )
    .fetch_one(connection)
    .await?;
    refuse_too_new(row.oldest_binary)?;
    Ok(Deployment {
        environment: parse_environment(&row.environment)?,
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
    let applied = match applied_versions(database).await {
        Err(error) if is_undefined_table(&error) => Vec::new(),
        applied => applied?,
    };
    let lacks = |version: &i64| !applied.contains(version);
    let known = MIGRATOR.iter().map(|migration| migration.version);
    Ok(known.filter(lacks).count())
}

/// Returns the migrations that are applied.
async fn applied_versions(database: impl PgExecutor<'_>) -> Result<Vec<i64>, sqlx::Error> {
    // sqlx owns the table, and an empty database lacks it, so this query is not checked at compile time.
    sqlx::query_scalar("select version from _sqlx_migrations where success")
        .fetch_all(database)
        .await
}

/// Returns whether a table does not exist.
fn is_undefined_table(error: &sqlx::Error) -> bool {
    let code = error.as_database_error().and_then(|it| it.code());
    code.as_deref() == Some("42P01")
}

#[cfg(test)]
mod tests {
    use super::MIGRATOR;

    /// The migration that introduced `deployment.oldest_binary`.
    const INTRODUCED: i64 = 15;
    /// Changes of the schema that a binary of an earlier release may not survive.
    const CONTRACTIONS: [&str; 7] = [
        "drop table",
        "drop column",
        "drop view",
        "drop function",
        "drop domain",
        "rename ",
        "alter column",
    ];

    #[test]
    fn migrations_that_drop_rename_or_retype_declare_the_oldest_binary() {
        for migration in MIGRATOR.iter().filter(|it| it.version > INTRODUCED) {
            let sql = migration.sql.as_str().to_lowercase();
            let lines = sql.lines().filter(|it| !it.trim_start().starts_with("--"));
            let code: Vec<_> = lines.collect();
            let contains = |it: &str| code.iter().any(|line| line.contains(it));
            for contraction in CONTRACTIONS {
                assert!(
                    !contains(contraction) || contains("oldest_binary"),
                    "migration {} has `{contraction}`: see migrations/README.md",
                    migration.version
                );
            }
        }
    }
}
