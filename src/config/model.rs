//! The resolved and validated settings. `config/default.toml` has the defaults and further explanations.

use std::{net::SocketAddr, time::Duration};

use ipnet::IpNet;
use secrecy::SecretString;
use serde::Deserialize;

use super::tls::Tls;
use crate::{
    middleware::rate_limit::model::Policy, values::environment::Environment,
    webhooks::address::Guard,
};

/// All settings, resolved and validated.
#[derive(Debug, Clone)]
pub struct Settings {
    /// The environment of this deployment.
    pub environment: Environment,
    /// The base URL at which partners reach the API, without a trailing slash.
    pub public_url: String,
    /// The partners' listener.
    pub server: Server,
    /// The operator's listener.
    pub operator: Operator,
    /// The database.
    pub database: Database,
    /// Authentication and partner limits.
    pub gate: Gate,
    /// Limits of partners' requests in progress and of unknown keys.
    pub limits: Limits,
    /// Default rate limits of an API key.
    pub rate_limit: RateLimit,
    /// The scheduled order jobs.
    pub sweeps: Sweeps,
    /// The catalogue.
    pub catalogue: Catalogue,
    /// Webhook deliveries.
    pub webhooks: Webhooks,
    /// The log.
    pub log: Log,
    /// The export of traces.
    pub telemetry: Telemetry,
}

/// The partners' listener, with its timeouts and limits.
#[derive(Debug, Clone)]
pub struct Server {
    /// Address and port to listen on.
    pub listen: SocketAddr,
    /// Maximum number of open connections.
    pub connections_max: usize,
    /// Maximum number of requests in progress.
    pub requests_max: usize,
    /// Time until the first byte of a connection.
    pub first_byte: Duration,
    /// Time for complete request headers, from their first byte.
    pub header: Duration,
    /// Time that a connection may be open without a request.
    pub idle: Duration,
    /// Time that a client may take nothing of a response.
    pub write: Duration,
    /// Time for a complete request body.
    pub body: Duration,
    /// Maximum size of a request body in bytes.
    pub body_bytes_max: usize,
    /// Time from the complete request to the response.
    pub deadline: Duration,
    /// Time for requests in progress when the server stops.
    pub stop: Duration,
    /// TLS, if this process terminates it.
    pub tls: Option<Tls>,
}

/// The operator's listener, for probes and metrics.
#[derive(Debug, Clone)]
pub struct Operator {
    /// Address and port to listen on.
    pub listen: SocketAddr,
    /// Maximum number of open connections.
    pub connections_max: usize,
    /// Time without a response of the database after which this replica is not ready.
    pub database_silence: Duration,
    /// Timeout of `lmn healthcheck`.
    pub healthcheck: Duration,
}

/// The database, with its timeouts and limits.
#[derive(Debug, Clone)]
pub struct Database {
    /// The connection URL; a secret, because it may contain a password.
    pub url: SecretString,
    /// Number of connections of the pool.
    pub connections_max: u32,
    /// Maximum number of statements in progress that read for several requests, per kind.
    pub batch_statements: usize,
    /// Number of rows that one of them reads before another is sent.
    pub batch_rows: usize,
    /// Time to acquire a connection.
    pub acquire: Duration,
    /// Time to acquire a lock.
    pub lock: Duration,
    /// Time for one statement.
    pub statement: Duration,
    /// Time between two heartbeats.
    pub heartbeat: Duration,
}

/// Authentication and client addresses.
#[derive(Debug, Clone)]
pub struct Gate {
    /// Networks of the proxies whose client address header is trusted.
    pub trusted_proxies: Vec<IpNet>,
    /// The header in which they name the client.
    pub client_address_header: ClientAddressHeader,
    /// Maximum number of cached keys.
    pub keys_cached_max: u64,
    /// Time without a response of the database after which cached keys are read again.
    pub key_trust: Duration,
    /// Time between two writes of when keys were last used.
    pub key_use: Duration,
}

