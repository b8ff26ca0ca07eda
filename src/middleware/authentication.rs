//! Authentication: finds the [`Grant`] of the API key in the `x-api-key` header and stores it in the request context.

use std::{
    net::IpAddr,
    sync::{Arc, Mutex, PoisonError},
};

use axum::{extract::Request, http::HeaderMap};
use chrono::{DateTime, Utc};
use moka::{future::Cache as LoadingCache, sync::Cache};
use tokio::time::Instant;

use super::{
    admission::{Policy, Verdict},
    last_use::{self, LastUse},
    rate_limit::model::Throttled,
    unknown_key_throttle::UnknownKeyThrottle,
};
use crate::{
    app::App,
    errors::ApiError,
    http::user,
    partners::{
        model::{Grant, KeyDigest, KeyError, read_key},
        store,
    },
    request::RequestContext,
};

/// The header of the API key.
const HEADER: &str = "x-api-key";

/// The authentication policy, with this replica's cache of API keys.
#[derive(Debug, Clone)]
pub(crate) struct ApiKeys(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    app: App,
    /// Keys that were found at least once, even if they have changed since.
    known: Cache<KeyDigest, Arc<KnownKey>>,
    /// First look-ups of keys, one at a time for each key.
    lookups: LoadingCache<KeyDigest, Arc<KnownKey>>,
    throttle: UnknownKeyThrottle,
}

/// A key that was found at least once.
#[derive(Debug)]
struct KnownKey {
    last_use: Arc<LastUse>,
    /// The grant, and the generation of the heartbeat in which it was read.
    ///
    /// It is valid while that generation lasts: when a change is announced, or the connection to the database is
    /// silent, the grant is read again. So a cached key costs no query, and a revoked key is refused everywhere
    /// within a second.
    cached: Mutex<Option<(u64, Arc<Grant>)>>,
    /// The last read: its start and its result.
    reading: tokio::sync::Mutex<Option<(Instant, Found)>>,
}

/// The result of reading a grant, with the database's time of the read.
type Found = Result<(Arc<Grant>, DateTime<Utc>), Arc<Miss>>;

/// The reason why a grant was not found.
#[derive(Debug, thiserror::Error)]
enum Miss {
    #[error("the key is unknown")]
    Unknown,
    #[error("the client's address has tried too many unknown keys")]
    Throttled(Throttled),
    #[error("the key could not be looked up")]
    Database(#[from] sqlx::Error),
}

impl KnownKey {
    fn new(generation: u64, grant: Arc<Grant>) -> Self {
        Self {
            last_use: Arc::new(LastUse::never(grant.key)),
            cached: Mutex::new(Some((generation, grant))),
            reading: tokio::sync::Mutex::default(),
        }
    }

    fn cached(&self, generation: u64) -> Option<Arc<Grant>> {
        let cached = self.cached.lock().unwrap_or_else(PoisonError::into_inner);
        let (read_in, grant) = cached.as_ref()?;
        (*read_in == generation).then(|| grant.clone())
    }

    fn cache(&self, generation: u64, grant: Arc<Grant>) {
        let mut cached = self.cached.lock().unwrap_or_else(PoisonError::into_inner);
        *cached = Some((generation, grant));
    }

    /// Checks that the grant is in force, and records the use of the key.
    fn accept(&self, grant: &Grant, now: DateTime<Utc>) -> Result<(), ApiError> {
        grant.check(now).map_err(invalid)?;
        self.last_use.note(now);
        Ok(())
    }
}

impl ApiKeys {
    /// Creates the policy with an empty cache.
    pub(crate) fn new(app: App) -> Self {
        let keys_cached_max = app.settings().gate.keys_cached_max;
        Self(Arc::new(Inner {
            known: Cache::new(keys_cached_max),
            lookups: LoadingCache::new(keys_cached_max),
            throttle: UnknownKeyThrottle::new(&app.settings().limits),
            app,
        }))
    }

    /// Returns the grant of a key if a valid one is cached; `None` if the database must be queried.
    fn cached(&self, digest: &KeyDigest) -> Option<Result<Arc<Grant>, ApiError>> {
        let known = self.0.known.get(digest)?;
        let (grant, now) = self.confirmed(&known)?;
        Some(known.accept(&grant, now).map(|()| grant))
    }

    /// Returns the cached grant of a key and the database's time, if the grant is still valid.
    fn confirmed(&self, known: &KnownKey) -> Option<(Arc<Grant>, DateTime<Utc>)> {
        let (generation, now) = self.0.app.heartbeat().confirmed()?;
        Some((known.cached(generation)?, now))
    }

    /// Reads the grant of a key sent by `client`.
    async fn find(self, digest: KeyDigest, client: IpAddr) -> Result<Arc<Grant>, ApiError> {
        let known = self.find_key(digest, client).await?;
        let (grant, now) = self.read(&known, &digest).await.map_err(refuse)?;
        known.accept(&grant, now).map(|()| grant)
    }

