//! Reading of `[telemetry]`.

use url::{Host, Url};

use super::{
    model::{Collector, Telemetry},
    reader::Reader,
};

/// The path for spans, below the base URL of a collector.
const TRACES: &str = "/v1/traces";

impl Reader {
    /// Reads the section.
    pub(super) fn telemetry(&mut self) -> Option<Telemetry> {
        let collector = self.collector("telemetry.otlp_endpoint");
        let sample_percent = self.get("telemetry.sample_percent");
        if sample_percent.is_some_and(|it: u32| it > 100) {
            self.complain("telemetry.sample_percent", "must be at most 100");
        }
        let queue_max = self.positive("telemetry.queue_max");
        let every = self.milliseconds("telemetry.export_milliseconds");
        let time = self.seconds("telemetry.export_seconds");
        Some(Telemetry {
            collector: collector?,
            sample_percent: sample_percent?,
            queue_max: usize::try_from(queue_max?).ok()?,
            every: every?,
            time: time?,
        })
    }

    /// Reads the base URL of a collector; an empty one means no collector.
    fn collector(&mut self, key: &str) -> Option<Option<Collector>> {
        let text: String = self.get(key)?;
        if text.is_empty() {
            return Some(None);
        }
        let url = Url::parse(&text).ok().filter(|it| {
            let is_bare = it.query().is_none() && it.fragment().is_none();
            it.scheme() == "http" && is_bare && it.username().is_empty() && it.password().is_none()
        });
        let read = url.and_then(|url| {
            let host = match url.host()? {
                Host::Domain(name) => name.to_owned(),
                Host::Ipv4(address) => address.to_string(),
                Host::Ipv6(address) => format!("[{address}]"),
            };
            Some(Collector {
                authority: format!("{host}:{}", url.port_or_known_default()?),
                path: format!("{}{TRACES}", url.path().trim_end_matches('/')),
            })
        });
        if read.is_none() {
            self.complain(
                key,
                "must be empty, or the http base URL of a collector, such as http://localhost:4318",
            );
        }
        Some(read)
    }
}

#[cfg(test)]
mod tests {
    use crate::config::Settings;

    /// Returns the authority and the path for an endpoint, or its error.
    fn read(endpoint: &str) -> Result<Option<(String, String)>, String> {
        let variables = [
            ("DATABASE_URL", "postgres://localhost/lmn"),
            ("LMN_TELEMETRY__OTLP_ENDPOINT", endpoint),
        ];
        let variables = variables.map(|(name, value)| (name.to_owned(), value.to_owned()));
        let settings = Settings::read(None, &variables).map_err(|it| it.0.join("; "))?;
        let collector = settings.telemetry.collector;
        Ok(collector.map(|it| (it.authority, it.path)))
    }

    #[test]
    fn collector_is_set_by_its_base_url() {
        assert_eq!(read(""), Ok(None));
        for (endpoint, authority, path) in [
            ("http://localhost:4318", "localhost:4318", "/v1/traces"),
            ("http://localhost:4318/", "localhost:4318", "/v1/traces"),
            ("http://otel", "otel:80", "/v1/traces"),
            ("http://[::1]:4318/a/b", "[::1]:4318", "/a/b/v1/traces"),
        ] {
            let expected = Some((authority.to_owned(), path.to_owned()));
            assert_eq!(read(endpoint), Ok(expected), "{endpoint}");
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
