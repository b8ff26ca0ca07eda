//! The settings: declaration, reading and validation.
//!
//! Each section is a struct, declared by the macro in [`reader`] together with the key, unit and bounds of each field:
//! a new setting is one field here and its default in `config/default.toml`. The defaults (compiled in) are overridden
//! by an optional file, and both by the environment. If settings are wrong, the start fails and all errors are printed
//! at once, each with its key.

mod database_url;
mod deprecations;
mod rate_limit;
mod reader;
mod sections;
mod telemetry;
mod tls;
mod variables;

use std::{collections::BTreeMap, ffi::OsString, path::Path};

use self::reader::{Reader, Setting, section};
pub(crate) use self::{
    database_url::parse as parse_database_url,
    tls::{Files, Pair, PairFault},
};
pub use self::{
    deprecations::Deprecation,
    rate_limit::{RateLimit, SharedLimits},
    reader::ConfigErrors,
    sections::{
        Catalogue, ClientAddressHeader, Database, Gate, Healthcheck, Jobs, Limits, Operator,
        RequestLog, Server, Webhooks,
    },
    telemetry::{Log, LogFormat, Telemetry},
    tls::Tls,
};
use crate::values::environment::Environment;

/// The defaults, which list all settings.
pub const DEFAULTS: &str = include_str!("../../config/default.toml");

/// The variable that names the person at the command line. It begins with `LMN_` but is not a setting.
pub(crate) const OPERATOR_VARIABLE: &str = "LMN_OPERATOR";

section! {
    /// All settings, resolved and validated.
    #[derive(Debug, Clone)]
    pub struct Settings {
        /// The environment of this deployment.
        pub environment: Environment = value,
        /// The base URL at which partners reach the API, without a trailing slash. It may have a path.
        pub public_url: String = public_url,
        /// The partners' listener.
        pub server: Server = section,
        /// The operator's listener.
        pub operator: Operator = section,
        /// The database.
        pub database: Database = section,
        /// Authentication and partner limits.
        pub gate: Gate = section,
        /// Limits of partners' requests in progress and of unknown keys.
        pub limits: Limits = section,
        /// Default rate limits of an API key.
        pub rate_limit: RateLimit = section,
        /// The request log.
        pub request_log: RequestLog = section,
        /// The scheduled order jobs.
        pub jobs: Jobs = section,
        /// The catalogue.
        pub catalogue: Catalogue = section,
        /// Webhook deliveries.
        pub webhooks: Webhooks = section,
        /// The log.
        pub log: Log = section,
        /// The export of traces.
        pub telemetry: Telemetry = section,
        /// The deprecated operations, by id.
        pub deprecations: BTreeMap<String, Deprecation> = by_operation,
    }
    rules {
        |database, server| database.statement < server.deadline
            => "database.statement_seconds: must be below server.deadline_seconds",
        |limits, server| limits.partner_requests_max <= server.requests_max
            => "limits.partner_requests_max: must be at most server.requests_max",
        |database, gate| database.heartbeat * 2 <= gate.key_trust
            => "database.heartbeat_milliseconds: must be at most half of gate.key_trust_milliseconds",
        |operator, server| operator.listen.port() == 0 || operator.listen != server.listen
            => "operator.listen: must differ from server.listen",
        |database, operator| database.heartbeat * 2 <= operator.database_silence
            => "operator.database_silence_milliseconds: must be at least twice database.heartbeat_milliseconds",
    }
}

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
        reader.read("")
    }
}

impl Setting<'_> {
    fn public_url(mut self) -> Option<String> {
        let url: String = self.value()?;
        let is_base = |uri: &hyper::Uri| {
            let is_http = matches!(uri.scheme_str(), Some("http" | "https"));
            is_http && uri.query().is_none() && !url.contains('#')
        };
        match url.parse() {
            Ok(uri) if is_base(&uri) => Some(url.trim_end_matches('/').to_owned()),
            _ => {
                self.complain("must be an http or https URL without a query");
                None
            }
        }
    }
}

/// Returns a warning for each environment variable that looks like the misspelled name of a setting.
pub(crate) fn find_slips(variables: &[(String, String)]) -> Vec<String> {
    // The defaults are compiled in, so they can be read.
    let keys = reader::defaults().map(|defaults| reader::keys(&defaults));
    variables::find_slips(variables, &keys.unwrap_or_default())
}

