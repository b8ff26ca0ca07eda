//! The database: the pool and its limits, the transaction that writes take, and what a failure means.
//!
//! [`embedded`] is the private PostgreSQL of a first run and of the tests.

pub(crate) mod column;
pub mod embedded;
mod failure;
mod pool;
mod pulse;
mod schema;

pub(crate) use failure::{is_collision, is_cut_off, is_passing, is_rolled_back};
pub use pool::connect;
pub(crate) use pool::{Tx, begin, connect_alone, connect_planned_once};
pub(crate) use pulse::{Pulse, Vitals};
pub use schema::{Deployment, MIGRATOR, SchemaError, deployment, migrate, migrate_at};
pub(crate) use schema::{any_deployment, migrate_with};
