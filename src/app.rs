//! [`App`]: the state of a replica. It is built once, is cheap to clone, and gives each handler the parts that it takes.

use std::{sync::Arc, time::Duration};

use axum::extract::FromRef;
use tokio::time::{Instant, timeout};
use tokio_util::{sync::CancellationToken, task::TaskTracker};

use crate::{
    config::Settings,
    database::{self, Batcher, Database, Heartbeat, SchemaError},
    http::cursor::Cursors,
    idempotency::ReadReplies,
    jobs::Jobs,
    operator::probes::Draining,
    orders::store::ReadOrders,
    request_log::RequestLog,
    status::StatusMonitor,
    telemetry::{
        export::{Spans, exporter},
        metrics::Metrics,
    },
    vehicles::{cache::VehicleCache, search::Catalogue},
    webhooks::worker::OldestDue,
};

/// Time for the tasks in progress when a replica stops: longer than an attempt to deliver an event. A task that is cut
/// off leaves nothing half done, because its transaction rolls back.
const TASKS_STOP: Duration = Duration::from_secs(15);

/// The settings, the database, the metrics and the tasks of one replica.
#[derive(Debug, Clone)]
pub struct App(Arc<Parts>);

#[derive(Debug)]
struct Parts {
    settings: Arc<Settings>,
    database: Database,
    heartbeat: Heartbeat,
    catalogue: Catalogue,
    vehicle_cache: VehicleCache,
    orders: Batcher<ReadOrders>,
    replies: Batcher<ReadReplies>,
    cursors: Cursors,
    metrics: Metrics,
    request_log: RequestLog,
    spans: Option<Spans>,
    draining: Draining,
    oldest_due: OldestDue,
    status: StatusMonitor,
    tasks: TaskTracker,
    stop: CancellationToken,
}

/// Declares the parts that a handler can take with `State`.
macro_rules! parts {
    ($($field:ident: $part:ty,)*) => {
        $(
            impl FromRef<App> for $part {
                fn from_ref(app: &App) -> Self {
                    app.0.$field.clone()
                }
            }
        )*
    };
}

parts! {
    settings: Arc<Settings>,
    database: Database,
    heartbeat: Heartbeat,
    catalogue: Catalogue,
    vehicle_cache: VehicleCache,
    orders: Batcher<ReadOrders>,
    cursors: Cursors,
    metrics: Metrics,
    draining: Draining,
    status: StatusMonitor,
}

impl App {
    /// Connects to the database, checks its schema and environment, and starts the heartbeat and the catalogue.
    pub async fn start(settings: Settings) -> Result<Self, SchemaError> {
        let app = Self::start_without_catalogue(settings).await?;
        let dedicated_database =
            Database::connect_background(&app.0.settings.database, Metrics::new())?;
        let follow_task = app.0.catalogue.clone().follow(
            dedicated_database,
            app.0.heartbeat.clone(),
            app.0.metrics.clone(),
            app.0.stop.clone(),
        );
        app.0.tasks.spawn(follow_task);
        let watching = app.0.status.clone().watch(app.0.stop.clone());
        app.0.tasks.spawn(watching);
        Ok(app)
    }

