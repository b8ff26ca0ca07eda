//! Who changes things.

use crate::id::RequestId;

/// Who makes a change, and under which request: what every audit row tells.
#[derive(Debug, Clone)]
pub struct Author {
    /// `key:<prefix>` for a partner's key, `operator:<account>` for LMN's people, `automatic` for time itself.
    pub actor: String,
    /// The request, or the run of a command.
    pub request_id: RequestId,
}
