//! Metrics of load and of TLS: what requests wait for, the limits at which they are rejected, and the certificates and
//! handshakes of each listener that terminates TLS.

use std::time::{Duration, Instant};

use chrono::{DateTime, Utc};
use metrics::{Counter, Gauge, Histogram};

use super::{
    declarations::{self, label_values},
    metrics::{Metrics, Registry},
};

label_values! {
    /// The limit on requests in progress that was exceeded.
    Shed {
        /// The limit of the replica.
        Replica = "replica",
        /// The limit of the partner.
        Partner = "partner",
    }
}

label_values! {
    /// A rate limit.
    Policy {
        /// The limit of reads.
        Read = "read",
        /// The limit of writes.
        Write = "write",
    }
}

label_values! {
    /// Reasons why a replica limits a request alone although a shared store is set.
    Alone {
        /// The store failed on this request.
        Failed = "failed",
        /// The store was unavailable before this request.
        Away = "away",
    }
}

label_values! {
    /// The purpose of a database connection.
    WaitFor {
        /// To read.
        Read = "read",
        /// To write; the wait includes the beginning of the transaction.
        Write = "write",
    }
}

label_values! {
    /// The state of a database connection.
    ConnectionState {
        /// It is in use.
        Used = "used",
        /// It is idle.
        Idle = "idle",
    }
}

label_values! {
    /// Reasons why a request is missing in the request log.
    NotLogged {
        /// The queue was full.
        Full = "full",
        /// Its partner, or callers without an accepted key, were refused too often.
        Limited = "limited",
        /// It could not be inserted.
        Failed = "failed",
    }
}

/// The state of a connection pool.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Pool {
    /// Its name.
    pub(crate) name: &'static str,
    /// Connections in use.
    pub(crate) used: u32,
    /// Idle connections.
    pub(crate) idle: u32,
    /// Maximum number of connections.
    pub(crate) max: u32,
}

/// Handles of these metrics.
pub(super) struct Load {
    shed: [Counter; 2],
    connections_refused: Counter,
    rate_limited: [Counter; 2],
    writes_waiting: Gauge,
    write_wait: Histogram,
    write_wait_timeouts: Counter,
    connection_wait: [Histogram; 2],
    not_logged: [Counter; 3],
}

impl Load {
    /// Registers the metrics. Those of the shared rate limit exist only if a shared store is set.
    pub(super) fn new(registry: &Registry) -> Self {
        let shed =
            |by: Shed| registry.counter(&declarations::HTTP_REQUESTS_SHED, [by.as_str().into()]);
        let rate_limited = |policy: Policy| {
            registry.counter(&declarations::RATE_LIMITED, [policy.as_str().into()])
        };
        let connection_wait = |purpose: WaitFor| {
            registry.histogram(&declarations::DATABASE_WAIT, [purpose.as_str().into()])
        };
        let not_logged = |reason: NotLogged| {
            registry.counter(&declarations::REQUEST_LOG_DROPPED, [reason.as_str().into()])
        };
        Self {
            shed: [Shed::Replica, Shed::Partner].map(shed),
            connections_refused: registry.counter(&declarations::CONNECTIONS_REFUSED, []),
            rate_limited: [Policy::Read, Policy::Write].map(rate_limited),
            writes_waiting: registry.gauge(&declarations::PARTNER_WRITES_WAITING, []),
            write_wait: registry.histogram(&declarations::PARTNER_WRITE_WAIT, []),
            write_wait_timeouts: registry.counter(&declarations::PARTNER_WRITE_WAIT_TIMEOUTS, []),
            connection_wait: [WaitFor::Read, WaitFor::Write].map(connection_wait),
            not_logged: [NotLogged::Full, NotLogged::Limited, NotLogged::Failed].map(not_logged),
        }
    }
}

impl Metrics {
    /// Sets the maximum number of requests in progress.
    pub(crate) fn set_requests_max(&self, max: usize) {
        self.registry()
            .gauge(&declarations::HTTP_REQUESTS_MAX, [])
            .set(u32::try_from(max).unwrap_or(u32::MAX));
    }

    /// Counts a request that was rejected because too many were in progress.
    pub(crate) fn count_shed(&self, by: Shed) {
        let [replica, partner] = &self.load().shed;
        match by {
            Shed::Replica => replica.increment(1),
            Shed::Partner => partner.increment(1),
        }
    }

    /// Counts a connection that was closed at once because its client address had too many.
    pub(crate) fn count_refused_connection(&self) {
        self.load().connections_refused.increment(1);
    }

    /// Counts a request that exceeded a rate limit. `is_read` selects the policy.
    pub(crate) fn count_rate_limited(&self, is_read: bool) {
        let [read, write] = &self.load().rate_limited;
        if is_read { read } else { write }.increment(1);
    }

    /// Sets whether the shared store of rate limits is available.
    pub(crate) fn set_shared_limits(&self, is_up: bool) {
        self.registry()
            .gauge(&declarations::RATE_LIMIT_SHARED_UP, [])
            .set(u32::from(is_up));
        for why in [Alone::Failed, Alone::Away] {
            self.add_limited_alone(why, 0);
        }
    }

