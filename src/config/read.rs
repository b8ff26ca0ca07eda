//! Reading of the settings: from text to [`Settings`], with all errors at once.

use std::{ffi::OsString, net::IpAddr, path::Path, time::Duration};

use ipnet::IpNet;
use secrecy::SecretString;

use super::{
    complaints::ConfigErrors,
    model::{Catalogue, Database, Gate, Limits, Log, Server, Settings, Sweeps},
    reader::Reader,
};
use crate::values::network::canonical;

/// The defaults, which list all settings.
pub const DEFAULTS: &str = include_str!("../../config/default.toml");

/// The variable that names the person at the command line. It begins with `LMN_` but is not a setting.
pub(crate) const OPERATOR_VARIABLE: &str = "LMN_OPERATOR";

/// The maximum staleness of the catalogue that the API promises.
const STALENESS_MAX: Duration = Duration::from_secs(1);

impl Settings {
    /// Reads the settings of this process: defaults, then `file`, then the environment.
    pub fn load(file: Option<&Path>) -> Result<Self, ConfigErrors> {
        Self::read(file, &environment())
    }

    /// Reads the settings for a command without a database, so that no database URL is required.
    pub fn load_without_database(file: Option<&Path>) -> Result<Self, ConfigErrors> {
        let mut variables = environment();
        variables.push(("DATABASE_URL".into(), "postgres://nowhere".into()));
        Self::read(file, &variables)
    }

    /// Reads the settings with the given environment variables.
    pub fn read(file: Option<&Path>, variables: &[(String, String)]) -> Result<Self, ConfigErrors> {
        let mut reader = Reader::open(file, variables)?;
        reader.refuse_unknown_keys();
        let settings = reader.settings(variables);
        reader.close(settings)
    }
}

/// Returns the environment variables that are valid Unicode.
pub fn environment() -> Vec<(String, String)> {
    let text = |(name, value): (OsString, OsString)| {
        Some((name.into_string().ok()?, value.into_string().ok()?))
    };
    std::env::vars_os().filter_map(text).collect()
}

impl Reader {
    fn settings(&mut self, variables: &[(String, String)]) -> Option<Settings> {
        // Every section is read before any is unwrapped, so that all errors are reported at once.
        let environment = self.get("environment");
        let public_url = self.public_url();
        let server = self.server();
        let operator = self.operator();
        let database = self.database(variables);
        let gate = self.gate();
        let limits = self.limits();
        let rate_limit = self.rate_limit();
        let sweeps = self.sweeps();
        let catalogue = self.catalogue();
        let webhooks = self.webhooks();
        let (log, telemetry) = (self.log(), self.telemetry());
        self.check_nesting(
            server.as_ref(),
            database.as_ref(),
            gate.as_ref(),
            limits.as_ref(),
        );
        self.check_operator(operator.as_ref(), server.as_ref(), database.as_ref());
        Some(Settings {
            environment: environment?,
            public_url: public_url?,
            server: server?,
            operator: operator?,
            database: database?,
            gate: gate?,
            limits: limits?,
            rate_limit: rate_limit?,
            sweeps: sweeps?,
            catalogue: catalogue?,
            webhooks: webhooks?,
            log: log?,
            telemetry: telemetry?,
        })
    }

    fn server(&mut self) -> Option<Server> {
        let listen = self.get("server.listen");
        let connections_max = self.positive("server.connections_max");
        let requests_max = self.positive("server.requests_max");
        let first_byte = self.seconds("server.first_byte_seconds");
        let header = self.seconds("server.header_seconds");
        let idle = self.seconds("server.idle_seconds");
        let write = self.seconds("server.write_seconds");
        let body = self.seconds("server.body_seconds");
        let body_bytes_max = self.positive("server.body_bytes_max");
        let deadline = self.seconds("server.deadline_seconds");
        let stop = self.seconds("server.stop_seconds");
        let tls = self.tls();
        Some(Server {
            listen: listen?,
            connections_max: usize::try_from(connections_max?).ok()?,
            requests_max: usize::try_from(requests_max?).ok()?,
            first_byte: first_byte?,
            header: header?,
            idle: idle?,
            write: write?,
            body: body?,
            body_bytes_max: usize::try_from(body_bytes_max?).ok()?,
            deadline: deadline?,
            stop: stop?,
            tls: tls?,
        })
    }

    fn database(&mut self, variables: &[(String, String)]) -> Option<Database> {
        let url = self.database_url(variables);
        let connections_max = self.positive("database.connections_max");
        let batch_statements = self.positive("database.batch_statements_max");
        let batch_rows = self.positive("database.batch_rows_max");
        let acquire = self.seconds("database.acquire_seconds");
        let lock = self.seconds("database.lock_seconds");
        let statement = self.seconds("database.statement_seconds");
        let heartbeat = self.milliseconds("database.heartbeat_milliseconds");
        Some(Database {
            url: url?,
            connections_max: connections_max?,
            batch_statements: usize::try_from(batch_statements?).ok()?,
            batch_rows: usize::try_from(batch_rows?).ok()?,
            acquire: acquire?,
            lock: lock?,
            statement: statement?,
            heartbeat: heartbeat?,
        })
    }

