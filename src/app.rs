//! [`App`]: the shared state of a replica. It is built once and cheap to clone.

use std::sync::Arc;

use tokio::time::Instant;
use tokio_util::{sync::CancellationToken, task::TaskTracker};

use crate::{
    config::{self, Settings},
    database::{self, Batcher, Connection, Database, Deployment, Heartbeat, SchemaError, Tx},
    http::cursor::Cursors,
    idempotency::ReadReplies,
    orders::store::ReadOrders,
    telemetry::{
        export::{Spans, exporter},
        load::WaitFor,
        metrics::Metrics,
        sweep::Sweep,
    },
    vehicles::{
        search::Catalogue,
        store::{ReadDetails, ReadSummaries},
    },
};

/// The settings, the database, the metrics and the tasks of one replica.
#[derive(Debug, Clone)]
pub struct App(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    settings: Settings,
    database: Database,
    catalogue: Catalogue,
    reads: Reads,
    cursors: Cursors,
    heartbeat: Heartbeat,
    metrics: Metrics,
    spans: Option<Spans>,
    draining: CancellationToken,
    tasks: TaskTracker,
    stop: CancellationToken,
}

/// The reads by key, whose requests share statements.
#[derive(Debug)]
pub(crate) struct Reads {
    pub(crate) orders: Batcher<ReadOrders>,
    pub(crate) details: Batcher<ReadDetails>,
    pub(crate) summaries: Batcher<ReadSummaries>,
    pub(crate) replies: Batcher<ReadReplies>,
}

impl Reads {
    fn new(database: &Database, metrics: &Metrics, settings: &config::Database) -> Self {
        Self {
            orders: Batcher::new(database.clone(), metrics.clone(), settings),
            details: Batcher::new(database.clone(), metrics.clone(), settings),
            summaries: Batcher::new(database.clone(), metrics.clone(), settings),
            replies: Batcher::new(database.clone(), metrics.clone(), settings),
        }
    }
}

impl App {
    /// Connects to the database, checks its schema and environment, and starts the heartbeat and the catalogue.
    pub async fn start(settings: Settings) -> Result<Self, SchemaError> {
        let dedicated_database = Database::connect_background(&settings.database)?;
        let app = Self::start_without_catalogue(settings).await?;
        let follow_task = app.0.catalogue.clone().follow(
            dedicated_database,
            app.0.heartbeat.clone(),
            app.0.metrics.clone(),
            app.0.stop.clone(),
        );
        app.tasks().spawn(follow_task);
        Ok(app)
    }

    /// Does the same without the catalogue, for a worker, which serves no vehicles.
    pub(crate) async fn start_without_catalogue(settings: Settings) -> Result<Self, SchemaError> {
        let database = Database::connect(&settings.database)?;
        let deployment = {
            let mut connection = database.acquire().await?;
            database::deployment(&mut connection, settings.environment).await?
        };
        Ok(Self::new(settings, database, &deployment))
    }

    fn new(settings: Settings, database: Database, deployment: &Deployment) -> Self {
        let metrics = Metrics::new();
        let environment = settings.environment.as_str();
        let (spans, exporter) = exporter(&settings.telemetry, environment, &metrics).unzip();
        let inner = Inner {
            cursors: Cursors::new(&deployment.cursor_key),
            heartbeat: Heartbeat::new(&settings, deployment.now),
            catalogue: Catalogue::new(&settings),
            reads: Reads::new(&database, &metrics, &settings.database),
            metrics,
            spans,
            draining: CancellationToken::new(),
            tasks: TaskTracker::new(),
            stop: CancellationToken::new(),
            settings,
            database,
        };
        if let Some(exporter) = exporter {
            inner.tasks.spawn(exporter.run(inner.stop.clone()));
        }
        inner
            .metrics
            .set_requests_max(inner.settings.server.requests_max);
        let listening = inner
            .heartbeat
            .clone()
            .listen(inner.database.clone(), inner.stop.clone());
        inner.tasks.spawn(listening);
        let upkeep = inner.metrics.clone().upkeep(inner.stop.clone());
        inner.tasks.spawn(upkeep);
        Self(Arc::new(inner))
    }

