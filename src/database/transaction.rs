//! [`Tx`]: the transaction without which nothing is written.

use std::ops::{Deref, DerefMut};

use super::Connection;

/// Begins a transaction, at a level that no default can change.
const BEGIN: &str = "begin isolation level read committed";
const COMMIT: &str = "commit";

/// A transaction. Store functions that write take it, so a write outside one does not compile.
///
/// Dropped without [`Tx::commit`], it rolls back. So does one whose caller went away while it began.
#[derive(Debug)]
pub(crate) struct Tx(Connection);

impl Tx {
    /// Begins a transaction on a connection.
    pub(super) async fn begin(mut connection: Connection) -> Result<Self, sqlx::Error> {
        connection.control(BEGIN).await?;
        Ok(Self(connection))
    }

    /// Commits; an error that is not [`is_rolled_back`](super::is_rolled_back) leaves the outcome unknown.
    pub(crate) async fn commit(mut self) -> Result<(), sqlx::Error> {
        self.0.control(COMMIT).await?;
        self.0.end_transaction();
        Ok(())
    }
}

impl Deref for Tx {
    type Target = Connection;

    fn deref(&self) -> &Connection {
        &self.0
    }
}

impl DerefMut for Tx {
    fn deref_mut(&mut self) -> &mut Connection {
        &mut self.0
    }
}