    fn gate(&mut self) -> Option<Gate> {
        let trusted_proxies = self.networks("gate.trusted_proxies");
        let client_address_header = self.get("gate.client_address_header");
        let keys_cached_max = self.positive("gate.keys_cached_max");
        let key_trust = self.milliseconds("gate.key_trust_milliseconds");
        let key_use = self.seconds("gate.key_use_seconds");
        Some(Gate {
            trusted_proxies: trusted_proxies?,
            client_address_header: client_address_header?,
            keys_cached_max: keys_cached_max?.into(),
            key_trust: key_trust?,
            key_use: key_use?,
        })
    }

    fn limits(&mut self) -> Option<Limits> {
        let partner_requests_max = self.positive("limits.partner_requests_max");
        let partner_writes_max = self.positive("limits.partner_writes_max");
        let partner_write_wait = self.seconds("limits.partner_write_wait_seconds");
        let unknown_key_addresses_max = self.positive("limits.unknown_key_addresses_max");
        let unknown_key = self.policy("limits.unknown_key");
        Some(Limits {
            partner_requests_max: usize::try_from(partner_requests_max?).ok()?,
            partner_writes_max: usize::try_from(partner_writes_max?).ok()?,
            partner_write_wait: partner_write_wait?,
            unknown_key_addresses_max: unknown_key_addresses_max?.into(),
            unknown_key: unknown_key?,
        })
    }

    /// Reads networks, with IPv4-mapped ones as IPv4. A single address is a network of one address.
    pub(super) fn networks(&mut self, key: &str) -> Option<Vec<IpNet>> {
        let texts: Vec<String> = self.get(key)?;
        let mut networks = Vec::with_capacity(texts.len());
        for text in texts
            .iter()
            .map(|text| text.trim())
            .filter(|text| !text.is_empty())
        {
            let address = || text.parse::<IpAddr>().map(IpNet::from).ok();
            match text.parse().ok().or_else(address) {
                Some(network) => networks.push(canonical(network)),
                None => self.complain(key, format!("`{text}` is neither an address nor a network")),
            }
        }
        Some(networks)
    }

    fn sweeps(&mut self) -> Option<Sweeps> {
        let interval = self.seconds("sweeps.interval_seconds");
        let batch = self.positive("sweeps.batch");
        let clock_batch = self.positive("sweeps.clock_batch");
        Some(Sweeps {
            interval: interval?,
            batch: batch?.into(),
            clock_batch: clock_batch?.into(),
        })
    }

    fn catalogue(&mut self) -> Option<Catalogue> {
        let staleness = self.milliseconds("catalogue.staleness_milliseconds");
        let cache_mebibytes: Option<u32> = self.get("catalogue.cache_mebibytes");
        let changes = self.seconds("catalogue.changes_seconds");
        let render = self.seconds("catalogue.render_seconds");
        let render_batch = self.positive("catalogue.render_batch");
        if staleness.is_some_and(|it| it > STALENESS_MAX) {
            self.complain("catalogue.staleness_milliseconds", "must be at most 1000");
        }
        Some(Catalogue {
            staleness: staleness?,
            cache_bytes: u64::from(cache_mebibytes?) * 1024 * 1024,
            changes: changes?,
            render: render?,
            render_batch: render_batch?.into(),
        })
    }

    fn log(&mut self) -> Option<Log> {
        let format = self.get("log.format");
        let filter: Option<String> = self.get("log.filter");
        if let Some(Err(error)) = filter.as_ref().map(tracing_subscriber::EnvFilter::try_new) {
            self.complain("log.filter", error);
        }
        Some(Log {
            format: format?,
            filter: filter?,
        })
    }

    fn public_url(&mut self) -> Option<String> {
        let url: String = self.get("public_url")?;
        match url.parse::<hyper::Uri>() {
            Ok(uri) if matches!(uri.scheme_str(), Some("http" | "https")) => {
                Some(url.trim_end_matches('/').to_owned())
            }
            _ => {
                self.complain("public_url", "must be an http or https URL");
                None
            }
        }
    }

    fn database_url(&mut self, variables: &[(String, String)]) -> Option<SecretString> {
        let variable = |name| variables.iter().find(|(key, _)| key == name);
        let url = match (variable("DATABASE_URL"), variable("DATABASE_URL_FILE")) {
            (Some((_, url)), _) => url.clone(),
            (None, Some((_, path))) => match std::fs::read_to_string(path) {
                Ok(url) => url.trim().to_owned(),
                Err(error) => {
                    self.complain("DATABASE_URL_FILE", format!("{path}: {error}"));
                    return None;
                }
            },
            (None, None) => self.get("database.url")?,
        };
        if url.is_empty() {
            self.complain("database.url", "is not set; set DATABASE_URL");
        } else if !url.starts_with("postgres://") && !url.starts_with("postgresql://") {
            self.complain("database.url", "must begin with postgres://");
        }
        Some(url.into())
    }

