//! The settings of the log and of the export of traces.

use std::time::Duration;

use serde::Deserialize;
use tracing_subscriber::EnvFilter;
use url::Url;

use super::reader::{Setting, section};

/// The path for spans, below the base URL of a collector.
const TRACES: &str = "/v1/traces";

section! {
    /// The log.
    #[derive(Debug, Clone)]
    pub struct Log {
        /// The format of a line.
        pub format: LogFormat = value,
        /// The filter: directives of `tracing_subscriber`.
        pub filter: String = filter,
    }
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

section! {
    /// The export of traces.
    #[derive(Debug, Clone)]
    pub struct Telemetry {
        /// The URL of the collector for spans, if they are exported.
        pub collector: Option<String> = collector named "otlp_endpoint",
        /// The percentage of requests without a trace that start one.
        pub sample_percent: u32 = number(0..=100),
        /// Maximum number of spans that wait to be exported.
        pub queue_max: usize = number(1..),
        /// Time between two exports.
        pub every: Duration = milliseconds(1..) named "export",
        /// Time for one export.
        pub time: Duration = seconds(1..=3600) named "export",
    }
}

impl Setting<'_> {
    fn filter(mut self) -> Option<String> {
        let filter: String = self.value()?;
        if let Err(error) = EnvFilter::try_new(&filter) {
            self.complain(error);
        }
        Some(filter)
    }

    /// Reads the base URL of a collector, and appends the path for spans; an empty one means no collector.
    fn collector(mut self) -> Option<Option<String>> {
        let text: String = self.value()?;
        if text.is_empty() {
            return Some(None);
        }
        let url = Url::parse(&text).ok().filter(|it| {
            let is_bare = it.query().is_none() && it.fragment().is_none();
            it.scheme() == "http" && is_bare && it.username().is_empty() && it.password().is_none()
        });
        let Some(mut url) = url else {
            self.complain(
                "must be empty, or the http base URL of a collector, such as http://localhost:4318",
            );
            return None;
        };
        let path = format!("{}{TRACES}", url.path().trim_end_matches('/'));
        url.set_path(&path);
        Some(Some(url.into()))
    }
}

#[cfg(test)]
mod tests {
    use crate::config::Settings;

    /// Returns the collector's URL for an endpoint, or the error.
    fn read(endpoint: &str) -> Result<Option<String>, String> {
        let variables = [
            ("DATABASE_URL", "postgres://localhost/lmn"),
            ("LMN_TELEMETRY__OTLP_ENDPOINT", endpoint),
        ];
        let variables = variables.map(|(name, value)| (name.to_owned(), value.to_owned()));
        let settings = Settings::read(None, &variables).map_err(|it| it.0.join("; "))?;
        Ok(settings.telemetry.collector)
    }

    #[test]
    fn collector_is_set_by_its_base_url() {
        assert_eq!(read(""), Ok(None));
        for (endpoint, url) in [
            ("http://localhost:4318", "http://localhost:4318/v1/traces"),
            ("http://localhost:4318/", "http://localhost:4318/v1/traces"),
            ("http://otel", "http://otel/v1/traces"),
            ("http://otel:80", "http://otel/v1/traces"),
            ("http://[::1]:4318/a/b/", "http://[::1]:4318/a/b/v1/traces"),
        ] {
            assert_eq!(read(endpoint), Ok(Some(url.to_owned())), "{endpoint}");
        }
        for endpoint in [
            "localhost:4318",
            "https://otel:4318",
            "grpc://otel:4317",
            "http://",
            "http://user@otel:4318",
            "http://otel:4318/?x=1",
            "http://otel:4318/#x",
        ] {
            let error = read(endpoint).unwrap_err();
            assert!(
                error.starts_with("telemetry.otlp_endpoint: must be empty, or"),
                "{endpoint}: {error}"
            );
        }
    }
}
