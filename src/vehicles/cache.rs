//! [`VehicleCache`]: reads the JSON of vehicles and caches it, and caches the pages of lists.
//!
//! The JSON of a vehicle is valid while its row has the version that the index states, so that a change of one
//! vehicle invalidates one entry. A page is valid for one version of the catalogue and holds only the slots of its
//! vehicles: after a change of the catalogue the search is repeated, which takes microseconds.

use std::{
    collections::HashMap,
    sync::{
        Arc,
        atomic::{AtomicU32, Ordering},
    },
};

use bytes::Bytes;
use moka::sync::Cache;

use super::{
    search::Index,
    store::{self, ReadDetails, ReadSummaries, Summary},
    view::{VehicleView, summary_json},
};
use crate::{
    config,
    database::{Batcher, Database},
    errors::ApiError,
    http::etag::Tagged,
    telemetry::{
        metrics::Metrics,
        requests::{Cached, Kind},
    },
    values::id::VehicleId,
};

/// Percentage of the cache for single vehicles; vehicles of lists have the rest.
const DETAILS_PERCENT: u64 = 25;
/// Maximum size of all pages, in bytes.
const PAGES_BYTES: u64 = 2 * 1024 * 1024;
/// Maximum length of a query whose page is cached, in bytes; longer queries are rarely repeated.
const QUERY_BYTES_MAX: usize = 1_024;
/// Number of single vehicles that are known to have been read lately.
const READ_LATELY: usize = 8_192;
/// Size of an entry without its key and value, in bytes.
const ENTRY_BYTES: usize = 256;

/// Caches of vehicles of lists, single vehicles and pages. Cheap to clone.
#[derive(Debug, Clone)]
pub(crate) struct VehicleCache(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    summaries: Option<Versions<Bytes>>,
    details: Option<Versions<Tagged>>,
    /// Slots of single vehicles that were read lately, each at a place of its own that others share.
    read_lately: Box<[AtomicU32]>,
    pages: Cache<String, Arc<CachedPage>>,
    /// Reads the JSON of vehicles of lists that are not cached.
    read_summaries: Batcher<ReadSummaries>,
    /// Reads the JSON of single vehicles that are not cached.
    read_details: Batcher<ReadDetails>,
    /// For the vehicles whose JSON is not stored.
    database: Database,
    metrics: Metrics,
}

/// A page of one version of the catalogue.
#[derive(Debug)]
pub(super) struct CachedPage {
    pub(super) generation: u64,
    pub(super) version: i64,
    pub(super) slots: Vec<u32>,
    /// The cursor of the next page.
    pub(super) next: Option<String>,
    /// The number of dealers' vehicles that the filter drops; `None` if it does not apply to them.
    pub(super) filtered_out: Option<u64>,
}

/// The slot of a vehicle that has changed since the index was built.
#[derive(Debug)]
pub(super) struct Changed(pub(super) u32);

/// Values by vehicle id, each with the generation of the index and the version of the row that it was made from.
type Versions<V> = Cache<String, (u64, u32, V)>;

impl VehicleCache {
    /// Creates empty caches; with a `cache_bytes` of zero, no JSON is cached.
    pub(crate) fn new(
        settings: &config::Catalogue,
        database: Database,
        reads: &config::Database,
        metrics: Metrics,
    ) -> Self {
        let details = settings.cache_bytes / 100 * DETAILS_PERCENT;
        let weigh = |query: &String, page: &Arc<CachedPage>| {
            let bytes = query.len() + page.slots.len() * size_of::<u32>() + ENTRY_BYTES;
            u32::try_from(bytes).unwrap_or(u32::MAX)
        };
        let pages = Cache::builder().max_capacity(PAGES_BYTES).weigher(weigh);
        Self(Arc::new(Inner {
            summaries: versions(settings.cache_bytes - details, Bytes::len),
            details: versions(details, Tagged::bytes),
            read_lately: (0..READ_LATELY).map(|_| AtomicU32::new(u32::MAX)).collect(),
            pages: pages.build(),
            read_summaries: Batcher::new(database.clone(), reads),
            read_details: Batcher::new(database.clone(), reads),
            database,
            metrics,
        }))
    }

    /// Returns the page of a query, if it is cached for this version of the catalogue.
    pub(super) fn page(&self, index: &Index, query: &str) -> Option<Arc<CachedPage>> {
        let page = self.0.pages.get(query)?;
        let found_in = (page.generation, page.version);
        (found_in == (index.generation, index.version)).then_some(page)
    }

    /// Caches the page of a query.
    pub(super) fn insert_page(&self, query: &str, page: &Arc<CachedPage>) {
        if query.len() <= QUERY_BYTES_MAX {
            self.0.pages.insert(query.to_owned(), page.clone());
        }
    }

