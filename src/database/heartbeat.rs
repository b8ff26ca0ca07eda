//! [`Heartbeat`]: a connection that listens for notifications and reads the database's time.
//!
//! Replicas cache API keys and their partners. Triggers notify every change on the channel `lmn_gate`. Each
//! notification starts a new generation, and cached entries of older generations are read again. Notifications can be
//! lost with their connection, so the connection asks for the time several times a second: while the last response is
//! younger than `gate.key_trust_milliseconds`, no notification was missed; otherwise no cached entry is trusted.
//!
//! The same connection receives notifications of catalogue changes and of events to deliver, which are only hints.
//!
//! `/readyz` reports the database's state from here, so that probes cost no query. The state is that of writes: a server
//! that has become a standby does not count as heard, and while no write can begin, one is tried at every heartbeat.

use std::{
    io,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use chrono::{DateTime, SubsecRound, TimeDelta, Utc};
use sqlx::postgres::{PgListener, PgNotification, PgPoolOptions};
use tokio::{
    sync::Notify,
    time::{Instant, MissedTickBehavior, interval, sleep, timeout},
};
use tokio_util::sync::CancellationToken;

use super::{Database, migrations::pending, pool::WriteHealth};
use crate::config::Settings;

/// The channel on which triggers notify changes of partners and their keys.
const GATE: &str = "lmn_gate";
/// The channel on which new versions of the catalogue are notified.
const CATALOGUE: &str = "lmn_catalogue";
/// The channel on which events to deliver are notified.
const DELIVERIES: &str = "lmn_webhooks";

/// The state of the database as of its last response.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct DatabaseHealth {
    /// Time since the last query that the database responded to was sent, or since no write could begin.
    pub(crate) silence: Duration,
    /// The number of this binary's migrations that were not applied at that time.
    pub(crate) pending: usize,
}

/// The heartbeat of the database. It is cheap to clone.
#[derive(Debug, Clone)]
pub struct Heartbeat(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    state: Mutex<State>,
    key_trust: Duration,
    /// Notified when the catalogue has changed.
    catalogue: Notify,
    /// Notified when something is to be delivered.
    deliveries: Notify,
    every: Duration,
    writes: WriteHealth,
}

#[derive(Debug)]
struct State {
    generation: u64,
    clock: Clock,
    /// Whether the last response came over the current listening connection.
    listening: bool,
    /// The number of this binary's migrations that are not applied.
    pending: usize,
}

/// The last response of the database to the query for its time.
#[derive(Debug, Clone, Copy)]
struct Clock {
    asked_at: Instant,
    answered_at: Instant,
    time: DateTime<Utc>,
    /// The time that decides orders. It is real time, unless `lmn_now` was redefined.
    order_time: DateTime<Utc>,
}

/// The largest difference between two readings of real time in one statement.
const SAME_TIME: TimeDelta = TimeDelta::milliseconds(100);

impl Heartbeat {
    /// Returns the heartbeat of a migrated database whose time is `now`. It does not listen yet.
    pub(crate) fn new(settings: &Settings, database: &Database, now: DateTime<Utc>) -> Self {
        let state = State {
            generation: 0,
            clock: Clock::now(now),
            listening: false,
            pending: 0,
        };
        Self(Arc::new(Inner {
            state: Mutex::new(state),
            key_trust: settings.gate.key_trust,
            catalogue: Notify::new(),
            deliveries: Notify::new(),
            every: settings.database.heartbeat,
            writes: database.write_health().clone(),
        }))
    }

    /// Returns the current generation. Read it before reading a row that is to be cached.
    pub(crate) fn generation(&self) -> u64 {
        self.with(|state| state.generation)
    }

    /// Returns the generation whose cached entries are valid and the database's time, or `None` if no entry is
    /// trusted.
    pub(crate) fn confirmed(&self) -> Option<(u64, DateTime<Utc>)> {
        let trust = self.0.key_trust;
        self.with(|state| {
            let age = state.clock.asked_at.elapsed();
            let holds = state.listening && age < trust;
            holds.then(|| (state.generation, state.clock.time + age))
        })
    }

