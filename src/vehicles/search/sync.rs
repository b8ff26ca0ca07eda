//! [`Catalogue`]: the search index of this replica, which is synchronized with the database.
//!
//! Every commit that changes vehicles increments the version of the catalogue and logs their ids. A replica reads the
//! vehicles that changed since its version and merges them into its index. It does so when a change is announced, and
//! also several times within `catalogue.staleness_milliseconds`, because announcements can be lost. If the log does not
//! reach back to the version of the index, or the database may have lost changes that were read before, the whole
//! catalogue is loaded again. An index is used only if it was confirmed within the staleness. Otherwise readers wait
//! for the next confirmation.

use std::{
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::Duration,
};

use tokio::{
    sync::{Notify, watch},
    time::{Instant, sleep, timeout},
};
use tokio_util::sync::CancellationToken;

use super::{Builder, Index};
use crate::{
    config::Settings,
    database::{Database, Heartbeat},
    errors::ApiError,
    telemetry::metrics::Metrics,
    values::id::VehicleId,
    vehicles::{
        model::Offer,
        store::{self, Changes, Moment},
    },
};

/// Number of polls for changes within the staleness.
const POLLS: u32 = 4;
/// Pause after a poll, as a multiple of its duration and at most one poll interval: changes in quick succession are
/// merged together.
const PAUSE_FACTOR: u32 = 2;
/// Timeout for loading the whole catalogue.
const LOAD_TIMEOUT: Duration = Duration::from_secs(120);

/// The catalogue of this replica. Cheap to clone.
#[derive(Debug, Clone)]
pub(crate) struct Catalogue(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    view: watch::Sender<View>,
    /// Time of the last change that this replica committed itself.
    changed: Mutex<Option<Instant>>,
    is_followed: AtomicBool,
    /// Whether a change was found that is missing in the change log, so that the catalogue must be loaded again.
    is_doubted: AtomicBool,
    /// Number of times the catalogue was loaded.
    loads: AtomicU64,
    /// Notified when a reader waits for a confirmation.
    wake: Notify,
    staleness: Duration,
    /// Time that readers wait for a confirmation.
    confirmation_timeout: Duration,
}

/// An index, and the latest time at which it was known to match the database.
#[derive(Debug, Clone, Default)]
struct View {
    index: Option<Arc<Index>>,
    confirmed_at: Option<Instant>,
}

/// An index, and the timeline of the server that it was read from.
type Synced = (Arc<Index>, String);

impl Catalogue {
    /// Creates a catalogue without an index.
    pub(crate) fn new(settings: &Settings) -> Self {
        Self(Arc::new(Inner {
            view: watch::Sender::default(),
            changed: Mutex::default(),
            is_followed: AtomicBool::new(false),
            is_doubted: AtomicBool::new(false),
            loads: AtomicU64::new(0),
            wake: Notify::new(),
            staleness: settings.catalogue.staleness,
            confirmation_timeout: settings.database.acquire,
        }))
    }

    /// Returns the index if it is recent enough; otherwise waits until it is confirmed.
    ///
    /// It is at most `catalogue.staleness_milliseconds` old, and includes every change by this replica.
    pub(crate) async fn index(&self) -> Result<Arc<Index>, ApiError> {
        let now = Instant::now();
        let oldest = now.checked_sub(self.0.staleness).unwrap_or(now);
        let changed = *self.changed_at();
        self.index_since(changed.map_or(oldest, |it| it.max(oldest)))
            .await
    }

    /// Returns an index that includes every change committed before `since`.
    pub(crate) async fn index_since(&self, since: Instant) -> Result<Arc<Index>, ApiError> {
        if let Some(index) = self.0.view.borrow().confirmed_since(since) {
            return Ok(index);
        }
        let mut view = self.0.view.subscribe();
        self.0.wake.notify_one();
        let confirmed = view.wait_for(|it| it.confirmed_at >= Some(since));
        let confirmed = timeout(self.0.confirmation_timeout, confirmed).await;
        let index = confirmed.ok().and_then(|it| it.ok()?.index.clone());
        index.ok_or_else(|| ApiError::Unavailable {
            source: "the catalogue was not confirmed in time".into(),
        })
    }

    /// Returns an index newer than `index`, in which the vehicle `id` differs from the database.
    ///
    /// If the newer index has the same version of the vehicle, the change was not logged, and the catalogue is loaded
    /// again.
    pub(crate) async fn index_after(
        &self,
        index: &Index,
        id: &str,
    ) -> Result<Arc<Index>, ApiError> {
        let version = |it: &Index| (it.generation, it.slot(id).map(|slot| it.row_version(slot)));
        let later = self.index_since(Instant::now()).await?;
        if version(&later) != version(index) {
            return Ok(later);
        }
        self.0.is_doubted.store(true, Ordering::Relaxed);
        self.index_since(Instant::now()).await
    }

    /// Returns the version of a vehicle's row, and the data that an order of it depends on. Both may be out of date.
    pub(crate) fn offer(&self, vehicle: &VehicleId) -> Option<(u32, Offer)> {
        self.0.view.borrow().index.as_ref()?.offer(vehicle)
    }

    /// Records that this replica has changed vehicles: from now on no older index is used.
    pub(crate) fn note_own_change(&self) {
        *self.changed_at() = Some(Instant::now());
        self.0.wake.notify_one();
    }

    /// Returns whether [`Catalogue::follow`] was called and the catalogue is not loaded yet.
    pub(crate) fn is_loading(&self) -> bool {
        self.0.is_followed.load(Ordering::Relaxed) && self.0.view.borrow().index.is_none()
    }

