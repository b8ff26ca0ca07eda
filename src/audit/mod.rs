//! The audit log: every change, with its actor, time and request.

pub(crate) mod store;

use chrono::{DateTime, Utc};
use serde::Serialize;
use serde_json::Value;
use utoipa::ToSchema;
use uuid::Uuid;

use crate::values::{id::RequestId, timestamp::Timestamp};

/// Maximum characters of a recorded account name.
pub(crate) const ACCOUNT_CHARACTERS_MAX: usize = 64;

/// The actor of a change, and the request. Every audit row contains both.
#[derive(Debug, Clone)]
pub struct Actor {
    /// `key:<prefix>` for a partner's key, `operator:<account>` for LMN's staff, `automatic` for scheduled jobs.
    pub actor: String,
    /// The request. All changes of one run of a command have the same.
    pub request_id: RequestId,
}

impl Actor {
    /// Returns the actor for an account of LMN's staff. Control characters are removed from the name.
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

/// A row of the audit log.
#[derive(Debug, Clone)]
pub(crate) struct Entry {
    /// The number of the change, which distinguishes changes of one subject at the same time.
    pub id: i64,
    /// When the change was recorded.
    pub recorded_at: DateTime<Utc>,
    /// The actor, as in [`Actor`].
    pub actor: String,
    /// The action, as `noun.verb`.
    pub action: String,
    /// The id or name of what was changed.
    pub subject: String,
    /// The name of the partner that the change concerns.
    pub partner: Option<String>,
    /// The request.
    pub request_id: Option<String>,
    /// Further details.
    pub details: Value,
    /// The order whose placing or step it is.
    pub order_id: Option<Uuid>,
}

/// A change that somebody made.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = AuditEntry)]
pub(crate) struct AuditView {
    /// When the change was recorded.
    pub recorded_at: Timestamp,
    /// `key:<prefix>` for a partner's key, `operator:<name>` for LMN's people, `automatic` for scheduled jobs.
    pub actor: String,
    /// The action, as `noun.verb`.
    pub action: String,
    /// The id or name of what was changed.
    pub subject: String,
    /// The name of the partner that the change concerns.
    pub partner: Option<String>,
    /// The request.
    pub request_id: Option<String>,
    /// Further details.
    #[schema(value_type = Object)]
    pub details: Value,
}

impl From<Entry> for AuditView {
    fn from(entry: Entry) -> Self {
        Self {
            recorded_at: Timestamp::kst(entry.recorded_at),
            actor: entry.actor,
            action: entry.action,
            subject: entry.subject,
            partner: entry.partner,
            request_id: entry.request_id,
            details: entry.details,
        }
    }
}
