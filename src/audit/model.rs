//! Who changes things, and what is remembered of a change.

use chrono::{DateTime, Utc};
use serde_json::Value;

use crate::id::RequestId;

/// The longest name of an account that is written down.
const ACCOUNT_CHARACTERS_MAX: usize = 64;

/// Who makes a change, and under which request: what every audit row tells.
#[derive(Debug, Clone)]
pub struct Author {
    /// `key:<prefix>` for a partner's key, `operator:<account>` for LMN's people, `automatic` for time itself.
    pub actor: String,
    /// The request; all that one run of a command changes is one.
    pub request_id: RequestId,
}

impl Author {
    /// Begins a request of somebody of LMN.
    pub fn operator(account: &str, request_id: RequestId) -> Self {
        let account: String = account
            .chars()
            .filter(|character| !character.is_control())
            .take(ACCOUNT_CHARACTERS_MAX)
            .collect();
        Self {
            actor: format!("operator:{account}"),
            request_id,
        }
    }
}

/// One row of the audit log.
#[derive(Debug, Clone)]
pub(crate) struct Entry {
    /// When.
    pub recorded_at: DateTime<Utc>,
    /// Who.
    pub actor: String,
    /// What was done.
    pub action: String,
    /// To what.
    pub subject: String,
    /// The name of the partner whose things were changed.
    pub partner: Option<String>,
    /// The request.
    pub request_id: Option<String>,
    /// What else there is to know.
    pub details: Value,
}
