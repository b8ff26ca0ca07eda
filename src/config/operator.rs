//! The settings of the operator's listener.

use std::{net::SocketAddr, path::Path, time::Duration};

use super::{
    reader::{ConfigErrors, Reader, Setting, section},
    tls::Tls,
};

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