    /// Counts a request that this replica limited alone.
    pub(crate) fn count_limited_alone(&self, why: Alone) {
        self.add_limited_alone(why, 1);
    }

    fn add_limited_alone(&self, why: Alone, requests: u64) {
        self.registry()
            .counter(&declarations::RATE_LIMIT_LOCAL, [why.as_str().into()])
            .increment(requests);
    }

    /// Records the time that the shared store took to count a request.
    pub(crate) fn record_shared_limit(&self, took: Duration) {
        self.registry()
            .histogram(&declarations::RATE_LIMIT_SHARED_DURATION, [])
            .record(took);
    }

    /// Counts a write as waiting until the returned guard is dropped.
    pub(crate) fn begin_write_wait(&self) -> WriteWait {
        self.load().writes_waiting.increment(1.0);
        WriteWait {
            metrics: self.clone(),
            began: Instant::now(),
        }
    }

    /// Counts a write that timed out while waiting.
    pub(crate) fn count_write_wait_timeout(&self) {
        self.load().write_wait_timeouts.increment(1);
    }

    /// Records the time to acquire a connection.
    pub(crate) fn record_connection_wait(&self, purpose: WaitFor, took: Duration) {
        let [read, write] = &self.load().connection_wait;
        let histogram = match purpose {
            WaitFor::Read => read,
            WaitFor::Write => write,
        };
        histogram.record(took);
    }

    /// Counts requests that are missing in the request log.
    pub(crate) fn count_not_logged(&self, reason: NotLogged, requests: usize) {
        let [full, limited, failed] = &self.load().not_logged;
        let counter = match reason {
            NotLogged::Full => full,
            NotLogged::Limited => limited,
            NotLogged::Failed => failed,
        };
        counter.increment(requests as u64);
    }

    /// Sets the gauges of a pool.
    pub(crate) fn set_pool(&self, pool: &Pool) {
        let registry = self.registry();
        for (state, count) in [
            (ConnectionState::Used, pool.used),
            (ConnectionState::Idle, pool.idle),
        ] {
            let values = [pool.name.into(), state.as_str().into()];
            registry
                .gauge(&declarations::DATABASE_CONNECTIONS, values)
                .set(count);
        }
        registry
            .gauge(&declarations::DATABASE_CONNECTIONS_MAX, [pool.name.into()])
            .set(pool.max);
    }

    /// Sets the time since the database's last response.
    pub(crate) fn set_silence(&self, silence: Duration) {
        self.registry()
            .gauge(&declarations::DATABASE_SILENCE, [])
            .set(silence);
    }
}

/// A guard for a waiting write, which also ends the wait if the caller gives up.
pub(crate) struct WriteWait {
    metrics: Metrics,
    began: Instant,
}

impl Drop for WriteWait {
    fn drop(&mut self) {
        let load = self.metrics.load();
        load.writes_waiting.decrement(1.0);
        load.write_wait.record(self.began.elapsed());
    }
}

label_values! {
    /// A listener that terminates TLS.
    Listener {
        /// The partners' listener.
        Partners = "partners",
        /// The operator's listener.
        Operator = "operator",
    }
}

impl Metrics {
    /// Sets when the certificate of new connections expires.
    pub(crate) fn set_certificate_expiry(&self, listener: Listener, expires_at: DateTime<Utc>) {
        let registry = self.registry();
        let seconds = u32::try_from(expires_at.timestamp()).unwrap_or(u32::MAX);
        registry
            .gauge(
                &declarations::TLS_CERTIFICATE_EXPIRY,
                [listener.as_str().into()],
            )
            .set(seconds);
        for counter in [
            &declarations::TLS_BAD_CERTIFICATES,
            &declarations::TLS_HANDSHAKES_FAILED,
        ] {
            registry
                .counter(counter, [listener.as_str().into()])
                .increment(0);
        }
    }

    /// Counts files that are not a valid pair of certificate and key.
    pub(crate) fn count_bad_certificate(&self, listener: Listener) {
        self.registry()
            .counter(
                &declarations::TLS_BAD_CERTIFICATES,
                [listener.as_str().into()],
            )
            .increment(1);
    }

    /// Counts a handshake that failed or timed out.
    pub(crate) fn count_failed_handshake(&self, listener: Listener) {
        self.registry()
            .counter(
                &declarations::TLS_HANDSHAKES_FAILED,
                [listener.as_str().into()],
            )
            .increment(1);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn write_that_gives_up_is_no_longer_counted_as_waiting() {
        let metrics = Metrics::new();
        let waiting = metrics.begin_write_wait();
        assert!(metrics.render().contains("lmn_partner_writes_waiting 1\n"));
        drop(waiting);
        assert!(metrics.render().contains("lmn_partner_writes_waiting 0\n"));
        assert!(
            metrics
                .render()
                .contains("lmn_partner_write_wait_seconds_count 1\n")
        );
    }
}