    /// Does the same without the catalogue, for a worker, which serves no vehicles.
    pub(crate) async fn start_without_catalogue(settings: Settings) -> Result<Self, SchemaError> {
        let metrics = Metrics::new();
        let database = Database::connect(&settings.database, metrics.clone())?;
        let deployment = {
            let mut connection = database.acquire().await?;
            database::deployment(&mut connection, settings.environment).await?
        };
        let settings = Arc::new(settings);
        let environment = settings.environment.as_str();
        let (spans, exporter) = exporter(&settings.telemetry, environment, &metrics).unzip();
        let vehicle_cache = VehicleCache::new(
            &settings.catalogue,
            database.clone(),
            &settings.database,
            metrics.clone(),
        );
        let heartbeat = Heartbeat::new(&settings, &database, deployment.now);
        let (catalogue, oldest_due) = (Catalogue::new(&settings), OldestDue::new());
        let status = StatusMonitor::new(
            settings.clone(),
            heartbeat.clone(),
            catalogue.clone(),
            oldest_due.clone(),
        );
        let request_log = RequestLog::new(
            &settings.request_log,
            Database::connect_background(&settings.database, Metrics::new())?,
            heartbeat.clone(),
            metrics.clone(),
        );
        let parts = Parts {
            heartbeat,
            catalogue,
            vehicle_cache,
            orders: Batcher::new(database.clone(), &settings.database),
            replies: Batcher::new(database.clone(), &settings.database),
            cursors: Cursors::new(&deployment.cursor_key),
            metrics,
            request_log,
            spans,
            draining: Draining(CancellationToken::new()),
            tasks: TaskTracker::new(),
            stop: CancellationToken::new(),
            oldest_due,
            status,
            settings,
            database,
        };
        if let Some(exporter) = exporter {
            parts.tasks.spawn(exporter.run(parts.stop.clone()));
        }
        let requests_max = parts.settings.server.requests_max;
        parts.metrics.set_requests_max(requests_max);
        let heartbeat = parts.heartbeat.clone();
        let listening = heartbeat.listen(parts.database.clone(), parts.stop.clone());
        parts.tasks.spawn(listening);
        let upkeep = parts.metrics.clone().upkeep(parts.stop.clone());
        parts.tasks.spawn(upkeep);
        Ok(Self(Arc::new(parts)))
    }

    /// Returns the settings.
    pub fn settings(&self) -> &Arc<Settings> {
        &self.0.settings
    }

    /// Returns the connection pool.
    pub fn database(&self) -> &Database {
        &self.0.database
    }

    /// Returns the replies of idempotency keys.
    pub(crate) fn replies(&self) -> &Batcher<ReadReplies> {
        &self.0.replies
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
    pub fn heartbeat(&self) -> &Heartbeat {
        &self.0.heartbeat
    }

    /// Returns the metrics.
    pub fn metrics(&self) -> &Metrics {
        &self.0.metrics
    }

    /// Returns the age of the oldest due delivery.
    pub fn oldest_due(&self) -> &OldestDue {
        &self.0.oldest_due
    }

    /// Returns the request log.
    pub(crate) fn request_log(&self) -> &RequestLog {
        &self.0.request_log
    }

    /// Returns the queue of spans, if an exporter is configured.
    pub(crate) fn spans(&self) -> Option<&Spans> {
        self.0.spans.as_ref()
    }

    /// Returns the parts of the background jobs.
    pub(crate) fn jobs(&self) -> Jobs {
        Jobs {
            settings: self.0.settings.clone(),
            database: self.0.database.clone(),
            heartbeat: self.0.heartbeat.clone(),
            metrics: self.0.metrics.clone(),
            oldest_due: self.0.oldest_due.clone(),
            tasks: self.0.tasks.clone(),
            stop: self.0.stop.clone(),
        }
    }

    /// Starts draining: from now on this replica reports that it is not ready.
    pub(crate) fn drain(&self) {
        self.0.draining.0.cancel();
    }

    /// Returns the tasks that a graceful stop waits for.
    pub fn tasks(&self) -> &TaskTracker {
        &self.0.tasks
    }

    /// Returns the token that stops the tasks.
    pub fn stopping(&self) -> &CancellationToken {
        &self.0.stop
    }

    /// Stops the tasks, waits for them up to [`TASKS_STOP`] and closes the connections to the database.
    pub async fn stop(&self) {
        self.0.stop.cancel();
        self.0.tasks.close();
        if timeout(TASKS_STOP, self.0.tasks.wait()).await.is_err() {
            tracing::warn!("ending with background jobs that did not complete in time");
        }
        self.0.request_log.close().await;
        self.0.database.close().await;
    }
}
