//! The sections of the settings that need few forms of their own. `config/default.toml` has further explanations.

use std::{
    fs,
    net::{IpAddr, SocketAddr},
    path::Path,
    time::Duration,
};

use ipnet::IpNet;
use secrecy::SecretString;
use serde::Deserialize;

use super::{
    database_url,
    reader::{ConfigErrors, NO_DATABASE, Reader, Setting, section},
    tls::Tls,
    variables::DATABASE_URL,
};
use crate::values::{
    address::{Guard, canonical},
    rate_limit::Policy,
};

section! {
    /// The partners' listener, with its timeouts and limits.
    #[derive(Debug, Clone)]
    pub struct Server {
        /// Address and port to listen on.
        pub listen: SocketAddr = value,
        /// Maximum number of open connections.
        pub connections_max: usize = number(1..),
        /// The share of them that one client address may have, in percent.
        pub connections_per_address_percent: usize = number(1..=100),
        /// Maximum number of requests in progress.
        pub requests_max: usize = number(1..),
        /// Time until the first byte of a connection.
        pub first_byte: Duration = seconds(1..=3600),
        /// Time for complete request headers, from their first byte.
        pub header: Duration = seconds(1..=3600),
        /// Time that a connection may be open without a request whose key was accepted.
        pub idle: Duration = seconds(1..=3600),
        /// Time that a client may take nothing of a response.
        pub write: Duration = seconds(1..=3600),
        /// The least rate at which a client takes responses, on average over that time.
        pub write_bytes_per_second_min: u64 = number(0..),
        /// Time for a complete request body.
        pub body: Duration = seconds(1..=3600),
        /// Maximum size of a request body in bytes.
        pub body_bytes_max: usize = number(1..),
        /// Time from the complete request to the response.
        pub deadline: Duration = seconds(1..=3600),
        /// Time for a graceful stop.
        pub stop: Duration = seconds(1..=3600),
        /// The part of it in which new connections are still accepted.
        pub drain_grace: Duration = milliseconds(0..),
        /// TLS, if this process terminates it.
        pub tls: Option<Tls> = optional,
    }
    rules {
        |drain_grace, stop| drain_grace < stop
            => "server.drain_grace_milliseconds: must be below server.stop_seconds",
    }
}

section! {
    /// The database, with its timeouts and limits.
    #[derive(Debug, Clone)]
    pub struct Database {
        /// The connection URL; a secret, because it may contain a password.
        pub url: SecretString = database_url,
        /// Number of connections of the pool.
        pub connections_max: u32 = number(1..),
        /// Maximum number of statements in progress that read for several requests, per kind.
        pub batch_statements: usize = number(1..) named "batch_statements_max",
        /// Number of rows that one of them reads before another is sent.
        pub batch_rows: usize = number(1..) named "batch_rows_max",
        /// Time to acquire a connection.
        pub acquire: Duration = seconds(1..=3600),
        /// Time to acquire a lock.
        pub lock: Duration = seconds(1..=3600),
        /// Time for one statement.
        pub statement: Duration = seconds(1..=3600),
        /// Time between two heartbeats.
        pub heartbeat: Duration = milliseconds(1..),
    }
    rules {
        |lock, statement| lock < statement
            => "database.lock_seconds: must be below database.statement_seconds",
    }
}

