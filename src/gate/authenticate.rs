//! Authentication: the `x-api-key` header becomes a [`Caller`].

use std::{net::IpAddr, sync::Arc};

use axum::{
    extract::{Extension, Request, State},
    http::HeaderMap,
    middleware::Next,
    response::Response,
};
use chrono::{DateTime, Utc};
use moka::future::Cache;
use tokio::{sync::Mutex, time::Instant};

use super::{
    caller::Caller,
    guesses::Guesses,
    rate_limit::model::Throttled,
    uses::{self, Use},
};
use crate::{
    app::App,
    error::ApiError,
    http::{client_ip::ClientAddress, observe::Findings, user},
    id::RequestId,
    partners::{
        model::{Grant, KeyDigest, KeyFault, read_key},
        store,
    },
};

/// The header that carries the key.
const HEADER: &str = "x-api-key";

/// What keys open, remembered by this replica.
///
/// A grant is remembered under the pulse's generation: as soon as a change is announced, or the pulse cannot be
/// felt, it is read again. So a hit costs no query, and a revoked key is refused everywhere within a second.
#[derive(Debug, Clone)]
pub(crate) struct Keys {
    app: App,
    grants: Cache<(KeyDigest, u64), Remembered>,
    /// Keys that were found once, whatever has changed since: asking for them again is no guess.
    known: Cache<KeyDigest, Arc<Known>>,
    guesses: Guesses,
}

/// What a key opens, and when it was used.
type Remembered = (Arc<Grant>, Arc<Use>);

/// What a key opened when it was read, and the database's time then.
type Found = Result<(Arc<Grant>, DateTime<Utc>), Arc<Miss>>;

/// A key that was found once.
#[derive(Debug)]
struct Known {
    used: Arc<Use>,
    /// The last reading that nothing remembered could replace: when it began, and what it found.
    reading: Mutex<Option<(Instant, Found)>>,
}

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

impl Keys {
    /// Makes an empty memory.
    pub(crate) fn new(app: App) -> Self {
        let settings = &app.settings().gate;
        Self {
            grants: Cache::new(settings.keys_cached_max),
            known: Cache::new(settings.keys_cached_max),
            guesses: Guesses::new(settings),
            app,
        }
    }

    /// Returns what a key opens that `client` has sent, if it is in force.
    async fn find(&self, digest: KeyDigest, client: IpAddr) -> Result<Arc<Grant>, ApiError> {
        let generation = self.app.heartbeat().generation();
        let confirmed = self.app.heartbeat().confirms(generation);
        let remembered = match confirmed {
            Some(now) => self.grants.get(&(digest, generation)).await.zip(Some(now)),
            None => None,
        };
        let ((grant, used), now) = match (remembered, confirmed) {
            (Some(remembered), _) => remembered,
            (None, Some(now)) => {
                let used = self.meet(digest, client).await?.used.clone();
                let load = async { Ok((self.load(&digest).await?.0, used)) };
                let grant = self.grants.try_get_with((digest, generation), load).await;
                (grant.map_err(refuse)?, now)
            }
            (None, None) => {
                let known = self.meet(digest, client).await?;
                let (grant, now) = self.read(&known, &digest).await.map_err(refuse)?;
                ((grant, known.used.clone()), now)
            }
        };
        grant.check(now).map_err(invalid)?;
        used.note(now);
        Ok(grant)
    }

    /// Looks for a key that was never found before, as a guess of `client`; one look for all who ask at once.
    async fn meet(&self, digest: KeyDigest, client: IpAddr) -> Result<Arc<Known>, ApiError> {
        let (app, metrics) = (&self.app, self.app.metrics());
        let guess = async {
            if let Err(early) = self.guesses.admit(client, app.heartbeat().time()) {
                metrics.count_throttled_key();
                return Err(Miss::Throttled(early));
            }
            let loaded = self.load(&digest).await;
            if matches!(loaded, Err(Miss::Unknown)) {
                metrics.count_unknown_key();
            }
            loaded.map(|(grant, _)| {
                Arc::new(Known {
                    used: Arc::new(Use::never(grant.key)),
                    reading: Mutex::default(),
                })
            })
        };
        self.known.try_get_with(digest, guess).await.map_err(refuse)
    }

    /// Reads a key when nothing that is remembered can be trusted.
    ///
    /// Many may ask at once, and just then the database is slow or away: whoever finds a reading under way waits for the
    /// next one, which begins after he came and serves all who wait. So a key is never older than the request, and never
    /// read more than once at a time.
    async fn read(&self, known: &Known, digest: &KeyDigest) -> Found {
        let came = Instant::now();
        let mut reading = known.reading.lock().await;
        if let Some((began, found)) = &*reading
            && *began >= came
        {
            return found.clone();
        }
        let began = Instant::now();
        let found = self.load(digest).await.map_err(Arc::new);
        *reading = Some((began, found.clone()));
        found
    }

    async fn load(&self, digest: &KeyDigest) -> Result<(Arc<Grant>, DateTime<Utc>), Miss> {
        self.app.metrics().count_key_read();
        let mut connection = self.app.acquire().await?;
        let found = store::find_any_grant(&mut connection, digest).await?;
        let (grant, now) = found.ok_or(Miss::Unknown)?;
        Ok((Arc::new(grant), now))
    }

    /// Writes when keys were last used, until the replica stops.
    pub(crate) async fn keep_uses(self) {
        let every = self.app.settings().gate.key_use;
        let known = || self.known.iter().map(|(_, it)| it.used.clone()).collect();
        uses::keep(self.app.clone(), every, known).await;
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

/// Admits a request with a valid key, and hands its [`Caller`] inward.
pub(crate) async fn authenticate(
    State(keys): State<Keys>,
    Extension(request_id): Extension<RequestId>,
    Extension(ClientAddress(client)): Extension<ClientAddress>,
    Extension(findings): Extension<Findings>,
    mut request: Request,
    next: Next,
) -> Result<Response, ApiError> {
    let text = one_key(request.headers())?;
    let digest = read_key(text, keys.app.settings().environment).map_err(invalid)?;
    let grant = keys.find(digest, client).await?;
    let span = tracing::Span::current();
    span.record("partner", tracing::field::display(grant.partner));
    findings.partner(grant.partner);
    span.record("key", grant.prefix.as_str());
    if let Some(user) = user::fingerprint(request.headers()) {
        span.record("user", user);
    }
    request
        .extensions_mut()
        .insert(Caller { grant, request_id });
    Ok(next.run(request).await)
}

/// Returns the one key that was sent; the same one twice is one.
fn one_key(headers: &HeaderMap) -> Result<&str, ApiError> {
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