/// Limits of one partner's requests in progress, and of unknown keys.
#[derive(Debug, Clone)]
pub struct Limits {
    /// Maximum number of requests in progress of one partner.
    pub partner_requests_max: usize,
    /// Maximum number of writes in progress of one partner.
    pub partner_writes_max: usize,
    /// Time that a write waits for this limit.
    pub partner_write_wait: Duration,
    /// Maximum number of client addresses whose unknown keys are counted.
    pub unknown_key_addresses_max: u64,
    /// Limit of unknown keys of one client address.
    pub unknown_key: Policy,
}

/// The header that trusted proxies use to name the client.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
pub enum ClientAddressHeader {
    /// The de-facto standard: a list of addresses.
    #[serde(rename = "x-forwarded-for")]
    XForwardedFor,
    /// RFC 7239: a list of elements with `for=`.
    #[serde(rename = "forwarded")]
    Forwarded,
}

/// Rate limits of an API key whose partner has no limits of its own.
#[derive(Debug, Clone)]
pub struct RateLimit {
    /// Maximum number of keys whose requests are counted.
    pub keys_max: u64,
    /// GET and HEAD.
    pub read: Policy,
    /// POST, PUT and DELETE.
    pub write: Policy,
    /// The store in which all replicas count together. Without one each replica counts alone.
    pub shared: Option<SharedLimits>,
}

/// A Redis or Valkey server in which replicas count together.
#[derive(Debug, Clone)]
pub struct SharedLimits {
    /// Its URL; a secret, because it may contain a password.
    pub url: SecretString,
    /// The trusted certificate authorities in PEM; the public ones if `None`.
    pub authority: Option<Vec<u8>>,
    /// Time for the response to one request.
    pub patience: Duration,
    /// Time to connect.
    pub connect: Duration,
    /// Time between two attempts to reach an unavailable store, and between two health checks of an idle one.
    pub retry: Duration,
}

/// The scheduled order jobs.
#[derive(Debug, Clone)]
pub struct Sweeps {
    /// Time between two runs.
    pub interval: Duration,
    /// Maximum number of vehicles or orders in one step.
    pub batch: i64,
    /// The same for a step of the sandbox clock.
    pub clock_batch: i64,
}

/// The catalogue.
#[derive(Debug, Clone)]
pub struct Catalogue {
    /// The greatest age of catalogue data in responses.
    pub staleness: Duration,
    /// Size of the cache of vehicles as JSON, in bytes.
    pub cache_bytes: u64,
    /// Time that the log of changes covers.
    pub changes: Duration,
    /// Time between two runs that render changed vehicles and truncate the log.
    pub render: Duration,
    /// Maximum number of vehicles rendered in one step.
    pub render_batch: i64,
}

/// Webhook deliveries.
#[derive(Debug, Clone)]
pub struct Webhooks {
    /// The addresses that may be reached.
    pub guard: Guard,
    /// Time between two searches for due deliveries.
    pub poll: Duration,
    /// Maximum number of deliveries in progress of one worker.
    pub sends_max: usize,
    /// Maximum number of deliveries in progress to one partner.
    pub partner_sends_max: i64,
    /// Time for one attempt.
    pub attempt: Duration,
    /// Time that an event is leased to the worker that sends it.
    pub lease: Duration,
    /// Time between two counts of the waiting deliveries.
    pub backlog: Duration,
}

/// The log.
#[derive(Debug, Clone)]
pub struct Log {
    /// The format of a line.
    pub format: LogFormat,
    /// The filter: directives of `tracing_subscriber`.
    pub filter: String,
}

/// The format of a log line.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum LogFormat {
    /// One JSON object per line.
    Json,
    /// Text for a terminal.
    Pretty,
}

/// The export of traces.
#[derive(Debug, Clone)]
pub struct Telemetry {
    /// The collector, if traces are exported.
    pub collector: Option<Collector>,
    /// The percentage of requests without a trace that start one.
    pub sample_percent: u32,
    /// Maximum number of spans that wait to be exported.
    pub queue_max: usize,
    /// Time between two exports.
    pub every: Duration,
    /// Time for one export.
    pub time: Duration,
}

/// A collector of traces.
#[derive(Debug, Clone)]
pub struct Collector {
    /// Host and port.
    pub authority: String,
    /// The path for spans.
    pub path: String,
}
