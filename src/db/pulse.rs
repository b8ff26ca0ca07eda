//! The pulse: one connection that hears at once when something that opens the gate has changed.
//!
//! Replicas remember what an API key opens. Every change announces itself on the channel `lmn_gate`; each
//! announcement starts a new generation, and what was read in an older one is read again. Announcements can be lost
//! with their connection, so the connection is asked for the time several times a second: while it answered within
//! `gate.key_trust_milliseconds`, nothing was missed; otherwise nothing remembered is trusted.
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
use crate::settings::Gate;

/// The channel on which the triggers of the partners' tables announce a change.
const CHANNEL: &str = "lmn_gate";
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
    /// Told of deliveries.
    deliveries: Arc<Notify>,
    trust: Duration,
    every: Duration,
}

#[derive(Debug)]
struct State {
    generation: u64,
    /// When the database was last asked for its time, and its answer.
    clock: (Instant, DateTime<Utc>),
    /// Whether that answer came over the listening connection.
    listening: bool,
    /// How many of this binary's migrations the database lacks.
    pending: usize,
}

impl Pulse {
    /// Makes a pulse of a migrated database, which knows the time and listens to nothing yet.
    pub(crate) fn new(settings: &Gate, now: DateTime<Utc>) -> Self {
        let state = State {
            generation: 0,
            clock: (Instant::now(), now),
            listening: false,
            pending: 0,
        };
        Self {
            state: Arc::new(Mutex::new(state)),
            deliveries: Arc::default(),
            trust: settings.key_trust,
            every: settings.pulse,
        }
    }

    /// Returns the present generation. Take it before reading what you want to remember.
    pub(crate) fn generation(&self) -> u64 {
        self.with(|state| state.generation)
    }

    /// Returns the database's time if what was read in `generation` still holds.
    pub(crate) fn confirms(&self, generation: u64) -> Option<DateTime<Utc>> {
        let trust = self.trust;
        self.with(|state| {
            let (asked, time) = state.clock;
            let age = asked.elapsed();
            let holds = state.listening && state.generation == generation && age < trust;
            holds.then(|| time + age)
        })
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
        let mut listener = match timeout(self.trust, connect(pool)).await {
            Ok(Ok(listener)) => listener,
            Ok(Err(error)) => return error,
            Err(_) => return sqlx::Error::PoolTimedOut,
        };
        // Whatever was announced before this connection listened is unknown.
        self.with(|state| state.generation += 1);
        loop {
            tokio::select! {
                announced = listener.try_recv() => match announced {
                    Ok(Some(announced)) => self.take(&announced),
                    Ok(None) => return sqlx::Error::PoolClosed,
                    Err(error) => return error,
                },
                _ = ticks.tick() => {
                    let asked = Instant::now();
                    match timeout(self.trust, ask(&mut listener)).await {
                        Ok(Ok(time)) => self.record(asked, time, &mut listener),
                        Ok(Err(error)) => return error,
                        Err(_) => return sqlx::Error::PoolTimedOut,
                    }
                    match timeout(self.trust, pending(&mut listener)).await {
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
            _ => self.with(|state| state.generation += 1),
        }
    }

    /// Takes the answer; announcements that arrived on the way to it count first.
    fn record(&self, asked: Instant, time: DateTime<Utc>, listener: &mut PgListener) {
        while let Some(announced) = listener.next_buffered() {
            self.take(&announced);
        }
        self.with(|state| {
            state.clock = (asked, time);
            state.listening = true;
        });
    }

    fn with<T>(&self, read: impl FnOnce(&mut State) -> T) -> T {
        read(&mut self.state.lock().unwrap_or_else(PoisonError::into_inner))
    }
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
    listener.listen_all([CHANNEL, DELIVERIES]).await?;
    Ok(listener)
}

/// Asks the database for its time. Announcements that were sent before arrive before the answer.
async fn ask(listener: &mut PgListener) -> Result<DateTime<Utc>, sqlx::Error> {
    sqlx::query_scalar!(r#"select clock_timestamp() as "now!""#)
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
            clock: (Instant::now(), DateTime::UNIX_EPOCH),
            listening: true,
            pending: 0,
        };
        Pulse {
            state: Arc::new(Mutex::new(state)),
            deliveries: Arc::default(),
            trust: Duration::from_millis(900),
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
    }
}
