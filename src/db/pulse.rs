//! The pulse: one connection that hears at once when something has changed that a replica remembers.
//!
//! Replicas remember what an API key opens. Every change announces itself on the channel `lmn_gate`; each
//! announcement starts a new generation, and what was read in an older one is read again. Announcements can be lost
//! with their connection, so the connection is asked for the time several times a second: while it answered within
//! `gate.key_trust_milliseconds`, nothing was missed; otherwise nothing remembered is trusted.
//!
//! The same goes for the catalogue, whose changes are announced on `lmn_catalogue` and counted by a version. Whoever
//! reads it tells the version it saw: a newer one starts a new generation too, so that nobody is given an answer that
//! is older than one already given.
//!
//! What it hears is also what `/readyz` knows of the database, so that a storm of probes asks it nothing.

use std::{
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use chrono::{DateTime, Utc};
use sqlx::{
    PgPool,
    postgres::{PgListener, PgNotification},
};
use tokio::{
    sync::Notify,
    time::{Instant, MissedTickBehavior, interval, timeout},
};
use tokio_util::sync::CancellationToken;

use super::schema::pending;
use crate::settings::Settings;

/// The channel on which the triggers of the partners' tables announce a change.
const GATE: &str = "lmn_gate";
/// The channel on which a raised version of the catalogue is announced.
const CATALOGUE: &str = "lmn_catalogue";
/// The channel on which it is announced that something is to be delivered.
const DELIVERIES: &str = "lmn_webhooks";

/// What a probe may know without asking the database.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Vitals {
    /// How long ago the database was asked for what it last answered.
    pub(crate) silence: Duration,
    /// How many of this binary's migrations it lacked then.
    pub(crate) pending: usize,
}

/// What the connection last said.
#[derive(Debug, Clone)]
pub(crate) struct Pulse {
    state: Arc<Mutex<State>>,
    key_trust: Duration,
    catalogue_trust: Duration,
    /// Told of deliveries.
    deliveries: Arc<Notify>,
    every: Duration,
}

#[derive(Debug)]
struct State {
    generation: u64,
    /// The generation of what is remembered of the catalogue, and the latest version that was seen of it.
    catalogue: (u64, i64),
    /// When the database was last asked for its time, and its answer.
    clock: (Instant, DateTime<Utc>),
    /// Whether that answer came over the listening connection.
    listening: bool,
    /// How many of this binary's migrations the database lacks.
    pending: usize,
}

impl Pulse {
    /// Makes a pulse of a migrated database, which knows the time and listens to nothing yet.
    pub(crate) fn new(settings: &Settings, now: DateTime<Utc>) -> Self {
        let state = State {
            generation: 0,
            catalogue: (0, 0),
            clock: (Instant::now(), now),
            listening: false,
            pending: 0,
        };
        Self {
            state: Arc::new(Mutex::new(state)),
            key_trust: settings.gate.key_trust,
            catalogue_trust: settings.catalogue.trust,
            every: settings.gate.pulse,
            deliveries: Arc::default(),
        }
    }

    /// Returns the present generation. Take it before reading what you want to remember.
    pub(crate) fn generation(&self) -> u64 {
        self.with(|state| state.generation)
    }

    /// Returns the database's time if what was read in `generation` still holds.
    pub(crate) fn confirms(&self, generation: u64) -> Option<DateTime<Utc>> {
        let trust = self.key_trust;
        self.with(|state| {
            let (asked, time) = state.clock;
            let age = asked.elapsed();
            let holds = state.listening && state.generation == generation && age < trust;
            holds.then(|| time + age)
        })
    }

    /// Returns the catalogue's present generation. Take it before reading what you want to remember.
    pub(crate) fn catalogue(&self) -> u64 {
        self.with(|state| state.catalogue.0)
    }

    /// Says whether what was read of the catalogue in `generation` still holds.
    pub(crate) fn confirms_catalogue(&self, generation: u64) -> bool {
        let trust = self.catalogue_trust;
        self.with(|state| {
            state.listening && state.catalogue.0 == generation && state.clock.0.elapsed() < trust
        })
    }

    /// Takes note of the catalogue's version in which something was read. Do it before anybody is told of it.
    pub(crate) fn saw_catalogue(&self, version: i64) {
        self.with(|state| {
            let (generation, seen) = &mut state.catalogue;
            *generation += u64::from(version > *seen);
            *seen = version.max(*seen);
        });
    }

    /// Takes note of a change of the catalogue that this replica has committed itself.
    pub(crate) fn changed_catalogue(&self) {
        self.with(|state| state.catalogue.0 += 1);
    }

    /// Returns the database's time, carried forward from when it was last heard.
    pub(crate) fn time(&self) -> DateTime<Utc> {
        self.with(|state| state.clock.1 + state.clock.0.elapsed())
    }

    /// Waits until something is announced that is to be delivered. It is a hint: announcements can be lost.
    pub(crate) async fn announced(&self) {
        self.deliveries.notified().await;
    }

    /// Returns how the database is, as far as it was heard.
    pub(crate) fn vitals(&self) -> Vitals {
        self.with(|state| Vitals {
            silence: state.clock.0.elapsed(),
            pending: state.pending,
        })
    }

    /// Listens until `stop`, and connects again whenever the connection is lost.
    pub(crate) async fn listen(self, pool: PgPool, stop: CancellationToken) {
        let mut ticks = interval(self.every);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        while !stop.is_cancelled() {
            tokio::select! {
                () = stop.cancelled() => {}
                lost = self.hear(&pool, &mut ticks) => {
                    self.with(|state| state.listening = false);
                    tracing::warn!(error = %lost, "the gate's listening connection was lost; keys are read on every request until it is back");
                    ticks.tick().await;
                }
            }
        }
    }

