//! [`Reader`]: the merged sources of the settings, and the errors found in them.

use std::{fmt, path::Path, time::Duration};

use config::{Config, File, FileFormat};
use serde::de::DeserializeOwned;

use super::{
    complaints::ConfigErrors,
    read::{DEFAULTS, OPERATOR_VARIABLE},
};

/// Reads typed values and collects the errors.
pub(super) struct Reader {
    written: Config,
    complaints: Vec<String>,
}

impl Reader {
    /// Merges the defaults, the file and the environment.
    pub(super) fn open(
        file: Option<&Path>,
        variables: &[(String, String)],
    ) -> Result<Self, ConfigErrors> {
        let mut builder = Config::builder().add_source(File::from_str(DEFAULTS, FileFormat::Toml));
        if let Some(path) = file {
            builder = builder.add_source(File::from(path).format(FileFormat::Toml));
        }
        let settings = variables
            .iter()
            .filter(|(name, _)| name != OPERATOR_VARIABLE);
        builder = builder.add_source(
            config::Environment::with_prefix("LMN")
                .prefix_separator("_")
                .separator("__")
                .try_parsing(true)
                .list_separator(",")
                .with_list_parse_key("gate.trusted_proxies")
                .with_list_parse_key("webhooks.ports")
                .with_list_parse_key("webhooks.open_networks")
                .source(Some(settings.cloned().collect())),
        );
        let written = builder
            .build()
            .map_err(|error| ConfigErrors::of_text(&error.to_string()))?;
        Ok(Self {
            written,
            complaints: Vec::new(),
        })
    }

    /// Returns `read`, or all errors if there are any.
    pub(super) fn close<T>(self, read: Option<T>) -> Result<T, ConfigErrors> {
        match read {
            Some(read) if self.complaints.is_empty() => Ok(read),
            _ => Err(ConfigErrors(self.complaints)),
        }
    }

    /// Adds an error for every key that the defaults do not contain, which is most likely misspelled.
    pub(super) fn refuse_unknown_keys(&mut self) {
        let known = Config::builder()
            .add_source(File::from_str(DEFAULTS, FileFormat::Toml))
            .build()
            .map(|defaults| leaves("", &defaults.cache))
            .unwrap_or_default();
        for key in leaves("", &self.written.cache) {
            if !known.contains(&key) {
                self.complain(&key, "is not a setting");
            }
        }
    }

    /// Reads a value of any type.
    pub(super) fn get<T: DeserializeOwned>(&mut self, key: &str) -> Option<T> {
        let value = self.written.get(key);
        value.map_err(|error| self.complain(key, error)).ok()
    }

    /// Reads an integer of at least 1.
    pub(super) fn positive(&mut self, key: &str) -> Option<u32> {
        let value = self.get(key)?;
        if value == 0 {
            self.complain(key, "must be at least 1");
        }
        Some(value)
    }

    /// Reads a number of seconds, from 1 to 3600.
    pub(super) fn seconds(&mut self, key: &str) -> Option<Duration> {
        let seconds = self.positive(key)?;
        if seconds > 3600 {
            self.complain(key, "must be at most 3600");
        }
        Some(Duration::from_secs(seconds.into()))
    }

    /// Reads a number of milliseconds, at least 1.
    pub(super) fn milliseconds(&mut self, key: &str) -> Option<Duration> {
        self.positive(key)
            .map(|value| Duration::from_millis(value.into()))
    }

    /// Adds an error that already names its key.
    pub(super) fn object(&mut self, complaint: impl fmt::Display) {
        self.complaints.push(complaint.to_string());
    }

    /// Adds an error for a key.
    pub(super) fn complain(&mut self, key: &str, what: impl fmt::Display) {
        self.complaints.push(format!("{key}: {what}"));
    }
}

/// Returns the dotted keys of all values below `value`.
pub(super) fn leaves(name: &str, value: &config::Value) -> Vec<String> {
    let config::ValueKind::Table(table) = &value.kind else {
        return vec![name.to_owned()];
    };
    let below = |key: &str| match name {
        "" => key.to_owned(),
        _ => format!("{name}.{key}"),
    };
    let members = table.iter();
    members
        .flat_map(|(key, value)| leaves(&below(key), value))
        .collect()
}