section! {
    /// Authentication and client addresses.
    #[derive(Debug, Clone)]
    pub struct Gate {
        /// Networks of the proxies whose client address header is trusted.
        pub trusted_proxies: Vec<IpNet> = networks,
        /// The header in which they name the client.
        pub client_address_header: ClientAddressHeader = value,
        /// Maximum number of cached keys.
        pub keys_cached_max: u64 = number(1..),
        /// Time without a response of the database after which cached keys are read again.
        pub key_trust: Duration = milliseconds(1..=1000),
        /// Time between two writes of when keys were last used.
        pub key_use: Duration = seconds(1..=3600),
    }
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

section! {
    /// Limits of one partner's requests in progress, and of unknown keys.
    #[derive(Debug, Clone)]
    pub struct Limits {
        /// Maximum number of requests in progress of one partner.
        pub partner_requests_max: usize = number(1..),
        /// Maximum number of writes in progress of one partner.
        pub partner_writes_max: usize = number(1..),
        /// Time that a write waits for this limit.
        pub partner_write_wait: Duration = seconds(1..=3600),
        /// Maximum number of client addresses whose unknown keys are counted.
        pub unknown_key_addresses_max: u64 = number(1..),
        /// Limit of unknown keys of one client address.
        pub unknown_key: Policy = policy,
    }
}

section! {
    /// The log of requests that were refused, that failed or that wrote.
    #[derive(Debug, Clone)]
    pub struct RequestLog {
        /// Number of days that the log covers.
        pub days: u32 = number(1..=3650),
        /// Maximum number of requests that wait to be inserted.
        pub queue_max: usize = number(1..),
        /// Time between two insertions.
        pub flush: Duration = milliseconds(1..),
        /// Maximum number of requests that one statement inserts or deletes.
        pub batch: u32 = number(1..=10_000) named "batch_max",
        /// Limit of refused and failed requests of one partner that are logged.
        pub refusals: Policy = policy,
    }
}

section! {
    /// The scheduled order jobs.
    #[derive(Debug, Clone)]
    pub struct Jobs {
        /// Time between two runs.
        pub interval: Duration = seconds(1..=3600),
        /// Maximum number of vehicles or orders in one step.
        pub batch: i64 = number(1..),
        /// The same for a step of the sandbox clock.
        pub clock_batch: i64 = number(1..),
    }
}

section! {
    /// The catalogue.
    #[derive(Debug, Clone)]
    pub struct Catalogue {
        /// The greatest age of catalogue data in responses. The API promises at most one second.
        pub staleness: Duration = milliseconds(1..=1000),
        /// Size of the cache of vehicles as JSON, in bytes.
        pub cache_bytes: u64 = mebibytes(0..) named "cache",
        /// Time that the log of changes covers.
        pub changes: Duration = seconds(1..=3600),
        /// Time between two runs that render changed vehicles and truncate the log.
        pub render: Duration = seconds(1..=3600),
        /// Maximum number of vehicles rendered in one step.
        pub render_batch: i64 = number(1..),
    }
}

section! {
    /// Webhook deliveries.
    #[derive(Debug, Clone)]
    pub struct Webhooks {
        /// The addresses that may be reached.
        pub guard: Guard = guard,
        /// Time between two searches for due deliveries.
        pub poll: Duration = milliseconds(1..),
        /// Maximum number of deliveries in progress of one worker.
        pub sends_max: usize = number(1..),
        /// Maximum number of deliveries in progress to one partner.
        pub partner_sends_max: i64 = number(1..),
        /// Time for one attempt.
        pub attempt: Duration = seconds(1..=3600),
        /// Time that an event is leased to the worker that sends it; renewed while the attempt runs.
        pub lease: Duration = seconds(1..=3600),
        /// Time between two counts of the waiting deliveries.
        pub backlog: Duration = seconds(1..=3600),
    }
}

impl Setting<'_> {
    /// Reads the URL of the database: from a variable, from the file that a variable names, or from the setting.
    fn database_url(mut self) -> Option<SecretString> {
        let variables = DATABASE_URL.map(|it| self.variable(it));
        let url = match variables {
            [Some(url), _] => url,
            [None, Some(path)] => match fs::read_to_string(&path) {
                Ok(url) => url.trim().to_owned(),
                Err(error) => {
                    self.report(format_args!("DATABASE_URL_FILE: {path}: {error}"));
                    return None;
                }
            },
            [None, None] => self.value()?,
        };
        if url.is_empty() {
            self.complain(NO_DATABASE);
        } else if !url.starts_with("postgres://") && !url.starts_with("postgresql://") {
            self.complain("must begin with postgres://");
        } else if let Err(reason) = database_url::parse(&url) {
            self.complain(reason);
        }
        Some(url.into())
    }

    /// Reads networks, with IPv4-mapped ones as IPv4. A single address is a network of one address.
    fn networks(mut self) -> Option<Vec<IpNet>> {
        let texts: Vec<String> = self.value()?;
        let texts = texts.iter().map(|text| text.trim());
        let mut networks = Vec::new();
        for text in texts.filter(|text| !text.is_empty()) {
            let address = || text.parse::<IpAddr>().map(IpNet::from).ok();
            match text.parse().ok().or_else(address) {
                Some(network) => networks.push(canonical(network)),
                None => self.complain(format_args!("`{text}` is neither an address nor a network")),
            }
        }
        Some(networks)
    }

    /// Reads the ports and networks of endpoints, two settings of the section.
    fn guard(mut self) -> Option<Guard> {
        let ports = self.beside("ports").ports();
        let open_networks = self.beside("open_networks").networks();
        Some(Guard {
            ports: ports?,
            open_networks: open_networks?,
        })
    }

    /// Reads ports. In the environment a single port is a number.
    fn ports(mut self) -> Option<Vec<u16>> {
        let ports = match self.value()? {
            Ports::One(port) => vec![port],
            Ports::Many(ports) => ports,
        };
        let ports: Vec<_> = ports.iter().filter_map(Port::read).collect();
        if ports.contains(&0) {
            self.complain("must be ports between 1 and 65535");
        }
        Some(ports)
    }
}