    /// Returns the database's time: the last response, advanced by the time since the query was sent.
    ///
    /// It is ahead of the database's clock by at most the duration of that query.
    pub(crate) fn time(&self) -> DateTime<Utc> {
        self.with(|state| state.clock.time + state.clock.asked_at.elapsed())
    }

    /// Returns a time for deciding orders that the database's clock has already reached, in whole milliseconds.
    ///
    /// It is the last response, advanced by the time since it arrived. A time that differs from real time may stand
    /// still, so it is not advanced.
    pub(crate) fn order_time(&self) -> DateTime<Utc> {
        self.with(|state| {
            let clock = &state.clock;
            let is_real = (clock.time - clock.order_time).abs() < SAME_TIME;
            let age = clock.answered_at.elapsed();
            clock.order_time + age * u32::from(is_real)
        })
        .trunc_subsecs(3)
    }

    /// Waits until a change of the catalogue is notified. This is a hint: notifications can be lost.
    pub(crate) async fn catalogue_announced(&self) {
        self.0.catalogue.notified().await;
    }

    /// Waits until an event to deliver is notified. This is a hint: notifications can be lost.
    pub(crate) async fn announced(&self) {
        self.0.deliveries.notified().await;
    }

    /// Returns the state of the database as of its last response.
    pub(crate) fn health(&self) -> DatabaseHealth {
        let failing = self.0.writes.failing_for();
        self.with(|state| DatabaseHealth {
            silence: state.clock.asked_at.elapsed().max(failing),
            pending: state.pending,
        })
    }

    /// Listens until `stop` is cancelled, and reconnects whenever the connection is lost.
    pub(crate) async fn listen(self, database: Database, stop: CancellationToken) {
        tokio::select! {
            () = stop.cancelled() => {}
            () = self.keep_listening(&database) => {}
            () = self.try_writes(&database) => {}
        }
    }