    /// Returns whether readers are refused: the catalogue was not confirmed within the staleness and the time that they
    /// wait.
    pub(crate) fn is_stale(&self) -> bool {
        let bound = self.0.staleness + self.0.confirmation_timeout;
        let confirmed_at = self.0.view.borrow().confirmed_at;
        confirmed_at.is_none_or(|it| it.elapsed() > bound)
    }

    /// Waits until the catalogue is loaded.
    pub(crate) async fn loaded(&self) {
        let mut view = self.0.view.subscribe();
        // The sender lives as long as this handle.
        let _ = view.wait_for(|it| it.index.is_some()).await;
    }

    /// Synchronizes the index with the database until `stop`, and then closes `database`, a pool for this task alone.
    pub(crate) fn follow(
        self,
        database: Database,
        heartbeat: Heartbeat,
        metrics: Metrics,
        stop: CancellationToken,
    ) -> impl Future<Output = ()> {
        self.0.is_followed.store(true, Ordering::Relaxed);
        async move {
            tokio::select! {
                () = stop.cancelled() => {}
                () = self.catch_up_for_ever(&database, &heartbeat, &metrics) => {}
            }
            database.close().await;
        }
    }

    async fn catch_up_for_ever(
        &self,
        database: &Database,
        heartbeat: &Heartbeat,
        metrics: &Metrics,
    ) {
        let mut synced: Option<Synced> = None;
        let poll = self.0.staleness / POLLS;
        loop {
            let began = Instant::now();
            let version = synced.as_ref().map(|(index, _)| index.version);
            match self.catch_up(database, &mut synced).await {
                Ok(()) => self.measure(metrics, version, began),
                Err(error) => {
                    tracing::warn!(error = %error, "cannot confirm the catalogue; retrying");
                }
            }
            sleep((began.elapsed() * PAUSE_FACTOR).min(poll)).await;
            tokio::select! {
                () = self.0.wake.notified() => {}
                () = heartbeat.catalogue_announced() => {}
                () = sleep(poll) => {}
            }
        }
    }

    /// Brings the index up to date with the database, and confirms it.
    async fn catch_up(
        &self,
        database: &Database,
        synced: &mut Option<Synced>,
    ) -> Result<(), sqlx::Error> {
        let is_doubted = self.0.is_doubted.swap(false, Ordering::Relaxed);
        let (index, timeline) = match synced.take() {
            Some(synced) if !synced.0.is_worn() && !is_doubted => synced,
            outdated => {
                *synced = outdated;
                let generation = self.0.loads.fetch_add(1, Ordering::Relaxed);
                load(database, generation).await?
            }
        };
        let asked_at = Instant::now();
        let changes = async {
            let mut connection = database.acquire().await?;
            store::changes_since(&mut connection, index.version).await
        };
        let changes = match changes.await {
            Ok(changes) => changes,
            Err(error) => {
                *synced = Some((index, timeline));
                return Err(error);
            }
        };
        let moment = changes.moment.clone();
        if !changes.is_complete || moment.timeline != timeline {
            // The catalogue is loaded again in the next iteration. The view is not replaced or confirmed until then.
            self.0.wake.notify_one();
            return Ok(());
        }
        let index = match moment.version == index.version {
            true => index,
            false => merge(index, changes).await?,
        };
        *synced = Some((index.clone(), timeline));
        let replaced = self.0.view.send_replace(View {
            index: Some(index),
            confirmed_at: Some(asked_at),
        });
        // An index that is not used any more is freed where it does not hold up requests.
        tokio::task::spawn_blocking(move || drop(replaced));
        Ok(())
    }

    fn measure(&self, metrics: &Metrics, version: Option<i64>, began: Instant) {
        let view = self.0.view.borrow();
        if let Some(index) = &view.index {
            metrics.set_catalogue_vehicles(index.len());
            if version != Some(index.version) {
                metrics.record_catalogue_merge(began.elapsed());
            }
        }
    }

    fn changed_at(&self) -> std::sync::MutexGuard<'_, Option<Instant>> {
        let changed = &self.0.changed;
        changed.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl View {
    fn confirmed_since(&self, since: Instant) -> Option<Arc<Index>> {
        let is_confirmed = self.confirmed_at >= Some(since);
        self.index.clone().filter(|_| is_confirmed)
    }
}

/// Merges changes into an index, on a thread where this does not hold up requests.
async fn merge(index: Arc<Index>, changes: Changes) -> Result<Arc<Index>, sqlx::Error> {
    let merging = tokio::task::spawn_blocking(move || {
        let vehicles = changes.vehicles()?;
        let Moment {
            version,
            changed_at,
            ..
        } = changes.moment;
        Ok(Arc::new(index.merge(version, changed_at, vehicles)))
    });
    merging.await.map_err(|_| sqlx::Error::WorkerCrashed)?
}

/// Loads the whole catalogue. Changes made meanwhile are merged afterwards.
async fn load(database: &Database, generation: u64) -> Result<Synced, sqlx::Error> {
    let mut tx = database.begin().await?;
    let mut builder = Builder::default();
    let moment = store::load(&mut tx, LOAD_TIMEOUT, |entry| builder.add(entry)).await?;
    tx.commit().await?;
    let building = tokio::task::spawn_blocking(move || {
        let mut index = builder.build(moment.version);
        index.generation = generation;
        index.changed_at = moment.changed_at;
        Arc::new(index)
    });
    let index = building.await.map_err(|_| sqlx::Error::WorkerCrashed)?;
    Ok((index, moment.timeline))
}
