//! The database: connection pool, transactions, clock, heartbeat, migrations, and the classification of errors.

mod batch;
pub(crate) mod clock;
pub(crate) mod column;
mod connection;
mod failure;
mod heartbeat;
mod hosts;
mod manager;
mod migrations;
mod pool;
mod session;
mod statement;
mod transaction;

pub(crate) use batch::{BatchRead, Batcher, in_order};
pub use connection::Connection;
pub(crate) use failure::{Unreachable, is_conflict, is_rolled_back, is_server_error, is_transient};
pub(crate) use heartbeat::DatabaseHealth;
pub use heartbeat::Heartbeat;
pub(crate) use hosts::{Unsuitable, check_requirements};
pub use migrations::{
    Deployment, MIGRATOR, Migrated, SchemaError, deployment, migrate, migrate_at,
};
pub(crate) use migrations::{any_deployment, migrate_with};
pub use pool::{Database, PoolStatus};
pub(crate) use transaction::{Tx, acknowledged};
