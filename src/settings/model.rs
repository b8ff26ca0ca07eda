//! What can be set, resolved and checked.

use std::{net::SocketAddr, time::Duration};

use ipnet::IpNet;
use secrecy::SecretString;
use serde::Deserialize;

use super::tls::Tls;
use crate::{
    environment::Environment, middleware::rate_limit::model::Policy, webhooks::address::Guard,
};

/// Everything that can be set, resolved and checked.
#[derive(Debug, Clone)]
pub struct Settings {
    /// Which deployment this is.
    pub environment: Environment,
    /// Where partners reach the API, without a trailing slash.
    pub public_url: String,
    /// The listening side.
    pub server: Server,
    /// The operator's listener.
    pub operator: Operator,
    /// The PostgreSQL side.
    pub database: Database,
    /// What a request passes before a handler.
    pub gate: Gate,
    /// Default limits of an API key.
    pub rate_limit: RateLimit,
    /// What time does to orders.
    pub sweeps: Sweeps,
    /// How the catalogue is read.
    pub catalogue: Catalogue,
    /// Where events are sent.
    pub webhooks: Webhooks,
    /// What is logged, and how.
    pub log: Log,
    /// Where traces go.
    pub telemetry: Telemetry,
}

/// Listening, and how long the server waits for whom.
#[derive(Debug, Clone)]
pub struct Server {
    /// Address and port to listen on.
    pub listen: SocketAddr,
    /// Connections open at once.
    pub connections_max: usize,
    /// Requests in progress at once.
    pub requests_max: usize,
    /// Silence allowed at the beginning of a connection.
    pub first_byte: Duration,
    /// Time for complete request headers, from their first byte.
    pub header: Duration,
    /// Time without a request.
    pub idle: Duration,
    /// Time in which nothing of an answer is taken.
    pub write: Duration,
    /// Time for a complete request body.
    pub body: Duration,
    /// Size of a request body.
    pub body_bytes_max: usize,
    /// Time from the complete request to the answer.
    pub deadline: Duration,
    /// Time for requests in progress when the server stops.
    pub stop: Duration,
    /// TLS, unless it is ended elsewhere.
    pub tls: Option<Tls>,
}

/// Probes and metrics, on a listener of their own.
#[derive(Debug, Clone)]
pub struct Operator {
    /// Address and port to listen on.
    pub listen: SocketAddr,
    /// Connections open at once.
    pub connections_max: usize,
    /// How long the database may be silent before this replica is not ready.
    pub database_silence: Duration,
    /// How long `lmn healthcheck` waits.
    pub healthcheck: Duration,
}

/// The database and the limits under which it is used.
#[derive(Debug, Clone)]
pub struct Database {
    /// The connection URL; a secret, because it may hold a password.
    pub url: SecretString,
    /// Connections of the pool.
    pub connections_max: u32,
    /// Statements on their way at once that read for several requests, of each kind.
    pub batch_statements: usize,
    /// Rows that one of them reads before another is sent.
    pub batch_rows: usize,
    /// Time to get a connection.
    pub acquire: Duration,
    /// Time to get a lock.
    pub lock: Duration,
    /// Time for one statement.
    pub statement: Duration,
    /// How often the database is asked for its time.
    pub heartbeat: Duration,
}

/// Authentication, client addresses, and the limits of one partner's requests and writes.
#[derive(Debug, Clone)]
pub struct Gate {
    /// Networks whose word about the client's address counts.
    pub trusted_proxies: Vec<IpNet>,
    /// The header in which they say it.
    pub client_address_header: ClientAddressHeader,
    /// Keys remembered.
    pub keys_cached_max: u64,
    /// How long the database may be silent before remembered keys are read again.
    pub key_trust: Duration,
    /// Requests of one partner in progress at once.
    pub partner_requests_max: usize,
    /// Writes of one partner in progress at once.
    pub lane_writes_max: usize,
    /// How long a write waits for its turn.
    pub lane_wait: Duration,
    /// How often it is written when keys were last used.
    pub key_use: Duration,
    /// Client addresses whose tries of unknown keys are counted.
    pub guess_addresses_max: u64,
    /// Unknown keys that one client address may try.
    pub guess: Policy,
}

