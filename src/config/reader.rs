//! Reading of the settings: the merged sources, and the macro `section!` that declares a section of them.

use std::{
    fmt,
    ops::{Bound, RangeBounds},
    path::Path,
    time::Duration,
};

use config::{Config, ConfigError, Environment, File, FileFormat, Value, ValueKind};
use serde::de::DeserializeOwned;

use super::{
    DEFAULTS, deprecations,
    variables::{find_setters, is_setting},
};

/// Declares a section of settings, and how it is read.
///
/// A field `$field: $type = $form` is a setting. Its form is the method of [`Setting`] that reads it and checks its
/// bounds. Its key is the key of the section, a dot, the name of the field (or the one after `named`), and the unit if
/// the form has one: `lock: Duration = seconds(1..=60)` in `[database]` is `database.lock_seconds`. The arguments of a
/// form may use the fields above it.
///
/// The `rules` are relations between fields: `|fields| condition => error`. A rule is checked if its fields could be
/// read.
macro_rules! section {
    (@name $field:ident $name:literal) => { $name };
    (@name $field:ident) => { stringify!($field) };
    (
        $(#[$meta:meta])*
        pub struct $section:ident {
            $(
                $(#[$doc:meta])*
                $visibility:vis $field:ident: $type:ty =
                    $form:ident $(($($argument:expr),*))? $(named $name:literal)?,
            )*
        }
        $(rules { $(|$($used:ident),+| $holds:expr => $error:literal,)+ })?
    ) => {
        $(#[$meta])*
        pub struct $section {
            $($(#[$doc])* $visibility $field: $type,)*
        }

        impl $crate::config::reader::Section for $section {
            fn read_from(mut section: $crate::config::reader::Setting<'_>) -> Option<Self> {
                // Every field is read before any is unwrapped, so that all errors are reported at once.
                $(
                    let $field: Option<$type> =
                        section.below(section!(@name $field $($name)?)).$form($($($argument),*)?);
                )*
                $($(
                    if let ($(Some($used),)+) = ($($used.as_ref(),)+) && !$holds {
                        section.report($error);
                    }
                )+)?
                Some(Self { $($field: $field?,)* })
            }
        }
    };
}
pub(super) use section;

/// A section of settings, declared by `section!`.
pub(super) trait Section: Sized {
    /// Reads all settings of the section, and reports all errors. Returns `None` if a setting has no value.
    fn read_from(section: Setting<'_>) -> Option<Self>;
}

/// The merged sources, and the errors found in them.
pub(super) struct Reader {
    defaults: Config,
    merged: Config,
    variables: Vec<(String, String)>,
    errors: Vec<String>,
}

impl Reader {
    /// Merges the defaults, the file and the environment.
    pub(super) fn open(
        file: Option<&Path>,
        variables: &[(String, String)],
    ) -> Result<Self, ConfigErrors> {
        let (defaults, merged) = merge(file, variables).map_err(|it| ConfigErrors::of(&it))?;
        Ok(Self {
            defaults,
            merged,
            variables: variables.to_vec(),
            errors: Vec::new(),
        })
    }

    /// Reports every key that the defaults do not contain, which is most likely misspelled.
    pub(super) fn refuse_unknown_keys(&mut self) {
        let known = keys(&self.defaults);
        for key in keys(&self.merged) {
            if !known.contains(&key) && !deprecations::is_setting(&key) {
                self.errors.push(format!("{key}: is not a setting"));
            }
        }
    }

    /// Reads a section, of which `""` is the one that contains all others. Returns all errors if there are any.
    pub(super) fn read<T: Section>(mut self, key: &str) -> Result<T, ConfigErrors> {
        let section = T::read_from(Setting {
            reader: &mut self,
            key: key.to_owned(),
        });
        match section {
            Some(section) if self.errors.is_empty() => Ok(section),
            _ => {
                let errors = self.errors.iter();
                let errors = errors.map(|error| name_setters(error, &self.variables));
                Err(ConfigErrors(errors.collect()))
            }
        }
    }
}

/// Returns an error, which begins with a key, together with the variables that set it, as they were written.
fn name_setters(error: &str, variables: &[(String, String)]) -> String {
    let setters = match error.split_once(": ") {
        Some((key, reason)) if reason != NO_DATABASE => find_setters(variables, key),
        _ => Vec::new(),
    };
    match setters.join(", ") {
        setters if setters.is_empty() => error.to_owned(),
        setters => format!("{error} (set by {setters})"),
    }
}

/// Returns the defaults, and the defaults overridden by the file and by the environment.
fn merge(
    file: Option<&Path>,
    variables: &[(String, String)],
) -> Result<(Config, Config), ConfigError> {
    let defaults = defaults()?;
    let keys = keys(&defaults);
    let settings = variables.iter().filter(|(name, _)| is_setting(name, &keys));
    let mut environment = Environment::with_prefix("LMN")
        .prefix_separator("_")
        .separator("__")
        .try_parsing(true)
        .list_separator(",")
        .source(Some(settings.cloned().collect()));
    for (key, default) in leaves("", &defaults.cache) {
        if matches!(default.kind, ValueKind::Array(_)) {
            environment = environment.with_list_parse_key(&key);
        }
    }
    let mut merged = Config::builder().add_source(defaults.clone());
    if let Some(path) = file {
        merged = merged.add_source(File::from(path).format(FileFormat::Toml));
    }
    Ok((defaults, merged.add_source(environment).build()?))
}

/// Returns the defaults, which list all settings.
pub(super) fn defaults() -> Result<Config, ConfigError> {
    let defaults = File::from_str(DEFAULTS, FileFormat::Toml);
    Config::builder().add_source(defaults).build()
}

/// Returns the keys of all settings.
pub(super) fn keys(defaults: &Config) -> Vec<String> {
    let leaves = leaves("", &defaults.cache).into_iter();
    leaves.map(|(key, _)| key).collect()
}

/// Returns all values below `value`, with their keys.
pub(super) fn leaves<'a>(key: &str, value: &'a Value) -> Vec<(String, &'a Value)> {
    let ValueKind::Table(table) = &value.kind else {
        return vec![(key.to_owned(), value)];
    };
    let members = table.iter();
    members
        .flat_map(|(name, value)| leaves(&join(key, name), value))
        .collect()
}

/// Returns the key of a setting in a section.
fn join(section: &str, name: &str) -> String {
    match section {
        "" => name.to_owned(),
        _ => format!("{section}.{name}"),
    }
}

/// A setting or section that is being read. Its methods are the forms that `section!` uses.
pub(super) struct Setting<'a> {
    reader: &'a mut Reader,
    key: String,
}

impl Setting<'_> {
    /// Reads a value of any type.
    pub(super) fn value<T: DeserializeOwned>(&mut self) -> Option<T> {
        let value = self.reader.merged.get(&self.key);
        value.map_err(|error| self.complain(error)).ok()
    }

    /// Reads an integer within inclusive bounds.
    pub(super) fn number<T: TryFrom<u32>>(mut self, bounds: impl RangeBounds<u32>) -> Option<T> {
        let number: u32 = self.value()?;
        match (bounds.start_bound(), bounds.end_bound()) {
            (Bound::Included(least), _) if number < *least => {
                self.complain(format_args!("must be at least {least}"));
            }
            (_, Bound::Included(most)) if number > *most => {
                self.complain(format_args!("must be at most {most}"));
            }
            _ => {}
        }
        T::try_from(number).ok()
    }

    /// Reads a number of seconds.
    pub(super) fn seconds(self, bounds: impl RangeBounds<u32>) -> Option<Duration> {
        let seconds = self.in_unit("seconds").number(bounds);
        seconds.map(Duration::from_secs)
    }

    /// Reads a number of milliseconds.
    pub(super) fn milliseconds(self, bounds: impl RangeBounds<u32>) -> Option<Duration> {
        let milliseconds = self.in_unit("milliseconds").number(bounds);
        milliseconds.map(Duration::from_millis)
    }

    /// Reads a number of mebibytes, as bytes.
    pub(super) fn mebibytes(self, bounds: impl RangeBounds<u32>) -> Option<u64> {
        let mebibytes: Option<u64> = self.in_unit("mebibytes").number(bounds);
        mebibytes.map(|it| it * 1024 * 1024)
    }

    /// Reads a section.
    pub(super) fn section<T: Section>(self) -> Option<T> {
        T::read_from(self)
    }

    /// Reads a section that is absent if one of its settings has no value.
    pub(super) fn optional<T: Section>(self) -> Option<Option<T>> {
        Some(self.section())
    }

    /// Returns a setting of this section.
    pub(super) fn below(&mut self, name: &str) -> Setting<'_> {
        let key = join(&self.key, name);
        Setting {
            reader: self.reader,
            key,
        }
    }

    /// Returns another setting of the section that contains this one.
    pub(super) fn beside(&mut self, name: &str) -> Setting<'_> {
        let section = self.key.rsplit_once('.').map_or("", |it| it.0);
        let key = join(section, name);
        Setting {
            reader: self.reader,
            key,
        }
    }

    /// Returns an environment variable that is not empty, without the white space around its value. It need not be that
    /// of a setting.
    pub(super) fn variable(&self, name: &str) -> Option<String> {
        let mut variables = self.reader.variables.iter();
        let named = variables.find(|(key, value)| key == name && !value.trim().is_empty());
        named.map(|(_, value)| value.trim().to_owned())
    }

    /// Reports an error of this setting.
    pub(super) fn complain(&mut self, error: impl fmt::Display) {
        self.reader.errors.push(format!("{}: {error}", self.key));
    }

    /// Reports an error that already names its setting.
    pub(super) fn report(&mut self, error: impl fmt::Display) {
        self.reader.errors.push(error.to_string());
    }

    fn in_unit(mut self, unit: &str) -> Self {
        self.key.push('_');
        self.key.push_str(unit);
        self
    }
}

/// The error if no database URL is set, without its key.
pub(super) const NO_DATABASE: &str = "is not set; set DATABASE_URL";

/// All errors in the settings, without secrets.
#[derive(Debug, thiserror::Error)]
pub struct ConfigErrors(pub Vec<String>);

impl fmt::Display for ConfigErrors {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "the settings are wrong:")?;
        self.0.iter().try_for_each(|one| write!(f, "\n  {one}"))
    }
}

impl ConfigErrors {
    /// Converts an error of a source. Its excerpt of the file is omitted, because it may contain a secret.
    fn of(error: &ConfigError) -> Self {
        let is_excerpt = |line: &str| {
            let margin = line.split_once('|').map(|it| it.0.trim());
            margin.is_some_and(|it| it.bytes().all(|byte| byte.is_ascii_digit()))
        };
        let error = error.to_string();
        let kept = error.lines().filter(|line| !is_excerpt(line));
        let kept: Vec<_> = kept.map(str::trim).collect();
        Self(vec![kept.join(", ")])
    }

    /// Returns whether the missing database URL is the only error.
    pub(crate) fn lack_only_the_database(&self) -> bool {
        self.0 == [format!("database.url: {NO_DATABASE}")]
    }
}
