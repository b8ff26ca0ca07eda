//! The settings of deprecated operations: a section for each, named by the id of the operation.

use std::collections::BTreeMap;

use chrono::{DateTime, Utc};
use config::Value;
use url::Url;

use super::reader::{Setting, section};

/// The beginning of the keys of these settings.
const PREFIX: &str = "deprecations.";
/// The names of the settings of an operation.
const NAMES: [&str; 3] = ["deprecated_at", "sunset_at", "link"];

section! {
    /// The announcement that an operation will go away.
    #[derive(Debug, Clone)]
    pub struct Deprecation {
        /// The time from which the operation is deprecated.
        pub deprecated_at: DateTime<Utc> = time,
        /// The time after which it may stop.
        pub sunset_at: DateTime<Utc> = time_from(deprecated_at),
        /// The URL of the announcement.
        pub link: Url = link,
    }
}

impl Deprecation {
    /// Returns the names and values of the response headers that announce it (RFC 9745, RFC 8594).
    pub(crate) fn headers(&self) -> [(&'static str, String); 3] {
        let since = self.deprecated_at.timestamp();
        let sunset = self.sunset_at.format("%a, %d %b %Y %H:%M:%S GMT");
        [
            ("Deprecation", format!("@{since}")),
            ("Sunset", sunset.to_string()),
            ("Link", format!("<{}>; rel=\"deprecation\"", self.link)),
        ]
    }
}

/// Returns whether a key is that of a setting of an operation, which the defaults do not list.
pub(super) fn is_setting(key: &str) -> bool {
    let key = key.strip_prefix(PREFIX);
    let name = key.and_then(|it| it.split_once('.'));
    name.is_some_and(|(_, name)| NAMES.contains(&name))
}

impl Setting<'_> {
    /// Reads the section of every operation that has one.
    pub(super) fn by_operation(mut self) -> Option<BTreeMap<String, Deprecation>> {
        let operations: BTreeMap<String, Value> = self.value()?;
        let read = operations.into_keys().map(|id| {
            let deprecation: Option<Deprecation> = self.below(&id).section();
            Some((id, deprecation?))
        });
        // Every section is read before any is unwrapped, so that all errors are reported at once.
        let read: Vec<_> = read.collect();
        read.into_iter().collect()
    }

    /// Reads an RFC 3339 time.
    fn time(&mut self) -> Option<DateTime<Utc>> {
        let text: String = self.value()?;
        let time = DateTime::parse_from_rfc3339(&text).ok();
        if time.is_none() {
            self.complain("must be a time, such as 2027-01-01T00:00:00Z");
        }
        time.map(|it| it.to_utc())
    }

    /// Reads a time that is not before the time of deprecation.
    fn time_from(&mut self, deprecated_at: Option<DateTime<Utc>>) -> Option<DateTime<Utc>> {
        let time = self.time()?;
        if deprecated_at.is_some_and(|it| time < it) {
            self.complain("must not be before deprecated_at");
        }
        Some(time)
    }

    fn link(mut self) -> Option<Url> {
        let text: String = self.value()?;
        let url = Url::parse(&text).ok();
        let url = url.filter(|it| matches!(it.scheme(), "http" | "https"));
        if url.is_none() {
            self.complain("must be an http or https URL");
        }
        url
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;
    use crate::config::Settings;

    /// A valid file; the times are written as TOML's own, and as text.
    const FILE: &str = r#"
[deprecations.list_vehicles]
deprecated_at = 2027-01-01T00:00:00Z
sunset_at = "2028-01-01T09:00:00+09:00"
link = "https://lmn.example/docs/changelog"
"#;

    /// Returns the headers of each operation of a file, or the errors.
    fn read(text: &str) -> Result<BTreeMap<String, [String; 3]>, Vec<String>> {
        let file = tempfile::NamedTempFile::new().unwrap();
        fs::write(file.path(), text).unwrap();
        let url = (
            "DATABASE_URL".to_owned(),
            "postgres://localhost/lmn".to_owned(),
        );
        let settings = Settings::read(Some(file.path()), &[url]).map_err(|it| it.0)?;
        let read = settings.deprecations.iter().map(|(id, it)| {
            let headers = it.headers().map(|(name, value)| format!("{name}: {value}"));
            (id.clone(), headers)
        });
        Ok(read.collect())
    }

    #[test]
    fn operation_is_announced_by_three_headers() {
        assert_eq!(read(""), Ok(BTreeMap::new()));
        let headers = [
            "Deprecation: @1798761600",
            "Sunset: Sat, 01 Jan 2028 00:00:00 GMT",
            "Link: <https://lmn.example/docs/changelog>; rel=\"deprecation\"",
        ];
        let expected = ("list_vehicles".to_owned(), headers.map(str::to_owned));
        assert_eq!(read(FILE), Ok(BTreeMap::from([expected])));
        // The sunset may coincide with the deprecation.
        assert!(read(&FILE.replace("2028-01-01T09", "2027-01-01T09")).is_ok());
    }

    #[test]
    fn wrong_announcements_are_refused() {
        for (right, wrong, errors) in [
            (
                "2028-01-01T09:00:00",
                "2027-01-01T08:59:59",
                &["sunset_at: must not be before deprecated_at"][..],
            ),
            (
                "2028-01-01T09:00:00+09:00",
                "2028-01-01",
                &["sunset_at: must be a time, such as 2027-01-01T00:00:00Z"],
            ),
            (
                "https://lmn.example",
                "",
                &["link: must be an http or https URL"],
            ),
            (
                "https:",
                "javascript:",
                &["link: must be an http or https URL"],
            ),
            (
                "link = ",
                "links = ",
                &[
                    "links: is not a setting",
                    "link: missing configuration field",
                ],
            ),
        ] {
            let found = read(&FILE.replace(right, wrong)).unwrap_err();
            assert_eq!(found.len(), errors.len(), "{found:?}");
            for (found, error) in found.iter().zip(errors) {
                let expected = format!("deprecations.list_vehicles.{error}");
                assert!(found.starts_with(&expected), "{found}");
            }
        }
    }
}
