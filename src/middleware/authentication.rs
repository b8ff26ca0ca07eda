//! Authentication: finds the [`Grant`] of the API key in the `x-api-key` header and stores it in the request context.

use std::{net::IpAddr, sync::Arc};

use axum::{extract::Request, http::HeaderMap};
use chrono::{DateTime, Utc};
use moka::{future::Cache as LoadingCache, sync::Cache};
use tokio::{runtime::Handle, time::Instant};

use super::{
    admission::{Policy, Verdict},
    known_key::{self, Found, KnownKey, Miss},
    unknown_key::UnknownKeyThrottle,
};
use crate::{
    config::Settings,
    database::{self, Database, Heartbeat},
    errors::{ApiError, payloads::InvalidApiKey},
    http::headers,
    partners::{
        api_key::{Grant, KeyDigest, KeyError, read_key},
        store,
    },
    request::RequestContext,
    telemetry::metrics::Metrics,
    values::environment::Environment,
};

/// The header of the API key.
const HEADER: &str = "x-api-key";

/// The authentication policy, with this replica's cache of API keys.
#[derive(Debug, Clone)]
pub(crate) struct ApiKeys(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    database: Database,
    heartbeat: Heartbeat,
    metrics: Metrics,
    environment: Environment,
    /// Keys that were found at least once, even if they have changed since.
    known: Cache<KeyDigest, Arc<KnownKey>>,
    /// First look-ups of keys, one at a time for each key.
    lookups: LoadingCache<KeyDigest, Arc<KnownKey>>,
    throttle: UnknownKeyThrottle,
}

impl ApiKeys {
    /// Creates the policy with an empty cache.
    pub(crate) fn new(
        database: Database,
        heartbeat: Heartbeat,
        metrics: Metrics,
        settings: &Settings,
    ) -> Self {
        let keys_cached_max = settings.gate.keys_cached_max;
        Self(Arc::new(Inner {
            database,
            heartbeat,
            metrics,
            environment: settings.environment,
            known: Cache::new(keys_cached_max),
            lookups: LoadingCache::new(keys_cached_max),
            throttle: UnknownKeyThrottle::new(&settings.limits),
        }))
    }

    /// Returns the grant of a key if a valid one is cached; `None` if the database must be queried.
    fn cached(&self, digest: &KeyDigest) -> Option<Result<Arc<Grant>, ApiError>> {
        let known = self.0.known.get(digest)?;
        let (grant, now) = self.confirmed(&known)?;
        Some(accept(&known, grant, now))
    }

    /// Returns the cached grant of a key and the database's time, if the grant is still valid.
    fn confirmed(&self, known: &KnownKey) -> Option<(Arc<Grant>, DateTime<Utc>)> {
        let (generation, now) = self.0.heartbeat.confirmed()?;
        Some((known.cached(generation)?, now))
    }

    /// Reads the grant of a key sent by `client`.
    async fn find(self, digest: KeyDigest, client: IpAddr) -> Result<Arc<Grant>, ApiError> {
        let known = self.find_key(digest, client).await?;
        let (grant, now) = self.read(&known, &digest).await.map_err(refuse)?;
        accept(&known, grant, now)
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
    ///
    /// The look-up is a task of its own and ends also if its caller hangs up: hanging up early must neither count
    /// against the address of a valid key nor make trying keys free.
    async fn look_up(&self, digest: KeyDigest, client: IpAddr) -> Result<Arc<KnownKey>, Miss> {
        let inner = &self.0;
        let reserved = inner.throttle.reserve(client, || inner.heartbeat.time());
        let reservation = reserved.await.map_err(|early| {
            inner.metrics.count_throttled_key();
            Miss::Throttled(early)
        })?;
        let keys = self.clone();
        let looked_up = Handle::current().spawn(async move {
            let generation = keys.0.heartbeat.generation();
            let loaded = keys.load(&digest).await;
            if matches!(loaded, Err(Miss::Unknown)) {
                keys.0.metrics.count_unknown_key();
                reservation.count();
            }
            loaded.map(|(grant, _)| Arc::new(KnownKey::new(generation, grant)))
        });
        let crashed = |_| Err(Miss::Database(sqlx::Error::WorkerCrashed));
        looked_up.await.unwrap_or_else(crashed)
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
        let generation = self.0.heartbeat.generation();
        let found = self.load(digest).await.map_err(Arc::new);
        if let Ok((grant, _)) = &found {
            known.cache(generation, grant.clone());
        }
        *reading = Some((began_at, found.clone()));
        found
    }

    async fn load(&self, digest: &KeyDigest) -> Result<(Arc<Grant>, DateTime<Utc>), Miss> {
        self.0.metrics.count_key_read();
        let mut connection = self.0.database.acquire().await?;
        let found = store::find_grant_of_any_partner(&mut connection, digest).await?;
        let (grant, now) = found.ok_or(Miss::Unknown)?;
        Ok((Arc::new(grant), now))
    }

    /// Writes the last uses of keys that are not written yet.
    pub(crate) async fn write_last_uses(&self) -> Result<(), sqlx::Error> {
        let last_uses: Vec<_> = self.0.known.iter().map(|(_, it)| it.last_use()).collect();
        known_key::write_last_uses(&self.0.database, &last_uses).await
    }
}

impl Policy for ApiKeys {
    fn admit(&self, request: &Request, context: &RequestContext) -> Verdict {
        context.note_route(request.extensions());
        if let Some(user) = headers::user_fingerprint(request.headers()) {
            context.set_user(user);
        }
        let digest = sent_key(request.headers())
            .and_then(|text| read_key(text, self.0.environment).map_err(invalid));
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

/// Checks that a grant of a key is in force, and records the use of the key.
fn accept(key: &KnownKey, grant: Arc<Grant>, now: DateTime<Utc>) -> Result<Arc<Grant>, ApiError> {
    key.accept(&grant, now).map_err(invalid)?;
    Ok(grant)
}

#[track_caller]
fn refuse(miss: Arc<Miss>) -> ApiError {
    match &*miss {
        Miss::Unknown => invalid(KeyError::Unknown),
        Miss::Throttled(early) => ApiError::RateLimited(early.clone().into()),
        Miss::Database(error) if database::is_transient(error) => ApiError::unavailable(miss),
        Miss::Database(_) => ApiError::internal(miss),
    }
}

fn invalid(fault: KeyError) -> ApiError {
    let reason = fault.as_str();
    InvalidApiKey { reason }.into()
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
