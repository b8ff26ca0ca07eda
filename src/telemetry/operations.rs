//! Database operations of a sampled request: its statements, and its waits for a connection.
//!
//! [`Operations`] records them while the request is handled. They become spans when it ends, with its clock and trace.
//! The recorder belongs to the task that handles the request, so statements need not be given it. A statement of any
//! other task, or of a request that is not sampled, costs a look at [`Operations::current`], which is then `None`.

use std::{
    borrow::Cow,
    mem,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use tokio::time::Instant;

/// Maximum number of operations of a request that are recorded; further ones are not.
const OPERATIONS_MAX: usize = 64;
/// Time to acquire a connection from which on it is recorded.
const ACQUIRE_MIN: Duration = Duration::from_millis(1);
/// The error of an operation whose caller went away, or exceeded its deadline.
const CANCELLED: &str = "cancelled";

tokio::task_local! {
    /// The recorder of the request that this task handles.
    static CURRENT: Operations;
}

/// Records the database operations of one request. Cheap to clone.
#[derive(Debug, Clone)]
pub(crate) struct Operations(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    began: Instant,
    ended: Mutex<Vec<Operation>>,
}

/// An operation that has ended.
#[derive(Debug)]
pub(crate) struct Operation {
    /// Its kind.
    pub(super) work: Work,
    /// Time from the beginning of the request.
    pub(crate) began: Duration,
    /// Its duration.
    pub(crate) took: Duration,
    /// The type of its error, if it failed: the SQLSTATE, or a word.
    pub(super) error: Option<Cow<'static, str>>,
}

/// The kind of an operation.
#[derive(Debug)]
pub(super) enum Work {
    /// Acquires a connection; for a write, also begins its transaction.
    Acquire,
    /// Executes the statement with this summary.
    Statement(String),
}

impl Operations {
    /// Begins to record, at the beginning of a request.
    pub(crate) fn new() -> Self {
        Self(Arc::new(Inner {
            began: Instant::now(),
            ended: Mutex::default(),
        }))
    }

    /// Runs a step of the request; operations that it begins are recorded.
    pub(crate) fn within<T>(&self, step: impl FnOnce() -> T) -> T {
        CURRENT.sync_scope(self.clone(), step)
    }

    /// Returns the recorder of the request that the current task handles, if it is sampled.
    pub(crate) fn current() -> Option<Self> {
        CURRENT.try_with(Self::clone).ok()
    }

    /// Begins to execute a statement.
    pub(crate) fn statement(&self, sql: &str) -> Running {
        self.begin(Work::Statement(summary(sql)))
    }

    /// Begins to acquire a connection.
    pub(crate) fn acquire(&self) -> Running {
        self.begin(Work::Acquire)
    }

    /// Returns the operations that have ended, in the order of their ends.
    pub(crate) fn take(&self) -> Vec<Operation> {
        let mut ended = self.0.ended.lock().unwrap_or_else(PoisonError::into_inner);
        mem::take(&mut *ended)
    }

    fn begin(&self, work: Work) -> Running {
        Running {
            operations: self.clone(),
            work: Some(work),
            began: Instant::now(),
            error: Some(CANCELLED.into()),
        }
    }

    fn record(&self, operation: Operation) {
        let mut ended = self.0.ended.lock().unwrap_or_else(PoisonError::into_inner);
        if ended.len() < OPERATIONS_MAX {
            ended.push(operation);
        }
    }
}

/// An operation in progress. It is recorded when this is dropped, as cancelled unless it was ended before.
#[derive(Debug)]
pub(crate) struct Running {
    operations: Operations,
    /// Taken by `drop` only.
    work: Option<Work>,
    began: Instant,
    error: Option<Cow<'static, str>>,
}

impl Running {
    /// Ends the operation, with the type of its error if it failed.
    pub(crate) fn end(mut self, error: Option<Cow<'static, str>>) {
        self.error = error;
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let took = self.began.elapsed();
        let Some(work) = self.work.take() else {
            return;
        };
        if matches!(work, Work::Acquire) && took < ACQUIRE_MIN {
            return;
        }
        self.operations.record(Operation {
            work,
            began: self.began.duration_since(self.operations.0.began),
            took,
            error: self.error.take(),
        });
    }
}

/// Summarizes a statement: its first word and the first table or function that it names, such as `insert orders`.
///
/// Statements are constants with parameters, so a summary contains no text of a caller.
fn summary(sql: &str) -> String {
    let is_gap = |it: char| !(it.is_ascii_alphanumeric() || it == '_');
    let mut words = sql.split(is_gap).filter(|it| !it.is_empty());
    let Some(verb) = words.next() else {
        return "statement".to_owned();
    };
    let target = match verb {
        "update" => words.next(),
        _ => words
            .skip_while(|it| !matches!(*it, "from" | "into" | "update"))
            .nth(1),
    };
    match target {
        Some(target) => format!("{verb} {target}"),
        None => verb.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn statement_is_summarized_by_its_verb_and_its_first_table() {
        for (sql, expected) in [
            ("select 1", "select"),
            ("begin isolation level read committed", "begin"),
            (
                "\n  select id\n  from place_order($1, $2)",
                "select place_order",
            ),
            ("insert into orders (id) values ($1)", "insert orders"),
            ("delete from events where id = $1", "delete events"),
            ("update orders set status = $2", "update orders"),
            (
                "with it as (insert into keys (id) values ($1)) select 1",
                "with keys",
            ),
            ("select from", "select"),
            (" ;", "statement"),
        ] {
            assert_eq!(summary(sql), expected, "{sql}");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn operations_of_the_request_of_this_task_are_recorded() {
        assert!(Operations::current().is_none());
        let operations = Operations::new();
        tokio::time::advance(Duration::from_millis(3)).await;
        let (quick, slow, statement) = operations.within(|| {
            let current = Operations::current().unwrap();
            (
                current.acquire(),
                current.acquire(),
                current.statement("select from orders"),
            )
        });
        assert!(Operations::current().is_none());
        quick.end(None);
        tokio::time::advance(Duration::from_millis(2)).await;
        slow.end(None);
        statement.end(Some("55P03".into()));
        let ended = operations.take();
        assert_eq!(ended.len(), 2, "{ended:?}");
        for it in &ended {
            assert_eq!(it.began, Duration::from_millis(3));
            assert_eq!(it.took, Duration::from_millis(2));
        }
        assert!(ended[0].error.is_none());
        assert_eq!(ended[1].error.as_deref(), Some("55P03"));
    }

    #[tokio::test]
    async fn dropped_operation_is_cancelled_and_their_number_is_bounded() {
        let operations = Operations::new();
        drop(operations.statement("select"));
        let ended = operations.take();
        assert_eq!(ended[0].error.as_deref(), Some(CANCELLED));
        for _ in 0..OPERATIONS_MAX + 3 {
            operations.statement("commit").end(None);
        }
        assert_eq!(operations.take().len(), OPERATIONS_MAX);
    }
}
