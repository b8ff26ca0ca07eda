//! Who writes.

use crate::id::{PartnerId, RequestId};

/// Who writes, for the audit row that goes with every change.
#[derive(Debug)]
pub(crate) struct Author {
    /// Whose order it is.
    pub partner: PartnerId,
    /// The key that was used.
    pub actor: String,
    /// The request.
    pub request_id: RequestId,
}