/// Returns the environment variables that are valid Unicode.
pub fn environment() -> Vec<(String, String)> {
    let text = |(name, value): (OsString, OsString)| {
        Some((name.into_string().ok()?, value.into_string().ok()?))
    };
    std::env::vars_os().filter_map(text).collect()
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use config::{Config, File, FileFormat};
    use ipnet::IpNet;

    use super::{reader::leaves, *};

    const URL: (&str, &str) = ("DATABASE_URL", "postgres://localhost/lmn");

    fn read(variables: &[(&str, &str)]) -> Result<Settings, ConfigErrors> {
        let owned = |(name, value): &(&str, &str)| ((*name).to_owned(), (*value).to_owned());
        let variables: Vec<_> = variables.iter().map(owned).collect();
        Settings::read(None, &variables)
    }

    /// Returns the errors without the variables that they name.
    fn errors(variables: &[(&str, &str)]) -> Vec<String> {
        let errors = read(variables).unwrap_err().0.into_iter();
        let bare = |error: String| match error.split_once(" (set by ") {
            Some((bare, _)) => bare.to_owned(),
            None => error,
        };
        errors.map(bare).collect()
    }

    #[test]
    fn error_names_the_variable_that_sets_the_setting() {
        for (name, error) in [
            (
                "LMN_WEBHOOKS__ALLOWED_CIDRS",
                "webhooks.allowed_cidrs: is not a setting (set by LMN_WEBHOOKS__ALLOWED_CIDRS)",
            ),
            (
                "LMN_GATE__KEY_USE_SECONDS",
                "gate.key_use_seconds: must be at least 1 (set by LMN_GATE__KEY_USE_SECONDS)",
            ),
        ] {
            assert_eq!(read(&[URL, (name, "0")]).unwrap_err().0, [error]);
        }
        let wrong = read(&[("DATABASE_URL", "mysql://localhost")]).unwrap_err();
        let error = "database.url: must begin with postgres:// (set by DATABASE_URL)";
        assert_eq!(wrong.0, [error]);
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
        let defaults = defaults.build().unwrap();
        let settings = leaves("", &defaults.cache);
        assert!(settings.len() > 25);
        for (key, _) in settings {
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
    fn relations_between_settings_are_checked() {
        for (setting, error) in [
            (
                ("LMN_DATABASE__LOCK_SECONDS", "8"),
                "database.lock_seconds: must be below database.statement_seconds",
            ),
            (
                ("LMN_SERVER__DEADLINE_SECONDS", "8"),
                "database.statement_seconds: must be below server.deadline_seconds",
            ),
            (
                ("LMN_SERVER__DRAIN_GRACE_MILLISECONDS", "30000"),
                "server.drain_grace_milliseconds: must be below server.stop_seconds",
            ),
            (
                ("LMN_SERVER__REQUESTS_MAX", "127"),
                "limits.partner_requests_max: must be at most server.requests_max",
            ),
            (
                ("LMN_GATE__KEY_TRUST_MILLISECONDS", "499"),
                "database.heartbeat_milliseconds: must be at most half of gate.key_trust_milliseconds",
            ),
            (
                ("LMN_SERVER__LISTEN", "127.0.0.1:9090"),
                "operator.listen: must differ from server.listen",
            ),
            (
                ("LMN_OPERATOR__DATABASE_SILENCE_MILLISECONDS", "499"),
                "operator.database_silence_milliseconds: must be at least twice database.heartbeat_milliseconds",
            ),
        ] {
            assert_eq!(errors(&[URL, setting]), [error]);
        }
    }

    #[test]
    fn public_url_may_have_a_path_but_no_query() {
        for (given, expected) in [
            ("https://api.example.com/", "https://api.example.com"),
            (
                "https://gateway.example.com/lmn/v2/",
                "https://gateway.example.com/lmn/v2",
            ),
        ] {
            let settings = read(&[URL, ("LMN_PUBLIC_URL", given)]).unwrap();
            assert_eq!(settings.public_url, expected);
        }
        for given in [
            "https://api.example.com/?a=b",
            "https://api.example.com/#a",
            "ftp://a",
            "/lmn",
        ] {
            assert_eq!(
                errors(&[URL, ("LMN_PUBLIC_URL", given)]),
                ["public_url: must be an http or https URL without a query"]
            );
        }
    }

    #[test]
    fn settings_beyond_their_bounds_are_refused() {
        for (name, value, error) in [
            (
                "LMN_GATE__KEY_USE_SECONDS",
                "0",
                "gate.key_use_seconds: must be at least 1",
            ),
            (
                "LMN_GATE__KEY_USE_SECONDS",
                "3601",
                "gate.key_use_seconds: must be at most 3600",
            ),
            (
                "LMN_CATALOGUE__STALENESS_MILLISECONDS",
                "1001",
                "catalogue.staleness_milliseconds: must be at most 1000",
            ),
            (
                "LMN_TELEMETRY__SAMPLE_PERCENT",
                "101",
                "telemetry.sample_percent: must be at most 100",
            ),
        ] {
            assert_eq!(errors(&[URL, (name, value)]), [error]);
        }
        let uncached = read(&[URL, ("LMN_CATALOGUE__CACHE_MEBIBYTES", "0")]).unwrap();
        assert_eq!(uncached.catalogue.cache_bytes, 0);
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
    fn database_url_is_trimmed_and_an_empty_variable_is_not_set() {
        use secrecy::ExposeSecret;
        let url_of = |variables: &[(&str, &str)]| {
            let settings = read(variables)?;
            Ok::<_, ConfigErrors>(settings.database.url.expose_secret().to_owned())
        };
        let wanted = "postgres://localhost/lmn";
        let padded = [("DATABASE_URL", " postgres://localhost/lmn\r\n")];
        assert_eq!(url_of(&padded).unwrap(), wanted);
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), "postgres://localhost/lmn\n").unwrap();
        let file = ("DATABASE_URL_FILE", file.path().to_str().unwrap());
        for empty in ["", " \n"] {
            assert_eq!(url_of(&[("DATABASE_URL", empty), file]).unwrap(), wanted);
            let errors = url_of(&[("DATABASE_URL", empty)]).unwrap_err();
            assert!(errors.lack_only_the_database(), "{errors}");
        }
    }

    #[test]
    fn secrets_are_not_printed() {
        let settings = read(&[("DATABASE_URL", "postgres://lmn:hunter2@localhost/lmn")]).unwrap();
        assert!(!format!("{settings:?}").contains("hunter2"));
    }
}