    /// Hears announcements and answers on one connection, until it is lost.
    async fn hear(&self, pool: &PgPool, ticks: &mut tokio::time::Interval) -> sqlx::Error {
        let mut listener = match timeout(self.key_trust, connect(pool)).await {
            Ok(Ok(listener)) => listener,
            Ok(Err(error)) => return error,
            Err(_) => return sqlx::Error::PoolTimedOut,
        };
        // Whatever was announced before this connection listened is unknown.
        self.with(|state| {
            state.generation += 1;
            // A database that comes back after a crash may be at an earlier version.
            state.catalogue = (state.catalogue.0 + 1, 0);
        });
        loop {
            tokio::select! {
                announced = listener.try_recv() => match announced {
                    Ok(Some(announced)) => self.take(&announced),
                    Ok(None) => return sqlx::Error::PoolClosed,
                    Err(error) => return error,
                },
                _ = ticks.tick() => {
                    let asked = Instant::now();
                    match timeout(self.key_trust, ask(&mut listener)).await {
                        Ok(Ok(beat)) => self.record(asked, &beat, &mut listener),
                        Ok(Err(error)) => return error,
                        Err(_) => return sqlx::Error::PoolTimedOut,
                    }
                    match timeout(self.key_trust, pending(&mut listener)).await {
                        Ok(Ok(pending)) => self.with(|state| state.pending = pending),
                        Ok(Err(error)) => return error,
                        Err(_) => return sqlx::Error::PoolTimedOut,
                    }
                }
            }
        }
    }

    /// Takes an announcement.
    fn take(&self, announced: &PgNotification) {
        match announced.channel() {
            DELIVERIES => self.deliveries.notify_one(),
            CATALOGUE => self.with(|state| state.catalogue.0 += 1),
            _ => self.with(|state| state.generation += 1),
        }
    }

    /// Takes the answer; announcements that arrived on the way to it count first.
    fn record(&self, asked: Instant, beat: &Beat, listener: &mut PgListener) {
        while let Some(announced) = listener.next_buffered() {
            self.take(&announced);
        }
        self.with(|state| {
            state.clock = (asked, beat.time);
            state.listening = true;
        });
        self.saw_catalogue(beat.catalogue);
    }

    fn with<T>(&self, read: impl FnOnce(&mut State) -> T) -> T {
        read(&mut self.state.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

/// What the database answers several times a second.
#[derive(Debug)]
struct Beat {
    time: DateTime<Utc>,
    /// The catalogue's version.
    catalogue: i64,
}

/// What the database knows the pulse's connection by.
const NAME: &str = "lmn pulse";

/// A connection outside the pool, which cannot be starved by requests and is never handed to one.
async fn connect(pool: &PgPool) -> Result<PgListener, sqlx::Error> {
    let apart = sqlx::postgres::PgPoolOptions::new()
        .max_connections(1)
        .connect_lazy_with((*pool.connect_options()).clone().application_name(NAME));
    let mut listener = PgListener::connect_with(&apart).await?;
    listener.eager_reconnect(false);
    listener.listen_all([GATE, CATALOGUE, DELIVERIES]).await?;
    Ok(listener)
}

/// Asks the database for its beat. Announcements that were sent before arrive before the answer.
async fn ask(listener: &mut PgListener) -> Result<Beat, sqlx::Error> {
    sqlx::query_as!(
        Beat,
        r#"select clock_timestamp() as "time!", version as catalogue from catalogue"#
    )
    .fetch_one(listener)
    .await
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::time::advance;

    fn pulse() -> Pulse {
        let state = State {
            generation: 7,
            catalogue: (3, 40),
            clock: (Instant::now(), DateTime::UNIX_EPOCH),
            listening: true,
            pending: 0,
        };
        Pulse {
            state: Arc::new(Mutex::new(state)),
            key_trust: Duration::from_millis(900),
            catalogue_trust: Duration::from_millis(900),
            deliveries: Arc::default(),
            every: Duration::from_millis(250),
        }
    }

    #[tokio::test(start_paused = true)]
    async fn what_was_read_holds_while_the_pulse_is_felt() {
        let pulse = pulse();
        advance(Duration::from_millis(899)).await;
        let now = DateTime::UNIX_EPOCH + Duration::from_millis(899);
        assert_eq!(pulse.confirms(7), Some(now));
        assert_eq!(pulse.confirms(6), None, "something has changed since");
        advance(Duration::from_millis(1)).await;
        assert_eq!(
            pulse.confirms(7),
            None,
            "the database was not heard for too long"
        );
        assert_eq!(
            pulse.time(),
            DateTime::UNIX_EPOCH + Duration::from_millis(900)
        );
    }

    #[tokio::test(start_paused = true)]
    async fn nothing_holds_while_nobody_listens() {
        let pulse = pulse();
        pulse.with(|state| state.listening = false);
        assert_eq!(pulse.confirms(7), None);
        assert!(!pulse.confirms_catalogue(3));
    }

    #[tokio::test(start_paused = true)]
    async fn what_was_read_of_the_catalogue_holds_until_a_newer_version_was_seen() {
        let pulse = pulse();
        pulse.saw_catalogue(39);
        pulse.saw_catalogue(40);
        assert!(pulse.confirms_catalogue(3), "nothing newer was seen");
        advance(Duration::from_millis(900)).await;
        assert!(
            !pulse.confirms_catalogue(3),
            "it was not heard for too long"
        );
        pulse.with(|state| state.clock.0 = Instant::now());
        pulse.saw_catalogue(41);
        assert_eq!(pulse.catalogue(), 4);
        assert!(pulse.confirms_catalogue(4) && !pulse.confirms_catalogue(3));
        pulse.changed_catalogue();
        assert!(!pulse.confirms_catalogue(4), "this replica has changed it");
    }
}
