//! [`Tx`]: the transaction that every write requires, and commits that wait for a synchronous standby.
//!
//! PostgreSQL commits on its own disk first and then waits for the standby. If that wait is cancelled, the server
//! reports the commit as done, with a warning: it exists, but a failover can lose it. sqlx 0.9 does not return warnings
//! to its caller. It only passes them to `tracing`, as events that are emitted while the statement is polled. So a
//! statement that commits is polled with a subscriber that receives these events and nothing else.
//!
//! The text of a warning depends on the language of the server, so any warning during a commit counts. If it meant
//! something else, the commit is only confirmed once more.

use std::{
    cell::Cell,
    ops::{Deref, DerefMut},
    sync::LazyLock,
};

use tracing::{
    Dispatch, Event, Level, Metadata, Subscriber, instrument::WithSubscriber,
    level_filters::LevelFilter, span, subscriber::Interest,
};

use super::Connection;

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

/// The target of the events for messages of the server.
const NOTICES: &str = "sqlx::postgres::notice";

/// The subscriber, registered once: registration concerns every event of the process.
static WARNINGS: LazyLock<Dispatch> = LazyLock::new(|| Dispatch::new(Warnings));

tokio::task_local! {
    /// Whether the server has sent a warning during the statement of this task.
    static IS_WARNED: Cell<bool>;
}

/// Runs a statement that commits, and fails if the server warned that the commit is not replicated.
///
/// Then the outcome is unknown, as after a lost connection.
pub(crate) async fn acknowledged<T>(
    commit: impl Future<Output = Result<T, sqlx::Error>>,
) -> Result<T, sqlx::Error> {
    let committing = async {
        let result = commit.with_subscriber(WARNINGS.clone()).await?;
        match IS_WARNED.with(Cell::get) {
            true => Err(sqlx::Error::Protocol(
                "the server has warned during a commit: a standby may lack it".to_owned(),
            )),
            false => Ok(result),
        }
    };
    IS_WARNED.scope(Cell::new(false), committing).await
}

/// Receives the warnings of the server.
struct Warnings;

/// Returns whether an event is a warning of the server.
fn is_warning(metadata: &Metadata<'_>) -> bool {
    metadata.target() == NOTICES && *metadata.level() <= Level::WARN
}

impl Subscriber for Warnings {
    fn register_callsite(&self, metadata: &'static Metadata<'static>) -> Interest {
        match is_warning(metadata) {
            true => Interest::sometimes(),
            false => Interest::never(),
        }
    }

    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        is_warning(metadata)
    }

    fn max_level_hint(&self) -> Option<LevelFilter> {
        Some(LevelFilter::WARN)
    }

    fn new_span(&self, _: &span::Attributes<'_>) -> span::Id {
        // Spans are not enabled, so this is never called.
        span::Id::from_u64(1)
    }

    fn record(&self, _: &span::Id, _: &span::Record<'_>) {}

    fn record_follows_from(&self, _: &span::Id, _: &span::Id) {}

    fn event(&self, _: &Event<'_>) {
        let _ = IS_WARNED.try_with(|it| it.set(true));
    }

    fn enter(&self, _: &span::Id) {}

    fn exit(&self, _: &span::Id) {}
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn commit_with_a_warning_is_not_acknowledged() {
        let warned = async {
            tracing::warn!(target: "sqlx::postgres::notice", "canceling wait");
            Ok(())
        };
        let error = acknowledged(warned).await.unwrap_err();
        assert!(matches!(error, sqlx::Error::Protocol(_)));
    }

    #[tokio::test]
    async fn other_events_do_not_concern_a_commit() {
        let told = async {
            tracing::info!(target: "sqlx::postgres::notice", "a notice");
            tracing::warn!(target: "sqlx::query", "slow statement");
            Ok(7)
        };
        assert_eq!(acknowledged(told).await.unwrap(), 7);
        // A warning outside of a commit concerns none.
        tracing::warn!(target: "sqlx::postgres::notice", "earlier");
        assert_eq!(acknowledged(async { Ok(8) }).await.unwrap(), 8);
    }
}
