//! The columns of the error catalogue: what a row holds, and the words that stand in it.

use crate::word::words;

words! {
    /// What a client does about an error before it sends anything again.
    RetryClass {
        /// Correct the request; the same request fails again.
        FixRequest = "fix_request",
        /// Correct the API key or the network address.
        FixCredentials = "fix_credentials",
        /// Start again from the first page.
        RestartPagination = "restart_pagination",
        /// Read the resource again and decide from its present state.
        Refetch = "refetch",
        /// Give up; no repetition helps.
        Never = "never",
        /// Send the request under a fresh idempotency key.
        NewKey = "new_key",
        /// Repeat the request once the delay in `Retry-After` is over.
        AfterDelay = "after_delay",
        /// Repeat the request a few times with growing pauses.
        Backoff = "backoff",
    }
}

words! {
    /// The `code` of an error in LendFoundry's form.
    LendFoundryCode {
        /// The API key is missing or not accepted.
        Unauthorized = "UNAUTHORIZED",
        /// The caller may not do this.
        Forbidden = "FORBIDDEN",
        /// The request cannot be read as it is.
        InvalidRequest = "INVALID_REQUEST",
        /// The request contradicts an earlier one.
        ValidationError = "VALIDATION_ERROR",
        /// What the request names is not there.
        ResourceNotFound = "RESOURCE_NOT_FOUND",
        /// What the request would make is there already.
        DuplicateResource = "DUPLICATE_RESOURCE",
        /// The resource's state does not allow it.
        WorkflowStateInvalid = "WORKFLOW_STATE_INVALID",
        /// A rule of the business does not allow it.
        BusinessRuleViolation = "BUSINESS_RULE_VIOLATION",
        /// Requests come too fast.
        RateLimitExceeded = "RATE_LIMIT_EXCEEDED",
        /// The service failed.
        InternalServerError = "INTERNAL_SERVER_ERROR",
        /// The service cannot answer now.
        ServiceUnavailable = "SERVICE_UNAVAILABLE",
    }
}

impl RetryClass {
    /// Says whether the unchanged request is worth repeating (the `LMN-Should-Retry` header).
    ///
    /// A retry always uses the same `Idempotency-Key`. That is why `NewKey` is not one: a request
    /// under a fresh key is a new request.
    pub const fn should_retry(self) -> bool {
        match self {
            Self::AfterDelay | Self::Backoff => true,
            Self::FixRequest
            | Self::FixCredentials
            | Self::RestartPagination
            | Self::Refetch
            | Self::Never
            | Self::NewKey => false,
        }
    }
}

/// Holds one row of the catalogue, as partners read it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Entry {
    /// The value of `error.code`.
    pub code: &'static str,
    /// The HTTP statuses that carry the code.
    pub statuses: &'static [u16],
    /// What the code is called in LendFoundry's form, status by status.
    pub lendfoundry: &'static [LendFoundryCode],
    /// A name of two to five words, without a full stop.
    pub title: &'static str,
    /// One sentence that says what the code means.
    pub meaning: &'static str,
    /// The situations that lead to it.
    pub when: &'static str,
    /// What the partner does about it.
    pub what_to_do: &'static str,
    /// Whether and how to send the request again.
    pub retry: RetryClass,
    /// The members that `error.details` can have.
    pub details: &'static [Detail],
}

/// One member of `error.details`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Detail {
    /// Its name.
    pub name: &'static str,
    /// What it tells.
    pub meaning: &'static str,
}

impl Entry {
    /// Says whether `error.details` can have a member.
    pub fn tells(&self, name: &str) -> bool {
        self.details.iter().any(|detail| detail.name == name)
    }

    /// Returns what the code is called in LendFoundry's form under a status.
    pub fn lendfoundry_code(&self, status: u16) -> Option<LendFoundryCode> {
        let mut columns = self.statuses.iter().zip(self.lendfoundry);
        columns
            .find(|(it, _)| **it == status)
            .map(|(_, code)| *code)
    }
}
