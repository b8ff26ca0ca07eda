//! An entry of the audit log as JSON.

use serde::Serialize;
use serde_json::Value;
use utoipa::ToSchema;

use super::Entry;
use crate::values::timestamp::Timestamp;

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