    /// Returns the JSON of vehicles of a list, or [`Changed`] if the row of one of them has another version than in
    /// the index.
    pub(super) async fn summaries(
        &self,
        index: &Index,
        slots: &[u32],
    ) -> Result<Result<Vec<Bytes>, Changed>, ApiError> {
        let mut found = Vec::with_capacity(slots.len());
        let mut missing = Vec::new();
        for (place, slot) in slots.iter().enumerate() {
            let cached = cached(self.0.summaries.as_ref(), index, *slot);
            if cached.is_none() {
                missing.push((place, *slot));
            }
            found.push(cached.unwrap_or_default());
        }
        let hits = found.len() - missing.len();
        self.count(Kind::Summaries, Cached::Hit, hits);
        if missing.is_empty() {
            return Ok(Ok(found));
        }
        self.count(Kind::Summaries, Cached::Miss, missing.len());
        let read = self.read_summaries(index, &missing).await?;
        for ((place, slot), summary) in missing.into_iter().zip(read) {
            let version = index.row_version(slot);
            let Some((_, summary)) = summary.filter(|it| it.0 == version) else {
                return Ok(Err(Changed(slot)));
            };
            if let Some(cache) = &self.0.summaries {
                let id = index.id(slot).to_owned();
                cache.insert(id, (index.generation, version, summary.clone()));
            }
            if let Some(it) = found.get_mut(place) {
                *it = summary;
            }
        }
        Ok(Ok(found))
    }

    /// Returns the JSON of a single vehicle, if it is cached.
    pub(super) fn detail(&self, index: &Index, slot: u32) -> Option<Tagged> {
        let found = cached(self.0.details.as_ref(), index, slot);
        let result = if found.is_some() {
            Cached::Hit
        } else {
            Cached::Miss
        };
        self.count(Kind::Details, result, 1);
        found
    }

    /// Caches the JSON of a single vehicle if it was read lately.
    ///
    /// Most vehicles of a large catalogue are read once in a while, and inserting one takes longer than reading it.
    pub(super) fn insert_detail(&self, index: &Index, slot: u32, detail: Tagged) {
        let Some(cache) = &self.0.details else {
            return;
        };
        let place = usize::try_from(slot).unwrap_or(usize::MAX) % READ_LATELY;
        let latest = self.0.read_lately.get(place);
        if latest.is_some_and(|it| it.swap(slot, Ordering::Relaxed) == slot) {
            let made_from = (index.generation, index.row_version(slot), detail);
            cache.insert(index.id(slot).to_owned(), made_from);
        }
    }

    /// Reads the JSON of a listed vehicle, with the version of its row, and renders it if it is not stored.
    pub(super) async fn read_detail(
        &self,
        id: &VehicleId,
    ) -> Result<Option<(u32, Tagged)>, ApiError> {
        let Some(found) = self.0.read_details.read(id.clone()).await? else {
            return Ok(None);
        };
        if let Some(json) = found.json {
            return Ok(Some((found.row_version, Tagged::new(json.into()))));
        }
        let mut connection = self.0.database.acquire().await?;
        let vehicle = store::find_whole(&mut connection, id).await?;
        vehicle
            .map(|(vehicle, prices, row_version)| {
                let view = VehicleView::new(vehicle, prices);
                Ok((row_version, Tagged::render(&view)?))
            })
            .transpose()
    }

    /// Reads the JSON of vehicles of a list, each with the version of its row, and renders vehicles whose JSON is not
    /// stored.
    async fn read_summaries(
        &self,
        index: &Index,
        missing: &[(usize, u32)],
    ) -> Result<Vec<Option<(u32, Bytes)>>, ApiError> {
        let ids = || missing.iter().map(|(_, slot)| index.id(*slot));
        let key = |slot: u32| (index.id(slot).to_owned(), index.row(slot).tid);
        let keys = missing.iter().map(|(_, slot)| key(*slot)).collect();
        let read = self.0.read_summaries.read(keys).await?;
        let is_unrendered = |it: &Option<Summary>| it.as_ref().is_some_and(|it| it.json.is_none());
        let unrendered = ids().zip(&read).filter(|(_, it)| is_unrendered(it));
        let unrendered: Vec<_> = unrendered.map(|(id, _)| id).collect();
        let mut rendered = HashMap::new();
        if !unrendered.is_empty() {
            let mut connection = self.0.database.acquire().await?;
            for (vehicle, row_version) in store::find_listed(&mut connection, &unrendered).await? {
                let json = summary_json(&vehicle.listing, vehicle.updated_at);
                let json = Bytes::from(json.map_err(ApiError::internal)?);
                rendered.insert(vehicle.listing.id.to_string(), (row_version, json));
            }
        }
        let summaries = ids().zip(read).map(|(id, summary)| {
            let summary = summary?;
            let json = summary.json.map(|json| (summary.row_version, json));
            json.or_else(|| rendered.remove(id))
        });
        Ok(summaries.collect())
    }

    fn count(&self, kind: Kind, cached: Cached, vehicles: usize) {
        self.0.metrics.count_cached(kind, cached, vehicles);
    }
}

fn versions<V: Clone + Send + Sync + 'static>(
    max: u64,
    bytes: fn(&V) -> usize,
) -> Option<Versions<V>> {
    let weigh = move |id: &String, (_, _, value): &(u64, u32, V)| {
        u32::try_from(id.len() + bytes(value) + ENTRY_BYTES).unwrap_or(u32::MAX)
    };
    let cache = || Cache::builder().max_capacity(max).weigher(weigh).build();
    (max > 0).then(cache)
}

fn cached<V: Clone + Send + Sync + 'static>(
    cache: Option<&Versions<V>>,
    index: &Index,
    slot: u32,
) -> Option<V> {
    let (generation, version, value) = cache?.get(index.id(slot))?;
    let made_of = (generation, version);
    (made_of == (index.generation, index.row_version(slot))).then_some(value)
}