    /// Returns the settings.
    pub fn settings(&self) -> &Settings {
        &self.0.settings
    }

    /// Returns the connection pool; requests read with [`App::acquire`] and write with [`App::begin`].
    pub fn database(&self) -> &Database {
        &self.0.database
    }

    /// Acquires a connection for reads.
    pub(crate) async fn acquire(&self) -> Result<Connection, sqlx::Error> {
        self.timed(WaitFor::Read, self.0.database.acquire()).await
    }

    /// Acquires a connection for a write that is a single statement.
    pub(crate) async fn acquire_for_write(&self) -> Result<Connection, sqlx::Error> {
        self.timed(WaitFor::Write, self.0.database.acquire()).await
    }

    /// Begins a transaction for a write.
    pub(crate) async fn begin(&self) -> Result<Tx, sqlx::Error> {
        self.timed(WaitFor::Write, self.0.database.begin()).await
    }

    /// Awaits a connection and records the time that it took, also if it failed.
    async fn timed<T>(&self, purpose: WaitFor, wait: impl Future<Output = T>) -> T {
        let began = Instant::now();
        let result = wait.await;
        self.0
            .metrics
            .record_connection_wait(purpose, began.elapsed());
        result
    }

    /// Returns the reads by key, whose requests share statements.
    pub(crate) fn reads(&self) -> &Reads {
        &self.0.reads
    }

    /// Returns the value that creates and verifies cursors.
    pub(crate) fn cursors(&self) -> &Cursors {
        &self.0.cursors
    }

    /// Returns this replica's copy of the catalogue.
    pub(crate) fn catalogue(&self) -> &Catalogue {
        &self.0.catalogue
    }

    /// Waits until the catalogue is loaded and contains every change committed so far.
    pub async fn catch_up(&self) {
        self.0.catalogue.loaded().await;
        let _ = self.0.catalogue.index_since(Instant::now()).await;
    }

    /// Returns the heartbeat of the database.
    pub(crate) fn heartbeat(&self) -> &Heartbeat {
        &self.0.heartbeat
    }

    /// Returns the metrics.
    pub(crate) fn metrics(&self) -> &Metrics {
        &self.0.metrics
    }

    /// Returns the queue of spans, if an exporter is configured.
    pub(crate) fn spans(&self) -> Option<&Spans> {
        self.0.spans.as_ref()
    }

    /// Runs a sweep and records its duration and success.
    pub(crate) async fn note<T, E>(
        &self,
        sweep: Sweep,
        work: impl Future<Output = Result<T, E>>,
    ) -> Result<T, E> {
        let began = Instant::now();
        let done = work.await;
        let done_at = done.is_ok().then(|| self.0.heartbeat.time());
        self.0.metrics.count_sweep(sweep, began.elapsed(), done_at);
        done
    }

    /// Starts draining: from now on this replica reports that it is not ready.
    pub(crate) fn drain(&self) {
        self.0.draining.cancel();
    }

    /// Returns whether this replica is draining.
    pub(crate) fn is_draining(&self) -> bool {
        self.0.draining.is_cancelled()
    }

    /// Returns the tasks that a graceful stop waits for.
    pub fn tasks(&self) -> &TaskTracker {
        &self.0.tasks
    }

    /// Waits until the replica stops.
    pub(crate) async fn stopping(&self) {
        self.0.stop.cancelled().await;
    }

    /// Stops the tasks, waits for them and closes the database's connections.
    pub async fn stop(&self) {
        self.0.stop.cancel();
        self.0.tasks.close();
        self.0.tasks.wait().await;
        self.0.database.close().await;
    }
}
