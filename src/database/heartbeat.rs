//! [`Heartbeat`]: one connection that listens for changes of what a replica caches, and knows the database's time.
//!
//! Replicas cache what an API key opens. Triggers announce every change on the channel `lmn_gate`; each announcement
//! starts a new generation, and an entry of an older one is read again. Announcements can be lost with their
//! connection, so the connection asks for the time several times a second: while the last answer is younger than
//! `gate.key_trust_milliseconds`, nothing was missed; otherwise no entry is trusted.
//!
//! Changes of the catalogue and events to be delivered are announced on the same connection, as hints.
//!
//! `/readyz` reports the state of the database from here, so that probes cost no query.

use std::{
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use chrono::{DateTime, SubsecRound, TimeDelta, Utc};
use sqlx::postgres::{PgListener, PgNotification, PgPoolOptions};
use tokio::{
    sync::Notify,
    time::{Instant, MissedTickBehavior, interval, timeout},
};
use tokio_util::sync::CancellationToken;

use super::{Database, migrations::pending};
use crate::settings::Settings;

/// The channel on which the triggers of the partners' tables announce a change.
const GATE: &str = "lmn_gate";
/// The channel on which a raised version of the catalogue is announced.
const CATALOGUE: &str = "lmn_catalogue";
/// The channel on which events to be delivered are announced.
const DELIVERIES: &str = "lmn_webhooks";

/// The state of the database as of its last answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct DatabaseHealth {
    /// Time since the question that the database last answered.
    pub(crate) silence: Duration,
    /// The number of this binary's migrations that it lacked then.
    pub(crate) pending: usize,
}

/// The heartbeat of the database. Cheap to clone.
#[derive(Debug, Clone)]
pub(crate) struct Heartbeat {
    state: Arc<Mutex<State>>,
    key_trust: Duration,
    /// Notified when the catalogue has changed.
    catalogue: Arc<Notify>,
    /// Notified when something is to be delivered.
    deliveries: Arc<Notify>,
    every: Duration,
}

#[derive(Debug)]
struct State {
    generation: u64,
    clock: Clock,
    /// Whether the last answer came over the listening connection.
    listening: bool,
    /// The number of this binary's migrations that the database lacks.
    pending: usize,
}

/// The last answer of the database to the question for its time.
#[derive(Debug, Clone, Copy)]
struct Clock {
    asked_at: Instant,
    answered_at: Instant,
    time: DateTime<Utc>,
    /// The time by which orders are decided. It is real time, unless somebody has set `lmn_now` otherwise.
    order_time: DateTime<Utc>,
}

/// The farthest that two readings of the real time in one statement lie apart.
const SAME_TIME: TimeDelta = TimeDelta::milliseconds(100);

impl Heartbeat {
    /// Makes the heartbeat of a migrated database from its time, which listens to nothing yet.
    pub(crate) fn new(settings: &Settings, now: DateTime<Utc>) -> Self {
        let state = State {
            generation: 0,
            clock: Clock::now(now),
            listening: false,
            pending: 0,
        };
        Self {
            state: Arc::new(Mutex::new(state)),
            key_trust: settings.gate.key_trust,
            catalogue: Arc::default(),
            every: settings.database.heartbeat,
            deliveries: Arc::default(),
        }
    }

    /// Returns the present generation. Take it before reading what is to be cached.
    pub(crate) fn generation(&self) -> u64 {
        self.with(|state| state.generation)
    }

    /// Returns the generation whose entries are still valid, and the database's time.
    pub(crate) fn confirmed(&self) -> Option<(u64, DateTime<Utc>)> {
        let trust = self.key_trust;
        self.with(|state| {
            let age = state.clock.asked_at.elapsed();
            let holds = state.listening && age < trust;
            holds.then(|| (state.generation, state.clock.time + age))
        })
    }

    /// Returns the database's time: its last answer, carried forward from when it was asked.
    ///
    /// It is ahead of the database's clock by the time that the answer took, at most.
    pub(crate) fn time(&self) -> DateTime<Utc> {
        self.with(|state| state.clock.time + state.clock.asked_at.elapsed())
    }

    /// Returns a time by which orders are decided and that the database's clock has reached, in whole milliseconds.
    ///
    /// It is the last answer, carried forward from when it arrived. A time that is not the real one may stand still, and
    /// is left as it was.
    pub(crate) fn order_time(&self) -> DateTime<Utc> {
        self.with(|state| {
            let clock = &state.clock;
            let is_real = (clock.time - clock.order_time).abs() < SAME_TIME;
            let age = clock.answered_at.elapsed();
            clock.order_time + age * u32::from(is_real)
        })
        .trunc_subsecs(3)
    }

    /// Waits until a change of the catalogue is announced. It is a hint: announcements can be lost.
    pub(crate) async fn catalogue_announced(&self) {
        self.catalogue.notified().await;
    }

    /// Waits until a delivery is announced. It is a hint: announcements can be lost.
    pub(crate) async fn announced(&self) {
        self.deliveries.notified().await;
    }

    /// Returns the state of the database as of its last answer.
    pub(crate) fn health(&self) -> DatabaseHealth {
        self.with(|state| DatabaseHealth {
            silence: state.clock.asked_at.elapsed(),
            pending: state.pending,
        })
    }

    /// Listens until `stop`, and connects again whenever the connection is lost.
    pub(crate) async fn listen(self, database: Database, stop: CancellationToken) {
        let mut ticks = interval(self.every);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        while !stop.is_cancelled() {
            tokio::select! {
                () = stop.cancelled() => {}
                lost = self.hear(&database, &mut ticks) => {
                    self.with(|state| state.listening = false);
                    tracing::warn!(error = %lost, "the gate's listening connection was lost; keys are read on every request until it is back");
                    ticks.tick().await;
                }
            }
        }
    }

