//! Authentication: the `x-api-key` header becomes a [`Caller`](crate::request::Caller).

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
    error::ApiError,
    http::user,
    partners::{
        model::{Grant, KeyDigest, KeyFault, read_key},
        store,
    },
    request::RequestContext,
};

/// The header that carries the key.
const HEADER: &str = "x-api-key";

/// The policy: which API keys there are, as remembered by this replica.
#[derive(Debug, Clone)]
pub(crate) struct ApiKeys(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    app: App,
    /// Keys that were found once, whatever has changed since.
    known: Cache<KeyDigest, Arc<KnownKey>>,
    /// First look-ups, one at a time for each key.
    lookups: LoadingCache<KeyDigest, Arc<KnownKey>>,
    throttle: UnknownKeyThrottle,
}

/// A key that was found once.
#[derive(Debug)]
struct KnownKey {
    last_use: Arc<LastUse>,
    /// The grant, and the heartbeat's generation in which it was read.
    ///
    /// It holds as long as that generation does: as soon as a change is announced, or the database is not heard, the
    /// grant is read again. So a cached key costs no query, and a revoked one is refused everywhere within a second.
    cached: Mutex<Option<(u64, Arc<Grant>)>>,
    /// The last reading: when it began, and what it found.
    reading: tokio::sync::Mutex<Option<(Instant, Found)>>,
}

/// What a key granted when it was read, and the database's time then.
type Found = Result<(Arc<Grant>, DateTime<Utc>), Arc<Miss>>;

/// Why a grant was not found.
#[derive(Debug, thiserror::Error)]
enum Miss {
    #[error("nobody has this key")]
    Unknown,
    #[error("its address has tried too many keys")]
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

    /// Checks that the grant is in force, and notes that it is used.
    fn accept(&self, grant: &Grant, now: DateTime<Utc>) -> Result<(), ApiError> {
        grant.check(now).map_err(invalid)?;
        self.last_use.note(now);
        Ok(())
    }
}

impl ApiKeys {
    /// Begins without any key.
    pub(crate) fn new(app: App) -> Self {
        let settings = &app.settings().gate;
        Self(Arc::new(Inner {
            known: Cache::new(settings.keys_cached_max),
            lookups: LoadingCache::new(settings.keys_cached_max),
            throttle: UnknownKeyThrottle::new(settings),
            app,
        }))
    }

    /// Returns the grant of a key if it is cached and holds; `None` if the database must be asked.
    fn cached(&self, digest: &KeyDigest) -> Option<Result<Arc<Grant>, ApiError>> {
        let known = self.0.known.get(digest)?;
        let (grant, now) = self.confirmed(&known)?;
        Some(known.accept(&grant, now).map(|()| grant))
    }

    /// Returns the cached grant of a key and the database's time, if what is cached holds.
    fn confirmed(&self, known: &KnownKey) -> Option<(Arc<Grant>, DateTime<Utc>)> {
        let (generation, now) = self.0.app.heartbeat().confirmed()?;
        Some((known.cached(generation)?, now))
    }

    /// Reads the grant of a key that `client` has sent.
    async fn find(self, digest: KeyDigest, client: IpAddr) -> Result<Arc<Grant>, ApiError> {
        let known = self.know(digest, client).await?;
        let (grant, now) = self.read(&known, &digest).await.map_err(refuse)?;
        known.accept(&grant, now).map(|()| grant)
    }

    /// Returns a key that was found before, or looks for it; one look-up serves all who ask at once.
    async fn know(&self, digest: KeyDigest, client: IpAddr) -> Result<Arc<KnownKey>, ApiError> {
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

    /// Looks for a key that was never found before, unless its sender has tried too many that nobody has.
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

    /// Reads the grant of a known key, and caches it.
    ///
    /// Many may ask at once, and just then the database may be slow or away. A request that finds a reading under way
    /// waits for it; unless it can use the result, it waits for the next one, which begins after the request came and
    /// serves all that wait. So a grant is never older than the request, and never read more than once at a time.
    async fn read(&self, known: &KnownKey, digest: &KeyDigest) -> Found {
        let came = Instant::now();
        let mut reading = known.reading.lock().await;
        if let Some(confirmed) = self.confirmed(known) {
            return Ok(confirmed);
        }
        if let Some((began, found)) = &*reading
            && *began >= came
        {
            return found.clone();
        }
        let began = Instant::now();
        let generation = self.0.app.heartbeat().generation();
        let found = self.load(digest).await.map_err(Arc::new);
        if let Ok((grant, _)) = &found {
            known.cache(generation, grant.clone());
        }
        *reading = Some((began, found.clone()));
        found
    }

    async fn load(&self, digest: &KeyDigest) -> Result<(Arc<Grant>, DateTime<Utc>), Miss> {
        self.0.app.metrics().count_key_read();
        let mut connection = self.0.app.acquire().await?;
        let found = store::find_any_grant(&mut connection, digest).await?;
        let (grant, now) = found.ok_or(Miss::Unknown)?;
        Ok((Arc::new(grant), now))
    }

    /// Writes when keys were last used, until the replica stops.
    pub(crate) async fn keep_last_uses(self) {
        let every = self.0.app.settings().gate.key_use;
        let known = || {
            self.0
                .known
                .iter()
                .map(|(_, it)| it.last_use.clone())
                .collect()
        };
        last_use::keep(self.0.app.clone(), every, known).await;
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
        Miss::Unknown => invalid(KeyFault::Unknown),
        Miss::Throttled(early) => ApiError::RateLimited(early.clone()),
        Miss::Database(error) if crate::database::is_passing(error) => ApiError::unavailable(miss),
        Miss::Database(_) => ApiError::internal(miss),
    }
}

fn invalid(fault: KeyFault) -> ApiError {
    ApiError::InvalidApiKey {
        reason: fault.as_str(),
    }
}

/// Returns the one key that was sent; the same one twice is one.
fn sent_key(headers: &HeaderMap) -> Result<&str, ApiError> {
    let mut sent = headers.get_all(HEADER).iter();
    let first = sent
        .next()
        .filter(|value| !value.is_empty())
        .ok_or(ApiError::MissingApiKey)?;
    if sent.any(|other| other != first) {
        return Err(invalid(KeyFault::Unknown));
    }
    first.to_str().map_err(|_| invalid(KeyFault::Unknown))
}
