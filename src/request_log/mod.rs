//! The request log: requests that were refused, that failed or that wrote.
//!
//! The outermost layer hands each of them to [`RequestLog`], a queue that never waits. A background job inserts those that
//! have gathered; another [deletes](delete_old) old ones. Partners list their own requests, LMN's people those
//! of all partners. A row has neither a body nor a user, of an API key only its public prefix, and of a path only its
//! template.

pub(crate) mod handlers;
pub(crate) mod model;
pub(crate) mod store;

use std::{
    collections::VecDeque,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Instant,
};

use chrono::TimeDelta;
use hyper::Method;

use self::model::{LoggedRequest, RefusalLimit, logged_details};
use crate::{
    config,
    database::{Database, Heartbeat, clock, is_transient},
    errors::ApiError,
    request::RequestContext,
    telemetry::{
        load::NotLogged,
        metrics::Metrics,
        requests::{Answered, UNMATCHED, method_name},
    },
};

/// The shortest time between two requests in the log.
const TICK: TimeDelta = TimeDelta::microseconds(1);

/// The request log of a replica. Cheap to clone.
#[derive(Debug, Clone)]
pub(crate) struct RequestLog(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    queue: Mutex<VecDeque<LoggedRequest>>,
    queue_max: usize,
    batch_max: usize,
    refusals: Mutex<RefusalLimit>,
    /// A pool of its own, so that insertions neither delay requests nor wait for them.
    database: Database,
    heartbeat: Heartbeat,
    metrics: Metrics,
}

impl RequestLog {
    /// Creates the log; `database` is the pool by which it inserts.
    pub(crate) fn new(
        settings: &config::RequestLog,
        database: Database,
        heartbeat: Heartbeat,
        metrics: Metrics,
    ) -> Self {
        Self(Arc::new(Inner {
            queue: Mutex::default(),
            queue_max: settings.queue_max,
            batch_max: usize::try_from(settings.batch).unwrap_or(usize::MAX),
            refusals: Mutex::new(RefusalLimit::new(settings.refusals)),
            database,
            heartbeat,
            metrics,
        }))
    }

    /// Adds a request to the queue if it was refused, failed or wrote. Never waits: if the queue is full, the request is
    /// counted and not logged.
    pub(crate) fn note(
        &self,
        context: &RequestContext,
        answered: &Answered<'_>,
        error: Option<&ApiError>,
    ) {
        let is_read = matches!(*answered.method, Method::GET | Method::HEAD);
        if is_read && error.is_none() {
            return;
        }
        if error.is_some() && !self.admits(answered) {
            return self.0.metrics.count_not_logged(NotLogged::Limited, 1);
        }
        let route = answered.route.unwrap_or(UNMATCHED);
        let took = answered.took.as_millis();
        let mut request = LoggedRequest {
            id: context.id(),
            at: self.0.heartbeat.time(),
            partner: answered.partner,
            key_prefix: context.grant().map(|it| it.prefix.clone()),
            operation: format!("{} {route}", method_name(answered.method)),
            status: answered.status.as_u16(),
            code: answered.code.map(str::to_owned),
            details: error.and_then(|it| logged_details(it.details())),
            duration_ms: i32::try_from(took).unwrap_or(i32::MAX),
            client: context.client(),
        };
        let mut queue = self.queue();
        if queue.len() < self.0.queue_max {
            // The heartbeat corrects its time, and lists are in the order of the times.
            let earliest = queue.back().map(|it| it.at + TICK);
            request.at = earliest.map_or(request.at, |it| it.max(request.at));
            return queue.push_back(request);
        }
        drop(queue);
        self.0.metrics.count_not_logged(NotLogged::Full, 1);
    }

    /// Counts a refused request, and returns whether it is logged.
    fn admits(&self, answered: &Answered<'_>) -> bool {
        let mut refusals = self
            .0
            .refusals
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        refusals.admits(answered.partner, Instant::now())
    }

    /// Inserts the requests that have gathered, in batches.
    ///
    /// After a temporary failure, those that were not inserted wait for the next call. After any other, the batch is
    /// counted and not logged.
    pub(crate) async fn insert_gathered(&self) -> Result<(), sqlx::Error> {
        loop {
            let batch = self.take_batch();
            if batch.is_empty() {
                return Ok(());
            }
            let Err(error) = self.insert(&batch).await else {
                continue;
            };
            if is_transient(&error) {
                self.put_back(batch);
            } else {
                let metrics = &self.0.metrics;
                metrics.count_not_logged(NotLogged::Failed, batch.len());
            }
            return Err(error);
        }
    }

    async fn insert(&self, batch: &[LoggedRequest]) -> Result<(), sqlx::Error> {
        let mut tx = self.0.database.begin().await?;
        store::insert(&mut tx, batch).await?;
        tx.commit().await
    }

    /// Closes the connection by which requests are inserted.
    pub(crate) async fn close(&self) {
        self.0.database.close().await;
    }

    fn take_batch(&self) -> Vec<LoggedRequest> {
        let mut queue = self.queue();
        let requests = queue.len().min(self.0.batch_max);
        queue.drain(..requests).collect()
    }

    /// Puts a batch back to the front of the queue. The newest requests that no longer fit are not logged.
    fn put_back(&self, batch: Vec<LoggedRequest>) {
        let mut queue = self.queue();
        for request in batch.into_iter().rev() {
            queue.push_front(request);
        }
        let excess = queue.len().saturating_sub(self.0.queue_max);
        queue.truncate(self.0.queue_max);
        drop(queue);
        self.0.metrics.count_not_logged(NotLogged::Full, excess);
    }

    fn queue(&self) -> MutexGuard<'_, VecDeque<LoggedRequest>> {
        self.0.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Deletes the requests that are older than the log covers. Each transaction deletes a bounded number. Returns their
/// number.
pub async fn delete_old(
    database: &Database,
    settings: &config::RequestLog,
) -> Result<u64, sqlx::Error> {
    let mut all = 0;
    loop {
        let mut tx = database.begin().await?;
        let age = TimeDelta::days(settings.days.into());
        let before = clock::real_now(&mut tx).await? - age;
        let deleted = store::delete_before(&mut tx, before, settings.batch.into()).await?;
        tx.commit().await?;
        all += deleted;
        if deleted < u64::from(settings.batch) {
            return Ok(all);
        }
    }
}
