//! What is wrong with the settings, told without a secret.

use std::fmt;

/// Said when no database is named at all.
const NO_DATABASE: &str = "database.url: is not set; set DATABASE_URL";

/// Everything that is wrong with the settings.
#[derive(Debug, thiserror::Error)]
pub struct Complaints(pub Vec<String>);

impl fmt::Display for Complaints {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "the settings are wrong:")?;
        self.0.iter().try_for_each(|one| write!(f, "\n  {one}"))
    }
}

impl Complaints {
    /// Says that a text is no TOML. The line that the TOML reader repeats is left out: it may hold a secret.
    pub(super) fn of_text(error: &str) -> Self {
        let is_excerpt = |line: &str| {
            let margin = line.split_once('|').map(|it| it.0.trim());
            margin.is_some_and(|it| it.bytes().all(|byte| byte.is_ascii_digit()))
        };
        let said = error.lines().filter(|line| !is_excerpt(line));
        let said: Vec<_> = said.map(str::trim).collect();
        Self(vec![said.join(", ")])
    }

    /// Says whether all is right but that no database is named.
    pub(crate) fn lack_only_the_database(&self) -> bool {
        self.0 == [NO_DATABASE]
    }
}