/// The one header that a trusted proxy uses to name its client.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
pub enum ClientAddressHeader {
    /// The de-facto standard: a list of addresses.
    #[serde(rename = "x-forwarded-for")]
    XForwardedFor,
    /// RFC 7239: a list of elements with `for=`.
    #[serde(rename = "forwarded")]
    Forwarded,
}

/// Limits of an API key whose partner has none of its own.
#[derive(Debug, Clone)]
pub struct RateLimit {
    /// Keys whose use is remembered.
    pub keys_max: u64,
    /// GET and HEAD.
    pub read: Policy,
    /// POST, PUT and DELETE.
    pub write: Policy,
    /// Where all replicas count together; each alone if there is nothing.
    pub shared: Option<SharedLimits>,
}

/// A Redis or Valkey in which replicas count together.
#[derive(Debug, Clone)]
pub struct SharedLimits {
    /// Where it is; a secret, because it may hold a password.
    pub url: SecretString,
    /// The authorities that may vouch for it, in PEM; the public ones if there are none.
    pub authority: Option<Vec<u8>>,
    /// Time for the answer to one request.
    pub patience: Duration,
    /// Time to connect.
    pub connect: Duration,
    /// How often one that is away is tried, and one that is there is asked how it is.
    pub retry: Duration,
}

/// What time does to orders.
#[derive(Debug, Clone)]
pub struct Sweeps {
    /// How often it is done.
    pub interval: Duration,
    /// Cars, or orders, of one step at most.
    pub batch: i64,
    /// The same, of the step that the sandbox clock takes.
    pub clock_batch: i64,
}

/// How the catalogue is read.
#[derive(Debug, Clone)]
pub struct Catalogue {
    /// The greatest age of what is shown.
    pub staleness: Duration,
    /// Bytes of vehicles that are cached as JSON.
    pub cache_bytes: u64,
    /// How long the log of changes reaches back.
    pub changes: Duration,
    /// How often vehicles are rendered that are not yet, and the log is shortened.
    pub render: Duration,
    /// How many of them in one step.
    pub render_batch: i64,
}

/// Deliveries of events.
#[derive(Debug, Clone)]
pub struct Webhooks {
    /// What may be reached.
    pub guard: Guard,
    /// How often what is due is looked for.
    pub poll: Duration,
    /// Deliveries in progress at once, of one worker.
    pub sends_max: usize,
    /// Deliveries in progress at once, of one partner.
    pub partner_sends_max: i64,
    /// Time for one attempt.
    pub attempt: Duration,
    /// How long an event that is being sent is nobody else's.
    pub lease: Duration,
    /// How often what waits is counted.
    pub backlog: Duration,
}

/// The log.
#[derive(Debug, Clone)]
pub struct Log {
    /// The form of a line.
    pub format: LogFormat,
    /// What is written: directives of `tracing_subscriber`.
    pub filter: String,
}

/// The form of a log line.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum LogFormat {
    /// One JSON object a line.
    Json,
    /// For a person at a terminal.
    Pretty,
}

/// Traces.
#[derive(Debug, Clone)]
pub struct Telemetry {
    /// Who takes them, if anybody does.
    pub collector: Option<Collector>,
    /// Of a hundred requests without a trace, how many begin one.
    pub sample_percent: u32,
    /// Spans that wait.
    pub queue_max: usize,
    /// How often they are exported.
    pub every: Duration,
    /// Time for one export.
    pub time: Duration,
}

/// Who takes traces.
#[derive(Debug, Clone)]
pub struct Collector {
    /// Host and port.
    pub authority: String,
    /// Where spans go there.
    pub path: String,
}