    /// Takes announcements and answers on one connection, until it is lost.
    async fn hear(&self, database: &Database, ticks: &mut tokio::time::Interval) -> sqlx::Error {
        let connecting = connect(database, self.key_trust);
        let mut listener = match timeout(self.key_trust, connecting).await {
            Ok(Ok(listener)) => listener,
            Ok(Err(error)) => return error,
            Err(_) => return sqlx::Error::PoolTimedOut,
        };
        // Announcements from before this connection listened are unknown.
        self.with(|state| state.generation += 1);
        loop {
            tokio::select! {
                announced = listener.try_recv() => match announced {
                    Ok(Some(announced)) => self.take(&announced),
                    Ok(None) => return sqlx::Error::PoolClosed,
                    Err(error) => return error,
                },
                _ = ticks.tick() => {
                    let asked_at = Instant::now();
                    match timeout(self.key_trust, ask(&mut listener)).await {
                        Ok(Ok(beat)) => self.record(asked_at, &beat, &mut listener),
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
            CATALOGUE => self.catalogue.notify_one(),
            _ => self.with(|state| state.generation += 1),
        }
    }

    /// Takes the answer; announcements that arrived on the way to it count first.
    fn record(&self, asked_at: Instant, beat: &Beat, listener: &mut PgListener) {
        let clock = Clock {
            asked_at,
            answered_at: Instant::now(),
            time: beat.time,
            order_time: beat.order_time,
        };
        while let Some(announced) = listener.next_buffered() {
            self.take(&announced);
        }
        self.with(|state| {
            state.clock = clock;
            state.listening = true;
        });
    }

    fn with<T>(&self, read: impl FnOnce(&mut State) -> T) -> T {
        read(&mut self.state.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

impl Clock {
    /// Takes a time that the database has just told.
    fn now(time: DateTime<Utc>) -> Self {
        Self {
            asked_at: Instant::now(),
            answered_at: Instant::now(),
            time,
            order_time: time,
        }
    }
}

/// The answer of the database, several times a second.
#[derive(Debug)]
struct Beat {
    time: DateTime<Utc>,
    order_time: DateTime<Utc>,
}

/// The name of the connection, for the database's own statistics.
const NAME: &str = "lmn heartbeat";

/// Opens a connection outside the pool, on the host that takes writes: requests cannot starve it.
async fn connect(database: &Database, within: Duration) -> Result<PgListener, sqlx::Error> {
    let host = database.writable_host(within).await?;
    let apart = PgPoolOptions::new()
        .max_connections(1)
        .connect_lazy_with(host.application_name(NAME));
    let mut listener = PgListener::connect_with(&apart).await?;
    listener.eager_reconnect(false);
    listener.listen_all([GATE, CATALOGUE, DELIVERIES]).await?;
    Ok(listener)
}

/// Asks the database for its beat. Announcements that were sent before arrive before the answer.
async fn ask(listener: &mut PgListener) -> Result<Beat, sqlx::Error> {
    sqlx::query_as!(
        Beat,
        r#"select clock_timestamp() as "time!", lmn_now(0) as "order_time!""#
    )
    .fetch_one(listener)
    .await
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::time::advance;

    fn heartbeat() -> Heartbeat {
        let state = State {
            generation: 7,
            clock: Clock::now(DateTime::UNIX_EPOCH),
            listening: true,
            pending: 0,
        };
        Heartbeat {
            state: Arc::new(Mutex::new(state)),
            key_trust: Duration::from_millis(900),
            catalogue: Arc::default(),
            deliveries: Arc::default(),
            every: Duration::from_millis(250),
        }
    }

    #[tokio::test(start_paused = true)]
    async fn entry_is_valid_while_the_heartbeat_is_heard() {
        let heartbeat = heartbeat();
        advance(Duration::from_millis(899)).await;
        let now = DateTime::UNIX_EPOCH + Duration::from_millis(899);
        assert_eq!(heartbeat.confirmed(), Some((7, now)));
        advance(Duration::from_millis(1)).await;
        assert_eq!(
            heartbeat.confirmed(),
            None,
            "the database was not heard for too long"
        );
        assert_eq!(
            heartbeat.time(),
            DateTime::UNIX_EPOCH + Duration::from_millis(900)
        );
    }

    #[tokio::test(start_paused = true)]
    async fn no_entry_is_valid_while_nobody_listens() {
        let heartbeat = heartbeat();
        heartbeat.with(|state| state.listening = false);
        assert_eq!(heartbeat.confirmed(), None);
    }

    #[tokio::test(start_paused = true)]
    async fn order_time_is_carried_forward_from_the_arrival_of_the_answer() {
        let heartbeat = heartbeat();
        let asked_at = Instant::now();
        advance(Duration::from_millis(30)).await;
        let clock = Clock {
            asked_at,
            ..Clock::now(DateTime::UNIX_EPOCH)
        };
        heartbeat.with(|state| state.clock = clock);
        let after = |millis| DateTime::UNIX_EPOCH + Duration::from_millis(millis);
        assert_eq!(heartbeat.time(), after(30));
        assert_eq!(heartbeat.order_time(), after(0));
        advance(Duration::from_micros(7_900)).await;
        assert_eq!(heartbeat.order_time(), after(7), "whole milliseconds");
        heartbeat.with(|state| state.clock.order_time = after(500));
        assert_eq!(heartbeat.order_time(), after(500), "it may stand still");
    }
}