    /// Checks the relations between settings of several sections.
    fn check_nesting(
        &mut self,
        server: Option<&Server>,
        database: Option<&Database>,
        gate: Option<&Gate>,
        limits: Option<&Limits>,
    ) {
        if database.is_some_and(|it| it.lock >= it.statement) {
            self.complain(
                "database.lock_seconds",
                "must be below database.statement_seconds",
            );
        }
        let outlasts_deadline =
            |server: &Server| database.is_some_and(|it| it.statement >= server.deadline);
        if server.is_some_and(outlasts_deadline) {
            self.complain(
                "database.statement_seconds",
                "must be below server.deadline_seconds",
            );
        }
        if let (Some(limits), Some(server)) = (limits, server)
            && limits.partner_requests_max > server.requests_max
        {
            self.complain(
                "limits.partner_requests_max",
                "must be at most server.requests_max",
            );
        }
        if gate.is_some_and(|it| it.key_trust > Duration::from_secs(1)) {
            self.complain("gate.key_trust_milliseconds", "must be at most 1000");
        }
        if let (Some(gate), Some(database)) = (gate, database)
            && database.heartbeat * 2 > gate.key_trust
        {
            self.complain(
                "database.heartbeat_milliseconds",
                "must be at most half of gate.key_trust_milliseconds",
            );
        }
    }
}

#[cfg(test)]
mod tests {
    use config::{Config, File, FileFormat};

    use super::*;
    use crate::{config::reader::leaves, values::environment::Environment};

    const URL: (&str, &str) = ("DATABASE_URL", "postgres://localhost/lmn");

    fn read(variables: &[(&str, &str)]) -> Result<Settings, ConfigErrors> {
        let owned = |(name, value): &(&str, &str)| ((*name).to_owned(), (*value).to_owned());
        let variables: Vec<_> = variables.iter().map(owned).collect();
        Settings::read(None, &variables)
    }

    #[test]
    fn defaults_are_valid_except_for_the_database_url() {
        let settings = read(&[URL]).unwrap();
        assert_eq!(settings.environment, Environment::Sandbox);
        assert_eq!(settings.server.deadline, Duration::from_secs(10));
        let complaints = read(&[("LMN_OPERATOR", "kim")]).unwrap_err();
        assert_eq!(complaints.0, ["database.url: is not set; set DATABASE_URL"]);
        assert!(complaints.lack_only_the_database());
    }

    #[test]
    fn every_setting_of_the_defaults_is_read() {
        let defaults = Config::builder().add_source(File::from_str(DEFAULTS, FileFormat::Toml));
        let keys = leaves("", &defaults.build().unwrap().cache);
        assert!(keys.len() > 25);
        for key in keys {
            let variable = format!("LMN_{}", key.replace('.', "__").to_uppercase());
            let variables = match key.as_str() {
                "database.url" => vec![(variable.as_str(), "no=such=thing")],
                _ => vec![URL, (variable.as_str(), "no=such=thing")],
            };
            let complaints = read(&variables).expect_err(&key).0;
            assert!(
                complaints
                    .iter()
                    .all(|it| it.starts_with(&format!("{key}: "))),
                "{complaints:?}"
            );
        }
    }

    #[test]
    fn lists_are_separated_by_commas_and_single_addresses_are_networks() {
        let settings = read(&[URL, ("LMN_GATE__TRUSTED_PROXIES", "10.0.0.0/8, ::1")]).unwrap();
        let expected: Vec<IpNet> = ["10.0.0.0/8", "::1/128"]
            .iter()
            .map(|it| it.parse().unwrap())
            .collect();
        assert_eq!(settings.gate.trusted_proxies, expected);
    }

    #[test]
    fn networks_of_ipv4_mapped_addresses_are_read_as_ipv4() {
        let mapped = "::ffff:127.0.0.0/104,::ffff:10.0.0.1";
        let names = ["LMN_GATE__TRUSTED_PROXIES", "LMN_WEBHOOKS__OPEN_NETWORKS"];
        let settings = read(&[URL, (names[0], mapped), (names[1], mapped)]).unwrap();
        let expected: [IpNet; 2] = ["127.0.0.0/8", "10.0.0.1/32"].map(|it| it.parse().unwrap());
        assert_eq!(settings.gate.trusted_proxies, expected);
        assert_eq!(settings.webhooks.guard.open_networks, expected);
    }

    #[test]
    fn secrets_are_not_printed() {
        let settings = read(&[("DATABASE_URL", "postgres://lmn:hunter2@localhost/lmn")]).unwrap();
        assert!(!format!("{settings:?}").contains("hunter2"));
    }
}
