//! The environment of a deployment: production, or a sandbox with the same rules where nothing is bought.

use serde::Deserialize;

/// The environment of a deployment.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Environment {
    /// Real orders.
    Production,
    /// The same rules on a database where nothing is bought.
    Sandbox,
}

impl Environment {
    /// Returns the name stored in the database and written in settings.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Production => "production",
            Self::Sandbox => "sandbox",
        }
    }

    /// Parses the name.
    pub fn parse(name: &str) -> Option<Self> {
        [Self::Production, Self::Sandbox]
            .into_iter()
            .find(|it| it.as_str() == name)
    }

    /// Returns the prefix of every API key of this environment.
    pub fn key_prefix(self) -> &'static str {
        match self {
            Self::Production => "lmn_prd_",
            Self::Sandbox => "lmn_stg_",
        }
    }

    /// Returns the other environment.
    pub fn other(self) -> Self {
        match self {
            Self::Production => Self::Sandbox,
            Self::Sandbox => Self::Production,
        }
    }
}

/// Returns whether a text contains the beginning of an API key of either environment.
pub(crate) fn contains_api_key_prefix(text: &str) -> bool {
    let environments = [Environment::Production, Environment::Sandbox];
    let mut prefixes = environments.map(Environment::key_prefix).into_iter();
    prefixes.any(|prefix| text.contains(prefix))
}
