//! [`Tx`]: the transaction that every write requires.

use std::ops::{Deref, DerefMut};

use super::{Connection, replication::acknowledged};

/// Begins a transaction with an explicit isolation level, which no default can change.
const BEGIN: &str = "begin isolation level read committed";
const COMMIT: &str = "commit";

/// A transaction. Store functions that write take one, so a write outside of a transaction does not compile.
///
/// It rolls back if it is dropped without [`Tx::commit`], or if the caller goes away while it begins.
#[derive(Debug)]
pub(crate) struct Tx {
    connection: Connection,
    /// Whether to notify the workers, after the commit, that a delivery is due.
    announces_deliveries: bool,
}

impl Tx {
    /// Begins a transaction on a connection.
    pub(super) async fn begin(mut connection: Connection) -> Result<Self, sqlx::Error> {
        connection.begin(BEGIN).await?;
        Ok(Self {
            connection,
            announces_deliveries: false,
        })
    }

    /// Notifies the workers, after the commit, that a delivery is due.
    ///
    /// A transaction that notifies holds a lock over the whole server until its commit is on disk, and replicated if a
    /// standby is synchronous. So it would let no other transaction that notifies commit with it. The notification is
    /// only a hint, so it is sent by a transaction of its own, which writes nothing and waits for nothing.
    pub(crate) fn announce_deliveries(&mut self) {
        self.announces_deliveries = true;
    }

    /// Commits. After an error that is not [`is_rolled_back`](super::is_rolled_back), the outcome is unknown.
    pub(crate) async fn commit(mut self) -> Result<(), sqlx::Error> {
        acknowledged(self.connection.commit(COMMIT)).await?;
        if self.announces_deliveries {
            let announced = sqlx::query!("select pg_notify('lmn_webhooks', '')")
                .execute(&mut self.connection)
                .await;
            if let Err(error) = announced {
                tracing::debug!(%error, "a delivery was not announced; it is found by polling");
            }
        }
        Ok(())
    }
}

impl Deref for Tx {
    type Target = Connection;

    fn deref(&self) -> &Connection {
        &self.connection
    }
}

impl DerefMut for Tx {
    fn deref_mut(&mut self) -> &mut Connection {
        &mut self.connection
    }
}