    async fn keep_listening(&self, database: &Database) {
        let mut ticks = interval(self.0.every);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            let error = self.hear(database, &mut ticks).await;
            self.with(|state| state.listening = false);
            tracing::warn!(%error, "the gate's listening connection was lost; keys are read on every request until it is back");
            ticks.tick().await;
        }
    }

    /// Tries to begin a write at every heartbeat while the last one could not: a replica that is not ready gets no
    /// requests that would find out.
    async fn try_writes(&self, database: &Database) {
        loop {
            sleep(self.0.every).await;
            if self.0.writes.failing_for() > Duration::ZERO {
                // The attempt records its own result.
                drop(database.begin().await);
            }
        }
    }

    /// Receives notifications and responses on one connection until it is lost.
    async fn hear(&self, database: &Database, ticks: &mut tokio::time::Interval) -> sqlx::Error {
        let connecting = connect(database, self.0.key_trust);
        let mut listener = match timeout(self.0.key_trust, connecting).await {
            Ok(Ok(listener)) => listener,
            Ok(Err(error)) => return error,
            Err(_) => return sqlx::Error::PoolTimedOut,
        };
        // Notifications from before this connection listened may have been missed.
        self.with(|state| state.generation += 1);
        loop {
            tokio::select! {
                received = listener.try_recv() => match received {
                    Ok(Some(notification)) => self.take(&notification),
                    Ok(None) => return sqlx::Error::PoolClosed,
                    Err(error) => return error,
                },
                _ = ticks.tick() => {
                    let asked_at = Instant::now();
                    match timeout(self.0.key_trust, ask(&mut listener)).await {
                        Ok(Ok(beat)) if !beat.takes_writes => return read_only(),
                        Ok(Ok(beat)) => self.record(asked_at, &beat, &mut listener),
                        Ok(Err(error)) => return error,
                        Err(_) => return sqlx::Error::PoolTimedOut,
                    }
                    match timeout(self.0.key_trust, pending(&mut listener)).await {
                        Ok(Ok(pending)) => self.with(|state| state.pending = pending),
                        Ok(Err(error)) => return error,
                        Err(_) => return sqlx::Error::PoolTimedOut,
                    }
                }
            }
        }
    }

    /// Handles a notification.
    fn take(&self, notification: &PgNotification) {
        match notification.channel() {
            DELIVERIES => self.0.deliveries.notify_one(),
            CATALOGUE => self.0.catalogue.notify_one(),
            _ => self.with(|state| state.generation += 1),
        }
    }

    /// Records a response, after the notifications that arrived before it.
    fn record(&self, asked_at: Instant, beat: &Beat, listener: &mut PgListener) {
        let clock = Clock {
            asked_at,
            answered_at: Instant::now(),
            time: beat.time,
            order_time: beat.order_time,
        };
        while let Some(notification) = listener.next_buffered() {
            self.take(&notification);
        }
        self.with(|state| {
            state.clock = clock;
            state.listening = true;
        });
    }

    fn with<T>(&self, read: impl FnOnce(&mut State) -> T) -> T {
        read(&mut self.0.state.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

impl Clock {
    /// Returns the clock for a time that the database has just returned.
    fn now(time: DateTime<Utc>) -> Self {
        Self {
            asked_at: Instant::now(),
            answered_at: Instant::now(),
            time,
            order_time: time,
        }
    }
}

/// The response of the database to one heartbeat.
#[derive(Debug)]
struct Beat {
    time: DateTime<Utc>,
    order_time: DateTime<Utc>,
    takes_writes: bool,
}

/// The `application_name` of the connection.
const NAME: &str = "lmn heartbeat";

/// Opens a connection outside the pool, so that requests cannot starve it, on the host that accepts writes.
async fn connect(database: &Database, within: Duration) -> Result<PgListener, sqlx::Error> {
    let host = database.writable_host(within).await?;
    let pool = PgPoolOptions::new()
        .max_connections(1)
        .connect_lazy_with(host.application_name(NAME));
    let mut listener = PgListener::connect_with(&pool).await?;
    listener.eager_reconnect(false);
    listener.listen_all([GATE, CATALOGUE, DELIVERIES]).await?;
    Ok(listener)
}

/// Queries the database's time. Notifications that were sent earlier arrive before the response.
async fn ask(listener: &mut PgListener) -> Result<Beat, sqlx::Error> {
    sqlx::query_as!(
        Beat,
        r#"
        select clock_timestamp() as "time!", lmn_now(0) as "order_time!",
               not (pg_is_in_recovery() or current_setting('transaction_read_only')::boolean) as "takes_writes!"
        "#
    )
    .fetch_one(listener)
    .await
}

/// Returns the error for a server that has become a standby.
fn read_only() -> sqlx::Error {
    io::Error::new(
        io::ErrorKind::ConnectionRefused,
        "the server does not accept writes",
    )
    .into()
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
        Heartbeat(Arc::new(Inner {
            state: Mutex::new(state),
            key_trust: Duration::from_millis(900),
            catalogue: Notify::new(),
            deliveries: Notify::new(),
            every: Duration::from_millis(250),
            writes: WriteHealth::default(),
        }))
    }

    #[tokio::test(start_paused = true)]
    async fn cached_entry_is_valid_while_the_database_responds() {
        let heartbeat = heartbeat();
        advance(Duration::from_millis(899)).await;
        let now = DateTime::UNIX_EPOCH + Duration::from_millis(899);
        assert_eq!(heartbeat.confirmed(), Some((7, now)));
        advance(Duration::from_millis(1)).await;
        assert_eq!(heartbeat.confirmed(), None, "the last response is too old");
        assert_eq!(
            heartbeat.time(),
            DateTime::UNIX_EPOCH + Duration::from_millis(900)
        );
    }

    #[tokio::test(start_paused = true)]
    async fn cached_entry_is_invalid_while_no_connection_listens() {
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
        assert_eq!(
            heartbeat.order_time(),
            after(500),
            "a time that is not real is not advanced"
        );
    }
}
