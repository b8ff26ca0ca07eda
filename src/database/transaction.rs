//! [`Tx`]: the transaction that every write requires.

use std::ops::{Deref, DerefMut};

use super::Connection;

/// Begins a transaction with an explicit isolation level, which no default can change.
const BEGIN: &str = "begin isolation level read committed";
const COMMIT: &str = "commit";

/// A transaction. Store functions that write take one, so a write outside of a transaction does not compile.
///
/// It rolls back if it is dropped without [`Tx::commit`], or if the caller goes away while it begins.
#[derive(Debug)]
pub(crate) struct Tx(Connection);

impl Tx {
    /// Begins a transaction on a connection.
    pub(super) async fn begin(mut connection: Connection) -> Result<Self, sqlx::Error> {
        connection.control(BEGIN).await?;
        Ok(Self(connection))
    }

    /// Commits. After an error that is not [`is_rolled_back`](super::is_rolled_back), the outcome is unknown.
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
