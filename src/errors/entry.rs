//! The columns of the error catalogue, and the enumerations used in them.

use crate::values::string_enum::string_enum;

string_enum! {
    /// The action that a client takes after an error before it sends anything again.
    RetryClass {
        /// Correct the request; the unchanged request fails again.
        FixRequest = "fix_request",
        /// Correct the API key or the network address.
        FixCredentials = "fix_credentials",
        /// Start again from the first page.
        RestartPagination = "restart_pagination",
        /// Read the resource again and decide from its current state.
        Refetch = "refetch",
        /// Give up; repeating the request does not help.
        Never = "never",
        /// Send the request with a new idempotency key.
        NewKey = "new_key",
        /// Repeat the request after the delay in `Retry-After`.
        AfterDelay = "after_delay",
        /// Repeat the request a few times with growing pauses.
        Backoff = "backoff",
    }
}

string_enum! {
    /// The `code` of an error in LendFoundry's representation.
    LendFoundryCode {
        /// The API key is missing or not accepted.
        Unauthorized = "UNAUTHORIZED",
        /// The caller is not allowed to do this.
        Forbidden = "FORBIDDEN",
        /// The request is invalid.
        InvalidRequest = "INVALID_REQUEST",
        /// The request contradicts an earlier one.
        ValidationError = "VALIDATION_ERROR",
        /// The resource that the request names does not exist.
        ResourceNotFound = "RESOURCE_NOT_FOUND",
        /// The resource that the request would create already exists.
        DuplicateResource = "DUPLICATE_RESOURCE",
        /// The state of the resource does not allow it.
        WorkflowStateInvalid = "WORKFLOW_STATE_INVALID",
        /// A business rule does not allow it.
        BusinessRuleViolation = "BUSINESS_RULE_VIOLATION",
        /// Requests arrive too fast.
        RateLimitExceeded = "RATE_LIMIT_EXCEEDED",
        /// The service failed.
        InternalServerError = "INTERNAL_SERVER_ERROR",
        /// The service is temporarily unavailable.
        ServiceUnavailable = "SERVICE_UNAVAILABLE",
    }
}

impl RetryClass {
    /// Returns whether repeating the unchanged request can help (the `LMN-Should-Retry` header).
    ///
    /// A retry always uses the same `Idempotency-Key`. `NewKey` is therefore not one: a request with a new key is a new
    /// request.
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

/// One row of the catalogue.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Entry {
    /// The value of `error.code`.
    pub code: &'static str,
    /// The HTTP statuses that carry the code.
    pub statuses: &'static [u16],
    /// The code in LendFoundry's representation, one for each of `statuses`.
    pub lendfoundry: &'static [LendFoundryCode],
    /// A title of two to five words, without a full stop.
    pub title: &'static str,
    /// The meaning of the code, in one sentence.
    pub meaning: &'static str,
    /// The situations in which the error occurs.
    pub when: &'static str,
    /// The recommended action of the partner.
    pub what_to_do: &'static str,
    /// Whether and how to send the request again.
    pub retry: RetryClass,
    /// The members that `error.details` can have.
    pub details: &'static [Detail],
}

/// One member of `error.details`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Detail {
    /// The name of the member.
    pub name: &'static str,
    /// The meaning of the member.
    pub meaning: &'static str,
}

impl Entry {
    /// Returns whether `error.details` can have a member of this name.
    pub fn has_detail(&self, name: &str) -> bool {
        self.details.iter().any(|detail| detail.name == name)
    }

    /// Returns the code in LendFoundry's representation for a status.
    pub fn lendfoundry_code(&self, status: u16) -> Option<LendFoundryCode> {
        let mut columns = self.statuses.iter().zip(self.lendfoundry);
        columns
            .find(|(it, _)| **it == status)
            .map(|(_, code)| *code)
    }
}

/// Declares the details of a code: each member with its type and its meaning, the text in the catalogue.
///
/// The meaning is no doc comment, because utoipa would repeat it in the schema.
macro_rules! payload {
    (
        $(#[$attribute:meta])*
        $visibility:vis struct $name:ident {
            $(
                $(#[$member_attribute:meta])*
                $member_visibility:vis $member:ident: $type:ty = $meaning:literal,
            )+
        }
    ) => {
        $(#[$attribute])*
        #[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, utoipa::ToSchema)]
        $visibility struct $name {
            $(
                $(#[$member_attribute])*
                $member_visibility $member: $type,
            )+
        }

        impl $name {
            /// The members, in the order of the catalogue.
            pub(super) const MEMBERS: &'static [$crate::errors::entry::Detail] = &[
                $($crate::errors::entry::Detail {
                    name: stringify!($member),
                    meaning: $meaning,
                },)+
            ];
        }
    };
}
pub(super) use payload;
