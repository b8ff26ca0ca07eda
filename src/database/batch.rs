//! [`Batcher`]: one statement for the reads of many requests.
//!
//! Most of the cost of reading one row by its key is messages, not work. A read is sent at once and alone if no statement
//! of its kind is in progress. Otherwise it waits, and the next statement reads for all that wait. Another statement is
//! sent in parallel when the waiting reads would fill it, or when the latest one is slow: a connection that hangs must
//! not hold up every read.

use std::{
    collections::VecDeque,
    fmt,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use tokio::{runtime::Handle, sync::oneshot, time::Instant};

use super::{Connection, Database};
use crate::config;

/// A statement that takes longer is slow.
const SLOW: Duration = Duration::from_millis(20);

/// A kind of read by key that one statement can do for many keys.
pub(crate) trait BatchRead: 'static {
    /// The key.
    type Key: Send + Sync + fmt::Debug + 'static;
    /// The value.
    type Value: Send + 'static;

    /// Returns the maximum number of rows that a key reads.
    fn rows(_key: &Self::Key) -> usize {
        1
    }

    /// Reads one value for each key, in the order of the keys.
    fn read(
        connection: &mut Connection,
        keys: &[Self::Key],
    ) -> impl Future<Output = Result<Vec<Self::Value>, sqlx::Error>> + Send;
}

/// Sorts values, each with the number of its key from 1, into the order of the keys.
pub(crate) fn in_order<V>(
    values: impl Iterator<Item = Result<(i64, V), sqlx::Error>>,
    keys: usize,
) -> Result<Vec<Option<V>>, sqlx::Error> {
    let mut ordered = Vec::new();
    ordered.resize_with(keys, || None);
    for value in values {
        let (number, value) = value?;
        let place = usize::try_from(number - 1).ok();
        if let Some(it) = place.and_then(|it| ordered.get_mut(it)) {
            *it = Some(value);
        }
    }
    Ok(ordered)
}

/// Sends the reads of one kind. Cheap to clone.
pub(crate) struct Batcher<R: BatchRead>(Arc<Inner<R>>);

struct Inner<R: BatchRead> {
    database: Database,
    statements_max: usize,
    rows_max: usize,
    queue: Mutex<Queue<R>>,
}

struct Queue<R: BatchRead> {
    /// Number of statements in progress. No read waits while it is 0.
    statements: usize,
    /// When the latest of them was sent.
    sent_at: Instant,
    /// Number of rows of the waiting reads.
    rows: usize,
    waiting: VecDeque<Waiting<R>>,
}

struct Waiting<R: BatchRead> {
    key: R::Key,
    answer: Answer<R>,
}

type Answer<R> = oneshot::Sender<Result<<R as BatchRead>::Value, Arc<sqlx::Error>>>;
type Answered<R> = oneshot::Receiver<Result<<R as BatchRead>::Value, Arc<sqlx::Error>>>;

impl<R: BatchRead> Batcher<R> {
    /// Creates a batcher without reads.
    pub(crate) fn new(database: Database, settings: &config::Database) -> Self {
        Self(Arc::new(Inner {
            database,
            statements_max: settings.batch_statements,
            rows_max: settings.batch_rows,
            queue: Mutex::new(Queue {
                statements: 0,
                sent_at: Instant::now(),
                rows: 0,
                waiting: VecDeque::new(),
            }),
        }))
    }

    /// Reads a value. It includes every commit acknowledged before the call.
    pub(crate) async fn read(&self, key: R::Key) -> Result<R::Value, Arc<sqlx::Error>> {
        match self.enqueue(key) {
            Ok(answered) => answered
                .await
                .unwrap_or_else(|_| Err(Arc::new(sqlx::Error::WorkerCrashed))),
            Err(key) => {
                let _statement = Statement(self.clone());
                let value = self.execute(&[key]).await?.pop();
                value.ok_or_else(|| Arc::new(sqlx::Error::RowNotFound))
            }
        }
    }

    /// Queues a key for the next statement. If none is in progress, returns the key, and the caller must send it.
    fn enqueue(&self, key: R::Key) -> Result<Answered<R>, R::Key> {
        let mut queue = self.queue();
        if queue.statements == 0 {
            queue.statements = 1;
            queue.sent_at = Instant::now();
            return Err(key);
        }
        let (answer, answered) = oneshot::channel();
        queue.rows += R::rows(&key);
        queue.waiting.push_back(Waiting { key, answer });
        let is_due = queue.rows >= self.0.rows_max || queue.sent_at.elapsed() > SLOW;
        if is_due && queue.statements < self.0.statements_max {
            self.begin_statement(&mut queue);
        }
        Ok(answered)
    }

    /// Starts a task that reads for the waiting callers. Without a runtime there are none left.
    fn begin_statement(&self, queue: &mut Queue<R>) {
        if let Ok(runtime) = Handle::try_current() {
            queue.statements += 1;
            queue.sent_at = Instant::now();
            runtime.spawn(self.clone().serve());
        }
    }

    /// Reads for the waiting callers, until none waits.
    async fn serve(self) {
        let _statement = Statement(self.clone());
        loop {
            let (keys, answers) = self.take_batch();
            if keys.is_empty() {
                return;
            }
            match self.execute(&keys).await {
                // Sending fails if the caller has disconnected.
                Ok(values) => {
                    for (answer, value) in answers.into_iter().zip(values) {
                        let _ = answer.send(Ok(value));
                    }
                }
                Err(error) => {
                    for answer in answers {
                        let _ = answer.send(Err(error.clone()));
                    }
                }
            }
        }
    }

    /// Takes the reads of the next statement from the queue, and drops reads whose callers have disconnected.
    fn take_batch(&self) -> (Vec<R::Key>, Vec<Answer<R>>) {
        let mut queue = self.queue();
        let (mut keys, mut answers) = (Vec::new(), Vec::new());
        let mut rows = 0;
        queue.sent_at = Instant::now();
        while rows < self.0.rows_max
            && let Some(Waiting { key, answer }) = queue.waiting.pop_front()
        {
            queue.rows -= R::rows(&key);
            if !answer.is_closed() {
                rows += R::rows(&key);
                keys.push(key);
                answers.push(answer);
            }
        }
        (keys, answers)
    }

    async fn execute(&self, keys: &[R::Key]) -> Result<Vec<R::Value>, Arc<sqlx::Error>> {
        let mut connection = self.0.database.acquire().await?;
        Ok(R::read(&mut connection, keys).await?)
    }

    fn queue(&self) -> MutexGuard<'_, Queue<R>> {
        self.0.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<R: BatchRead> Clone for Batcher<R> {
    fn clone(&self) -> Self {
        Self(self.0.clone())
    }
}

impl<R: BatchRead> fmt::Debug for Batcher<R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Batcher").finish_non_exhaustive()
    }
}

/// A statement in progress. When it ends, also by a disconnect or a panic, the waiting reads are started.
struct Statement<R: BatchRead>(Batcher<R>);

impl<R: BatchRead> Drop for Statement<R> {
    fn drop(&mut self) {
        let mut queue = self.0.queue();
        queue.statements -= 1;
        if !queue.waiting.is_empty() {
            self.0.begin_statement(&mut queue);
        }
    }
}
