//! [`ConfigErrors`]: the errors in the settings, without secrets.

use std::fmt;

/// The error if no database URL is set.
const NO_DATABASE: &str = "database.url: is not set; set DATABASE_URL";

/// All errors in the settings.
#[derive(Debug, thiserror::Error)]
pub struct ConfigErrors(pub Vec<String>);

impl fmt::Display for ConfigErrors {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "the settings are wrong:")?;
        self.0.iter().try_for_each(|one| write!(f, "\n  {one}"))
    }
}

impl ConfigErrors {
    /// Converts a TOML error. Its excerpt of the file is omitted, because it may contain a secret.
    pub(super) fn of_text(error: &str) -> Self {
        let is_excerpt = |line: &str| {
            let margin = line.split_once('|').map(|it| it.0.trim());
            margin.is_some_and(|it| it.bytes().all(|byte| byte.is_ascii_digit()))
        };
        let kept = error.lines().filter(|line| !is_excerpt(line));
        let kept: Vec<_> = kept.map(str::trim).collect();
        Self(vec![kept.join(", ")])
    }

    /// Returns whether the missing database URL is the only error.
    pub(crate) fn lack_only_the_database(&self) -> bool {
        self.0 == [NO_DATABASE]
    }
}