    /// Returns a known key or looks it up; concurrent requests with the same key share one look-up.
    async fn find_key(&self, digest: KeyDigest, client: IpAddr) -> Result<Arc<KnownKey>, ApiError> {
        if let Some(known) = self.0.known.get(&digest) {
            return Ok(known);
        }
        let lookup = self
            .0
            .lookups
            .try_get_with(digest, self.look_up(digest, client));
        let known = lookup.await.map_err(refuse)?;
        self.0.known.insert(digest, known.clone());
        self.0.lookups.invalidate(&digest).await;
        Ok(known)
    }

    /// Looks up a key that this replica does not know, unless `client` has tried too many unknown keys.
    async fn look_up(&self, digest: KeyDigest, client: IpAddr) -> Result<Arc<KnownKey>, Miss> {
        let (app, metrics) = (&self.0.app, self.0.app.metrics());
        if let Err(early) = self.0.throttle.admit(client, app.heartbeat().time()) {
            metrics.count_throttled_key();
            return Err(Miss::Throttled(early));
        }
        let generation = app.heartbeat().generation();
        let loaded = self.load(&digest).await;
        if matches!(loaded, Err(Miss::Unknown)) {
            metrics.count_unknown_key();
        }
        loaded.map(|(grant, _)| Arc::new(KnownKey::new(generation, grant)))
    }

    /// Reads and caches the grant of a known key.
    ///
    /// Many requests may need the grant at once, just when the database is slow or unavailable. A request that finds
    /// a read in progress waits for it. If that read began before the request arrived, the request waits for the next
    /// one, which serves all waiting requests. So a grant is never older than the request, and is read at most once
    /// at a time.
    async fn read(&self, known: &KnownKey, digest: &KeyDigest) -> Found {
        let arrived_at = Instant::now();
        let mut reading = known.reading.lock().await;
        if let Some(confirmed) = self.confirmed(known) {
            return Ok(confirmed);
        }
        if let Some((began_at, found)) = &*reading
            && *began_at >= arrived_at
        {
            return found.clone();
        }
        let began_at = Instant::now();
        let generation = self.0.app.heartbeat().generation();
        let found = self.load(digest).await.map_err(Arc::new);
        if let Ok((grant, _)) = &found {
            known.cache(generation, grant.clone());
        }
        *reading = Some((began_at, found.clone()));
        found
    }

    async fn load(&self, digest: &KeyDigest) -> Result<(Arc<Grant>, DateTime<Utc>), Miss> {
        self.0.app.metrics().count_key_read();
        let mut connection = self.0.app.acquire().await?;
        let found = store::find_grant_of_any_partner(&mut connection, digest).await?;
        let (grant, now) = found.ok_or(Miss::Unknown)?;
        Ok((Arc::new(grant), now))
    }

    /// Writes the last uses of keys until the replica stops.
    pub(crate) async fn keep_last_uses(self) {
        let interval = self.0.app.settings().gate.key_use;
        let known = || {
            self.0
                .known
                .iter()
                .map(|(_, it)| it.last_use.clone())
                .collect()
        };
        last_use::keep(self.0.app.clone(), interval, known).await;
    }
}

impl Policy for ApiKeys {
    fn admit(&self, request: &Request, context: &RequestContext) -> Verdict {
        context.note_route(request.extensions());
        if let Some(user) = user::fingerprint(request.headers()) {
            context.set_user(user);
        }
        let environment = self.0.app.settings().environment;
        let digest = sent_key(request.headers())
            .and_then(|text| read_key(text, environment).map_err(invalid));
        let digest = match digest {
            Ok(digest) => digest,
            Err(error) => return Verdict::Refuse(error),
        };
        if let Some(found) = self.cached(&digest) {
            return found.map(|grant| context.set_grant(grant)).into();
        }
        let (keys, context) = (self.clone(), context.clone());
        Verdict::Wait(Box::pin(async move {
            let grant = keys.find(digest, context.client()).await?;
            context.set_grant(grant);
            Ok(())
        }))
    }
}

#[track_caller]
fn refuse(miss: Arc<Miss>) -> ApiError {
    match &*miss {
        Miss::Unknown => invalid(KeyError::Unknown),
        Miss::Throttled(early) => ApiError::RateLimited(early.clone()),
        Miss::Database(error) if crate::database::is_transient(error) => {
            ApiError::unavailable(miss)
        }
        Miss::Database(_) => ApiError::internal(miss),
    }
}

fn invalid(fault: KeyError) -> ApiError {
    ApiError::InvalidApiKey {
        reason: fault.as_str(),
    }
}

/// Returns the key that was sent; the same key sent twice counts as one.
fn sent_key(headers: &HeaderMap) -> Result<&str, ApiError> {
    let mut sent = headers.get_all(HEADER).iter();
    let first = sent
        .next()
        .filter(|value| !value.is_empty())
        .ok_or(ApiError::MissingApiKey)?;
    if sent.any(|other| other != first) {
        return Err(invalid(KeyError::Unknown));
    }
    first.to_str().map_err(|_| invalid(KeyError::Unknown))
}
