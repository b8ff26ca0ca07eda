//! The background jobs: the list of all of them, and the loop that repeats a job.
//!
//! A feature defines one pass of its job. Any number of replicas may run the same jobs.

use std::{fmt::Display, sync::Arc, time::Duration};

use tokio::time::{Instant, sleep};
use tokio_util::{sync::CancellationToken, task::TaskTracker};

use crate::{
    config::Settings,
    database::{Database, Heartbeat},
    middleware::{authentication::ApiKeys, rate_limit::RateLimit},
    orders,
    request_log::{self, RequestLog},
    telemetry::{jobs::Job, metrics::Metrics},
    vehicles::{self, render::RenderError},
    webhooks::worker::{self, OldestDue, Worker},
};

/// The parts of a replica that its jobs need.
#[derive(Debug, Clone)]
pub(crate) struct Jobs {
    pub(crate) settings: Arc<Settings>,
    pub(crate) database: Database,
    pub(crate) heartbeat: Heartbeat,
    pub(crate) metrics: Metrics,
    pub(crate) oldest_due: OldestDue,
    pub(crate) tasks: TaskTracker,
    pub(crate) stop: CancellationToken,
}

impl Jobs {
    /// Starts the jobs of a replica that serves partners.
    pub(crate) fn start_gate(&self, keys: ApiKeys, limits: RateLimit, log: RequestLog) {
        self.tasks.spawn(limits.keep_shared(self.stop.clone()));
        self.spawn_to_the_end(Job::KeyUses, self.settings.gate.key_use, move || {
            let keys = keys.clone();
            async move { keys.write_last_uses().await }
        });
        let log_every = self.settings.request_log.flush;
        self.spawn_to_the_end(Job::RequestLog, log_every, move || {
            let log = log.clone();
            async move { log.insert_gathered().await }
        });
    }

    /// Starts the jobs that a server may leave to `lmn worker`.
    pub(crate) fn start_worker(&self) -> Result<(), rustls::Error> {
        let worker = Worker::new(
            self.settings.clone(),
            self.database.clone(),
            self.heartbeat.clone(),
            self.metrics.clone(),
        )?;
        self.tasks.spawn(worker.run(self.stop.clone()));
        let orders_every = self.settings.jobs.interval;
        self.spawn(Job::Auctions, orders_every, |it| async move {
            orders::jobs::fail_passed(&it.database, &it.settings.jobs, &it.metrics).await
        });
        self.spawn(Job::Reminders, orders_every, |it| async move {
            orders::jobs::remind_overdue(&it.database, &it.settings.jobs, &it.metrics).await
        });
        let render_every = self.settings.catalogue.render;
        self.spawn(Job::Rendering, render_every, |it| async move {
            let settings = &it.settings.catalogue;
            vehicles::render::render_all(&it.database, settings.render_batch).await?;
            let mut connection = it.database.acquire().await?;
            vehicles::store::forget_changes(&mut connection, settings.changes).await?;
            Ok::<_, RenderError>(())
        });
        self.spawn(
            Job::OldRequests,
            self.settings.jobs.interval,
            |it| async move {
                request_log::delete_old(&it.database, &it.settings.request_log).await
            },
        );
        Ok(())
    }

    /// Starts the count of the waiting deliveries, which servers and workers need for their status and metrics.
    pub(crate) fn start_backlog(&self) {
        let every = self.settings.webhooks.backlog;
        self.spawn(Job::Backlog, every, |it| async move {
            worker::count_backlog(&it.database, &it.metrics, &it.oldest_due).await
        });
    }

    /// Starts a task that repeats a job.
    fn spawn<F, T, E>(
        &self,
        job: Job,
        every: Duration,
        pass: impl Fn(Self) -> F + Send + Sync + 'static,
    ) where
        F: Future<Output = Result<T, E>> + Send + 'static,
        T: Send,
        E: Display + Send,
    {
        let jobs = self.clone();
        self.tasks.spawn(async move {
            jobs.run_every(job, every, || pass(jobs.clone())).await;
        });
    }

    /// Starts a task that repeats a job, and runs it once more when the replica stops, for what has come since the last
    /// pass.
    fn spawn_to_the_end<F, T, E>(
        &self,
        job: Job,
        every: Duration,
        pass: impl Fn() -> F + Send + Sync + 'static,
    ) where
        F: Future<Output = Result<T, E>> + Send + 'static,
        T: Send,
        E: Display + Send,
    {
        let jobs = self.clone();
        self.tasks.spawn(async move {
            jobs.run_every(job, every, &pass).await;
            jobs.run(job, pass()).await;
        });
    }

    /// Runs a job now, and again at every interval after it, until the replica stops.
    async fn run_every<F, T, E>(&self, job: Job, every: Duration, pass: impl Fn() -> F)
    where
        F: Future<Output = Result<T, E>>,
        E: Display,
    {
        loop {
            self.run(job, pass()).await;
            tokio::select! {
                () = sleep(every) => {}
                () = self.stop.cancelled() => return,
            }
        }
    }

    /// Runs one pass of a job. Records its duration and success, and logs a failure.
    async fn run<T, E: Display>(&self, job: Job, pass: impl Future<Output = Result<T, E>>) {
        let began = Instant::now();
        let result = pass.await;
        let done_at = result.is_ok().then(|| self.heartbeat.time());
        self.metrics.count_job(job, began.elapsed(), done_at);
        if let Err(error) = result {
            let job = job.as_str();
            tracing::warn!(job, %error, "a background job failed; it is retried after its interval");
        }
    }
}