/// One or more ports, as written in the settings.
#[derive(Deserialize)]
#[serde(untagged)]
enum Ports {
    One(Port),
    Many(Vec<Port>),
}

/// A port, as written in the settings.
#[derive(Deserialize)]
#[serde(untagged)]
enum Port {
    Number(i64),
    Text(String),
}

impl Port {
    /// Converts it: 0 if it is invalid, `None` if it is empty.
    fn read(&self) -> Option<u16> {
        match self {
            Self::Number(number) => Some(u16::try_from(*number).unwrap_or_default()),
            Self::Text(text) if text.trim().is_empty() => None,
            Self::Text(text) => Some(text.trim().parse().unwrap_or_default()),
        }
    }
}

section! {
    /// The operator's listener, for probes, metrics, the operator API and the console.
    #[derive(Debug, Clone)]
    pub struct Operator {
        /// Address and port to listen on.
        pub listen: SocketAddr = value,
        /// Maximum number of open connections.
        pub connections_max: usize = number(1..),
        /// Maximum number of requests to the operator API in progress; more are refused with 503.
        pub requests_max: usize = number(1..),
        /// Time without a response of the database after which this replica is not ready.
        pub database_silence: Duration = milliseconds(1..),
        /// Timeout of `lmn healthcheck`.
        pub healthcheck: Duration = seconds(1..=3600),
        /// TLS, without which there is no operator API and no console beyond loopback.
        pub tls: Option<Tls> = optional,
    }
}

impl Operator {
    /// Returns whether the listener has the operator API and the console. Tokens must not cross a network in clear text.
    pub(crate) fn has_api(&self) -> bool {
        self.listen.ip().is_loopback() || self.tls.is_some()
    }
}

section! {
    /// The part of `operator` that `lmn healthcheck` needs.
    #[derive(Debug, Clone)]
    pub struct Healthcheck {
        /// The address and port to probe.
        pub listen: SocketAddr = value,
        /// Time for the response.
        pub timeout: Duration = seconds(1..=3600) named "healthcheck",
        /// Whether the listener has TLS.
        pub has_tls: bool = given named "tls.certificate_file",
    }
}

impl Healthcheck {
    /// Reads these settings alone: a health check of a running server needs neither a database URL nor the private key.
    pub fn read(file: Option<&Path>, variables: &[(String, String)]) -> Result<Self, ConfigErrors> {
        Reader::open(file, variables)?.read("operator")
    }
}

impl Setting<'_> {
    /// Reads whether a text is not empty.
    fn given(mut self) -> Option<bool> {
        self.value().map(|text: String| !text.is_empty())
    }
}
